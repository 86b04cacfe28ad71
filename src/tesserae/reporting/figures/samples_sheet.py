"""Samples of each generator, one row each.

Shapes: M samples, H x W pixels; images are uint8 (M, H, W, 3).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import style
from tesserae.reporting.drawing import FigureError, Row, draw_sheet
from tesserae.reporting.figure_inputs import first_seeds


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the generator in every row its `samples`, the preview of the stage `metrics`."""
    plot(stem, samples=first_seeds(work, "generators", "samples", "preview.npy"), scale=work.spec["scale"])


def plot(
    stem: str | Path,
    *,
    samples: Mapping[str, Row],
    scale: str,
    labels: Mapping[str, Sequence] | None = None,
    per_row: int = 12,
) -> list[Path]:
    """Generated samples (M, H, W, 3), one row per generator label: the first `per_row` of each, not picked.

    A generator that was not run has the reason in place of images. labels: the class (name or number) of each sample,
    by generator that was run; they head the columns once. Raises FigureError if generators show different classes,
    since columns would compare what cannot be compared.
    """
    shown = {
        label: images if isinstance(images, str) else np.asarray(images)[:per_row] for label, images in samples.items()
    }
    classes = {label: [str(name) for name in names][:per_row] for label, names in (labels or {}).items()}
    heads = next(iter(classes.values()), [""] * per_row)
    for label, names in classes.items():
        if names != heads:
            raise FigureError(f"samples of {label!r} are of classes {names}, not {heads} as in the first row")
    title = f"Generated samples (scale {scale})"
    with style.look():
        return style.save(draw_sheet(shown, heads, title), stem)
