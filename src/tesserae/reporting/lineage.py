"""The lineage page: from a number in a table to the data, one self-contained HTML file that a reader clicks through.

What artifacts share (environments, machines, commits, settings, modules) is embedded once. The page repeats the times
that manifests carry: two runs of the same work give two different pages.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tesserae import words
from tesserae.lineage import code
from tesserae.lineage.changes import leaves, origin_of
from tesserae.reporting import links
from tesserae.reporting.lineage_page import CONTENT, SCRIPT, STYLE
from tesserae.reporting.style import page, template


def write_page(
    file: Path,
    nodes: Sequence[Mapping[str, Any]],
    cells: Sequence[Mapping[str, Any]],
    *,
    scale: str,
    top: Path,
    base: Path | None = None,
    start: str = "",
    home: str = "",
    problems: Sequence[Mapping[str, str]] = (),
    verified: bool = False,
) -> Path:
    """Write the page of these artifacts and cells; returns its path.

    nodes: artifacts as in a trace (`lineage.trace.node` of a manifest); cells: of the tables among them, as in a
    trace's target; top: the folder results/<scale>, to which links are counted from `base`, the folder where the page
    will lie if it is not written there at once; start: anchor of what the page shows first; home: address of the
    page that leads here, relative to `base`, "" for none; problems and verified: as
    in a trace. A module or source is linked where the code store of `top` has it.
    """
    from markupsafe import Markup

    base = file.parent if base is None else base
    data = _packed(nodes, cells, top)
    data |= {
        "scale": scale,
        "top": Path(os.path.relpath(top, base)).as_posix(),
        "start": start,
        "problems": list(problems),
        "verified": verified,
    }
    # No "<" in the embedded text: nothing in it can end the script element.
    embedded = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    stages: dict[str, list[str]] = {}
    for node in nodes:
        stages.setdefault(node["stage"], []).append(node["recipe"])
    content = template(CONTENT).render(
        scale=scale,
        home=home,
        tables=_grids(cells),
        stages=stages,
        verified=verified,
        anchor=links.anchor,
        style=Markup(STYLE),
        script=Markup(SCRIPT),
        data=Markup(embedded),
    )
    file.write_text(page(f"Lineage ({scale})", content), encoding="utf-8", newline="\n")
    return file


def write_trace(file: Path, trace: Mapping[str, Any], root: Path) -> Path:
    """The page of one trace (see `lineage.trace.trace`), which opens at its target; `root` is the project folder."""
    cell = trace["target"]["cell"]
    place = (cell["row"], cell["column"]) if cell else ()
    return write_page(
        file,
        trace["nodes"],
        [cell] if cell else [],
        scale=trace["scale"],
        top=root / "results" / trace["scale"],
        start=links.anchor(trace["target"]["artifact"], *place),
        problems=trace["problems"],
        verified=trace["verified"],
    )


class _Pool:
    """Values that many artifacts share, each once; `add` gives a value's place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def add(self, value: Any) -> int:
        key = json.dumps(value, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def _packed(nodes: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]], top: Path) -> dict[str, Any]:
    """What the script of the page reads: artifacts and cells as short objects, shared values in pools by place."""
    names = ("environments", "machines", "commits", "settings", "modules", "sets", "measures")
    pools = {name: _Pool() for name in names}
    places = {node["artifact"]: place for place, node in enumerate(nodes)}
    return {
        "artifacts": [_artifact(node, places, pools, top) for node in nodes],
        "cells": [_cell(cell, places, pools) for cell in cells],
        **{name: pool.values for name, pool in pools.items()},
    }


