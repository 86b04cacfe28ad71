"""Stage `claims`: what a paper claims, and whether the numbers of a scale's seeds bear it out."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tesserae.correlating import AHEAD
from tesserae.lineage.work import Work
from tesserae.reporting import claims, claims_files, published, seeds


def run(work: Work) -> dict[str, float]:
    """Writes claims.json, .md, .html, and metrics.json: verdicts and effects, for DVC.

    The spec's `cells` name the artifacts of each number, one per seed, and what to read of them (see `read`), or the
    reason why there is none; `unseeded` says of one that no seed changes it.
    """
    spec = work.spec
    cells = {
        (cell["table"], cell["row"], cell["column"]): {"reason": cell["reason"]}
        if cell.get("reason")
        else _measured(work, cell)
        for cell in spec["cells"]
    }
    printed = published.load(work.sources["published"])
    about = {"paper": spec["paper"], "title": spec["title"], "scale": spec["scale"], "seeds": spec["seeds"]}
    found = claims.evaluate_all([], cells, printed, **about)
    for claim in spec["claims"]:
        if "studies" in claim:
            claim = claim | {"studies": [_studied(work, one) for one in claim["studies"]]}
        found["claims"] += claims.evaluate_all([claim], paired(claim, cells), printed, **about)["claims"]
    found["summary"] = claims.summary(found["claims"])
    claims_files.write(found, work.out)
    return {word: float(count) for word, count in found["summary"].items()}


def paired(
    claim: Mapping[str, Any], cells: Mapping[tuple[str, str, str], Mapping[str, Any]]
) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """The cells of a claim, with the seeds that all of them have: others have no partner to be compared with.

    A cell of one number, which no seed changes, stands beside each seed's number of the others.
    """
    own = {tuple(key): cells[tuple(key)] for key in claim["cells"] if tuple(key) in cells}
    several = [len(cell["values"]) for cell in own.values() if len(cell.get("values", ())) > 1]
    least = min(several, default=1)
    by_seed = ("values", "measures", "artifacts")
    return {
        key: {name: found[:least] if name in by_seed else found for name, found in cell.items()}
        for key, cell in own.items()
    }


def _studied(work: Work, study: dict[str, Any]) -> dict[str, Any]:
    """What a study measured of a claim, as reporting/study_claims.py has it; or why it did not.

    study: `title`, and `artifact` with its `predictor` and its `rival`, or the `reason` why there is none.
    """
    if study.get("reason"):
        return study
    folder, predictor = work.inputs[study["artifact"]], study["predictor"]
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


def _measured(work: Work, cell: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a cell by seed, and of the control that stands beside it in its table, if there is one."""
    folders, controls = ([work.inputs[role] for role in cell.get(key, ())] for key in ("artifacts", "controls"))
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
        raise claims.ClaimError(f"{file} has no {value!r} ({error})") from None
    if not math.isfinite(number):
        raise claims.ClaimError(f"{file}: {value} is {number}")
    return float(number), measure


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("claims")
