"""Originals and what each tokenizer makes of them.

Shapes: K images, H x W pixels; images are uint8 (K, H, W, 3).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import style
from tesserae.reporting.drawing import draw_sheet, not_run
from tesserae.reporting.figure_inputs import first_seeds


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row the `images` of the stage `reconstruction`."""
    found, missing = first_seeds(work, "tokenizers", "images", "images.npz")
    plot(
        stem,
        originals=next(iter(found.values()))["originals"],
        reconstructions={label: arrays["reconstructions"] for label, arrays in found.items()},
        scale=work.spec["scale"],
        missing=missing,
    )


def plot(
    stem: str | Path,
    *,
    originals: np.ndarray,
    reconstructions: Mapping[str, np.ndarray],
    scale: str,
    missing: Sequence[str] = (),
) -> list[Path]:
    """Originals (K, H, W, 3) in the first row, then one row of reconstructions (K, H, W, 3) per tokenizer label.

    missing: labels of tokenizers that were not run.
    """
    rows = {"original": originals, **reconstructions}
    title = f"Reconstructions (scale {scale}){not_run(missing)}"
    with style.look():
        return style.save(draw_sheet(rows, [""] * len(originals), title), stem)
