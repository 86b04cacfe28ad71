"""What a figure's job is given: the artifacts of its rows, by the group and role that the paper's file names."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds


def read(work: Work, group: str, role: str, row: str, file: str) -> list[Any]:
    """A file of a row's artifact, once for each seed: JSON or arrays; nothing if it is not run at this scale."""
    artifact = work.spec["inputs"][group][role].format(row=row)
    paths = [folder / file for folder in seeds.folders(work.inputs, artifact, work.spec["seeds"])]
    return [json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else np.load(path) for path in paths]


def measured(work: Work, group: str, role: str, file: str) -> Iterator[tuple[str, Any, list[Any]]]:
    """Of the rows that are run: label, arrays in a file of the first seed, and metrics.json of each seed."""
    for row, label in work.spec["rows"]:
        arrays, numbers = (read(work, group, role, row, name) for name in (file, "metrics.json"))
        if arrays:
            yield label, arrays[0], numbers


def reasons(work: Work, group: str, role: str) -> dict[str, str]:
    """Why a row's artifact is not made at this scale, by the row's key; nothing of those that are."""
    column = f"{group}: {role}"
    return {cell["row"]: cell["reason"] for cell in work.spec["missing"] if cell["column"] == column}


def reasons_by_label(work: Work, group: str, role: str) -> dict[str, str]:
    """As `reasons`, by the row's label."""
    found = reasons(work, group, role)
    return {label: found[row] for row, label in work.spec["rows"] if row in found}


def first_seeds(work: Work, group: str, role: str, file: str) -> dict[str, Any]:
    """A file of the first seed by the row's label, or why the row is not run."""
    why = reasons_by_label(work, group, role)
    return {
        label: why[label] if label in why else read(work, group, role, row, file)[0] for row, label in work.spec["rows"]
    }