def _artifact(
    node: Mapping[str, Any], places: Mapping[str, int], pools: Mapping[str, _Pool], top: Path
) -> dict[str, Any]:
    """One artifact; `in` lists its producers, and of files, `found` says what a verification found."""
    folder = "" if node["artifact"] == "report/index" else node["artifact"]
    start = f"results/{top.name}/"
    packed = {
        "stage": node["stage"],
        "recipe": node["recipe"],
        "folder": folder,
        "fingerprint": node["fingerprint"],
        "in": [places[name] for name in node["inputs"] if name in places],
        "out": [
            [os.path.relpath(entry["path"].removeprefix(start), folder or "."), entry["bytes"], entry["sha256"]]
            + ([entry["found"]] if entry["found"] else [])
            for entry in node["outputs"]
        ],
    }
    if node["missing"]:
        return packed | {"missing": node["missing"]}
    modules = [
        pools["modules"].add([name, digest, int(code.module_file(top, name, digest).is_file())])
        for name, digest in node["modules"].items()
    ]
    settings = [
        pools["settings"].add([key, words.setting(value), origin_of(node["origins"] or {}, key)])
        for key, value in leaves(node["spec"])
    ]
    sources = [
        [entry["path"], entry["bytes"], entry["sha256"], _kept(top, entry)]
        + ([entry["found"]] if entry["found"] else [])
        for entry in node["sources"]
    ]
    packed |= {
        "seed": node["seed"],
        "started": words.moment(node["started"]),
        "took": words.duration(node["seconds"]),
        "peak": node["peak_mb"],
        "numbers": node["metrics"],
        "spec": settings,
        "modules": pools["sets"].add(modules),
        "sources": sources,
        "environment": pools["environments"].add(node["environment"]),
        "weights": node["weights"] and [node["weights"][key] for key in ("file", "bytes", "sha256", "found")],
        "data": node.get("data") and [node["data"][key] for key in ("folder", "bytes", "sha256")],
        "machine": pools["machines"].add(words.machine(node["hardware"])),
        "commit": pools["commits"].add([node["git"]["commit"], node["git"]["dirty"]]),
        "equivalents": node["equivalents"] or {},
        "mlflow": node["mlflow"] and node["mlflow"]["experiment"],
        "run": (node["mlflow"] or {}).get("run"),
    }
    return {key: value for key, value in packed.items() if value not in (None, {})}


def _kept(top: Path, entry: Mapping[str, Any]) -> str:
    """The stored copy of a source, relative to `top`; "" if it is none of the texts that are kept."""
    file = code.source_file(top, entry["sha256"], Path(entry["path"]).suffix)
    return file.relative_to(top).as_posix() if file.is_file() else ""


def _cell(cell: Mapping[str, Any], places: Mapping[str, int], pools: Mapping[str, _Pool]) -> dict[str, Any]:
    measure = (
        None if cell["measure"] is None else [[key, words.setting(value)] for key, value in leaves(cell["measure"])]
    )
    return {
        "table": places.get(cell["table"]),
        "source": cell["source"],
        "title": cell["title"],
        "key": cell["key"],
        "row": cell["row"],
        "column": cell["column"],
        "value": cell["value"],
        "seeds": [
            [places[name], number]
            for name, number in zip(cell["artifacts"], cell["numbers"], strict=True)
            if name in places
        ],
        "sd": cell["sd"],
        "reason": cell["reason"],
        "printed": cell["printed"],
        "measured": cell["measured"],
        "measure": pools["measures"].add([cell["measure_id"], measure]),
        "problems": list(cell["problems"]),
    }


def _grids(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Cells by table, for the list of numbers that the page starts with: our rows; what was or could be run is linked.

    A trace's page shows its one cell, whatever it is.
    """
    grids: dict[str, dict[str, Any]] = {}
    for cell in cells:
        grid = grids.setdefault(cell["table"], {**cell, "columns": [], "rows": {}})
        if cell["column"] not in grid["columns"]:
            grid["columns"].append(cell["column"])
        if cell["status"] == "cited":
            continue
        shown = cell["reason"] if cell["status"] == "omitted" else ""
        shown = shown if cell["measured"] is None else f"{cell['measured']:.6g}"
        grid["rows"].setdefault(cell["row"], {})[cell["column"]] = shown
    return list(grids.values())
