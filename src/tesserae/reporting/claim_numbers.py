"""The numbers that claims are judged by, read from artifacts: of a scale that was run whole, or as far as it was."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tesserae.correlating import AHEAD
from tesserae.reporting import published, seeds
from tesserae.reporting.claims import ClaimError, evaluate_all

NOT_YET = "not run yet"


def evaluate(spec: Mapping[str, Any], inputs: Mapping[str, Path], printed: Path) -> dict[str, Any]:
    """What a paper's claims.json holds.

    spec: of the job `claims`. Its `cells` name the artifacts of each number, one per seed, and what to read of them
    (see `read`), or the reason why there is none; `unseeded` says of one that no seed changes it. inputs: the folder of
    each artifact; printed: the file of published numbers.
    """
    cells = {
        (cell["table"], cell["row"], cell["column"]): {"reason": cell["reason"]}
        if cell.get("reason")
        else _measured(inputs, cell)
        for cell in spec["cells"]
    }
    return evaluate_all(
        [
            claim | {"studies": [_studied(inputs, one) for one in claim["studies"]]} if "studies" in claim else claim
            for claim in spec["claims"]
        ],
        cells,
        published.load(printed),
        paper=spec["paper"],
        title=spec["title"],
        scale=spec["scale"],
        seeds=spec["seeds"],
    )


def so_far(spec: Mapping[str, Any], there: Mapping[str, Path]) -> dict[str, Any]:
    """The spec of a job `claims`, of those artifacts alone that are `there`, by role, with the seeds that they have.

    A number of which no seed is there is NOT_YET run; a control counts if it is there for all of its seeds.
    """
    cells = [_so_far(cell, there) for cell in spec["cells"]]
    ran = {number for cell in cells for number in seeds.numbers_of(cell.get("artifacts", ()))}
    claims = []
    for claim in spec["claims"]:
        if "studies" in claim:
            studies = [
                one if one.get("reason") or one["artifact"] in there else {"title": one["title"], "reason": NOT_YET}
                for one in claim["studies"]
            ]
            claim = claim | {"studies": studies}
        claims.append(claim)
    return {**spec, "cells": cells, "claims": claims, "seeds": sorted(ran) or spec["seeds"][:1]}


def _so_far(cell: Mapping[str, Any], there: Mapping[str, Path]) -> dict[str, Any]:
    if cell.get("reason"):
        return dict(cell)
    place = {key: cell[key] for key in ("table", "row", "column")}
    artifacts = [role for role in cell["artifacts"] if role in there]
    if not artifacts:
        return place | {"reason": NOT_YET}
    controls = cell.get("controls", [])
    kept = controls if all(role in there for role in controls) else []
    return {**cell, "artifacts": artifacts, **({"controls": kept} if controls else {})}


def _studied(inputs: Mapping[str, Path], study: dict[str, Any]) -> dict[str, Any]:
    """What a study measured of a claim, as reporting/study_claims.py has it; or why it did not.

    study: `title`, and `artifact` with its `predictor` and its `rival`, or the `reason` why there is none.
    """
    if study.get("reason"):
        return study
    folder, predictor = inputs[study["artifact"]], study["predictor"]
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    names = {
        "tokenizers": "tokenizers",
        "r": f"{predictor}_pearson",
        "rival": f"{study['rival']}_pearson",
        "ahead": f"{predictor}_{AHEAD[0]}",
    }
    if missing := [why for name in names.values() if (why := content.get("without", {}).get(name))]:
        return study | {"reason": missing[0]}
    told = {key: read(folder, name)[0] for key, name in names.items()}
    # Its interval is that of one look; the numbers behind it give that of the look at hand.
    told["numbers"] = [
        [row["numbers"][key] for row in content["rows"]] for key in (predictor, "against", study["rival"])
    ]
    return study | told | {"by_seed": content["by_seed"].get(predictor, [])}


def _measured(inputs: Mapping[str, Path], cell: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a cell by seed, and of the control that stands beside it in its table, if there is one."""
    folders, controls = ([inputs[role] for role in cell.get(key, ())] for key in ("artifacts", "controls"))
    if why := next(filter(None, (without(folder, cell["value"]) for folder in folders)), None):
        return {"reason": why}
    numbers = [read(folder, cell["value"]) for folder in folders]
    return {
        "values": [number for number, _ in numbers],
        "seeds": None if cell.get("unseeded") else seeds.numbers_of(cell["artifacts"]),
        "measures": [measure for _, measure in numbers],
        "artifacts": [f"{folder.parent.name}/{folder.name}" for folder in folders],
        "varies": cell.get("varies", []),
        "controls": [read(folder, cell["value"])[0] for folder in controls],
    }


def without(folder: Path, value: str) -> str | None:
    """Why an artifact has not the number of a name, if it says so."""
    file = folder / "metrics.json"
    return json.loads(file.read_text(encoding="utf-8")).get("without", {}).get(value) if file.is_file() else None


def read(folder: Path, value: str) -> tuple[float, dict[str, Any]]:
    """A number of an artifact, and how it was measured.

    value: a name in metrics.json's values ("fid"), or of search.json "search:cfg:fid": the FID at what was selected
    with guidance ("nocfg": without). Raises ClaimError, naming the file, for a number that is not there or not finite.
    """
    file = folder / ("search.json" if value.startswith("search:") else "metrics.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    try:
        if value.startswith("search:"):
            _, kind, statistic = value.split(":")
            chosen = content["selected"][kind]
            points = [point for point in content["points"] if all(point[key] == chosen[key] for key in chosen)]
            number = points[0][statistic]
        else:
            number = content["values"][value]
        measure = content["measure"]
    except (KeyError, IndexError) as error:
        raise ClaimError(f"{file} has no {value!r} ({error})") from None
    if not math.isfinite(number):
        raise ClaimError(f"{file}: {value} is {number}")
    return float(number), measure
