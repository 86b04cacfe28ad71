"""Stage `figure`: one figure of a paper, from arrays and numbers that other stages left."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import figures, published


def run(work: Work) -> None:
    """Writes figure.png, figure.svg and figure.pdf."""
    DRAWN[work.spec["draw"]](work, work.out / "figure")


def _read(work: Work, group: str, role: str, row: str, file: str) -> Any:
    path = work.inputs[work.spec["inputs"][group][role].format(row=row)] / file
    return json.loads(path.read_text()) if path.suffix == ".json" else np.load(path)


def _figure_4(work: Work, stem: Path) -> None:
    spec = work.spec
    rows, groups = dict(spec["rows"]), list(spec["inputs"])
    printed = published.load(work.sources["published"])
    cells = [(row, group) for row in rows for group in groups]
    figures.figure_4(
        stem,
        rows=rows,
        generators=groups,
        scale=spec["scale"],
        published={
            (row, group): published.lookup(printed, spec["published"], rows[row], f"{group} w/ CFG FID")
            for row, group in cells
        },
        searches={(row, group): _read(work, group, "search", row, "search.json") for row, group in cells},
        measured={(row, group): _read(work, group, "metrics", row, "metrics.json") for row, group in cells},
    )


def _denoising(work: Work, stem: Path) -> None:
    found = {label: _read(work, "tokenizers", "images", row, "denoising.npz") for row, label in work.spec["rows"]}
    figures.denoising(stem, tokenizers=found, scale=work.spec["scale"])


def _qualitative(work: Work, stem: Path) -> None:
    found = {label: _read(work, "tokenizers", "images", row, "images.npz") for row, label in work.spec["rows"]}
    figures.qualitative(
        stem,
        originals=next(iter(found.values()))["originals"],
        reconstructions={label: arrays["reconstructions"] for label, arrays in found.items()},
        scale=work.spec["scale"],
    )


def _samples(work: Work, stem: Path) -> None:
    found = {label: _read(work, "generators", "samples", row, "preview.npy") for row, label in work.spec["rows"]}
    figures.samples_sheet(stem, samples=found, scale=work.spec["scale"])


DRAWN = {"figure_4": _figure_4, "denoising": _denoising, "qualitative": _qualitative, "samples_sheet": _samples}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("figure")
