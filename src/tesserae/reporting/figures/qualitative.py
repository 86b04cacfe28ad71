"""Originals and what each tokenizer makes of them.

Shapes: K images, H x W pixels; images are uint8 (K, H, W, 3).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import style
from tesserae.reporting.drawing import Row, draw_sheet, empty_sheet
from tesserae.reporting.figure_inputs import first_seeds


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row the `images` of the stage `reconstruction`."""
    found = first_seeds(work, "tokenizers", "images", "images.npz")
    plot(
        stem,
        originals=next((arrays["originals"] for arrays in found.values() if not isinstance(arrays, str)), None),
        reconstructions={
            label: arrays if isinstance(arrays, str) else arrays["reconstructions"] for label, arrays in found.items()
        },
        scale=work.spec["scale"],
    )


def plot(
    stem: str | Path,
    *,
    originals: np.ndarray | None,
    reconstructions: Mapping[str, Row],
    scale: str,
) -> list[Path]:
    """Originals (K, H, W, 3) in the first row, then one row of reconstructions (K, H, W, 3) per tokenizer label.

    A tokenizer that was not run has the reason in place of images; no originals: none was.
    """
    title = f"Reconstructions (scale {scale})"
    if originals is None:
        return empty_sheet(stem, reconstructions, title)
    rows = {"original": originals, **reconstructions}
    with style.look():
        return style.save(draw_sheet(rows, [""] * len(originals), title), stem)
