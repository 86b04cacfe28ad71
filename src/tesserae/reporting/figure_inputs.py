"""What a figure's job is given: the artifacts of its rows, by the group and role that the paper's file names."""

import json
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds


def read(work: Work, group: str, role: str, row: str, file: str) -> list[Any]:
    """A file of a row's artifact, once for each seed: JSON or arrays; nothing if it is not run at this scale."""
    artifact = work.spec["inputs"][group][role].format(row=row)
    paths = [folder / file for folder in seeds.folders(work.inputs, artifact, work.spec["seeds"])]
    return [json.loads(path.read_text()) if path.suffix == ".json" else np.load(path) for path in paths]


def first_seeds(work: Work, group: str, role: str, file: str) -> tuple[dict[str, Any], list[str]]:
    """A file of the first seed by the row's label, and the labels of what was not run."""
    found = {label: read(work, group, role, row, file) for row, label in work.spec["rows"]}
    return {label: runs[0] for label, runs in found.items() if runs}, [label for label in found if not found[label]]
