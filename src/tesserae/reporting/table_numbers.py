"""A table from its job's spec and the artifacts behind it: of a scale that was run whole, or as far as it was."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tesserae.lineage import cells as mapping
from tesserae.reporting import published, seeds, tables
from tesserae.reporting.claim_numbers import NOT_YET


def build(spec: Mapping[str, Any], inputs: Mapping[str, Path], printed: Path, recipe: str) -> tables.Table:
    """The table of a job `table`.

    spec: as lineage/cells.py describes it; inputs: the folder of each artifact; printed: the file of published numbers;
    recipe: the name of the table's artifact.
    """
    cells = {(key, column): _read(inputs, source) for key, column, source in mapping.sources(spec)}
    controls = {(key, column): _read(inputs, source) for key, column, source in mapping.controls(spec)}
    return tables.build_table(
        spec, cells, published.load(printed), scale=spec["scale"], recipe=recipe, controls=controls
    )


def _read(inputs: Mapping[str, Path], source: mapping.Source) -> dict[str, Any] | None:
    """The numbers of an artifact, over its seeds; None where nothing is run."""
    files = [inputs[artifact] / "metrics.json" for artifact in source.artifacts]
    return seeds.over_seeds([json.loads(file.read_text(encoding="utf-8")) for file in files]) if files else None


def so_far(spec: Mapping[str, Any], there: Mapping[str, Path]) -> dict[str, Any] | None:
    """The spec of a table of those artifacts alone that are `there`, with the seeds that they have; None if none is.

    Of a number no seed of which is there, the cell says NOT_YET. A control stands beside a number if it is there.
    """
    missing, seeds_of, ours = list(spec.get("missing", ())), dict(spec.get("seeds_of", {})), False
    foot = set(spec.get("control_rows", ()))
    for row, column, source in mapping.sources(spec):
        if source.status != "measured":
            continue
        found = [artifact for artifact in source.artifacts if artifact in there]
        if not found:
            missing.append({"row": row, "column": column, "reason": NOT_YET})
            continue
        ours = ours or row not in foot
        _keep_seeds(seeds_of, source.artifacts, found)
    controls = {}
    for artifact, control in spec.get("controls", {}).items():
        wanted = mapping.of_artifact(spec, control)
        found = [name for name in wanted if name in there]
        if found:
            controls[artifact] = control
            _keep_seeds(seeds_of, wanted, found)
    if not ours:
        return None
    told = {"missing": missing, "seeds_of": seeds_of, "controls": controls}
    return {**spec, **{key: value for key, value in told.items() if value or key in spec}}


def _keep_seeds(seeds_of: dict[str, list[int]], wanted: tuple[str, ...], found: list[str]) -> None:
    if len(found) < len(wanted):
        seeds_of[wanted[0]] = seeds.numbers_of(found)
