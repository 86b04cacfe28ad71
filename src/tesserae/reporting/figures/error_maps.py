"""Originals, reconstructions, and where in an image these differ most: TaTok, Fig. 6.

Shapes: K images, H x W pixels; images are uint8 (K, H, W, 3).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import style
from tesserae.reporting.drawing import FigureError, Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.figure_inputs import first_seeds
from tesserae.reporting.overlays import colours

SHARE = 99  # percentile of all errors that has the lightest colour


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row the `images` of the stage `reconstruction`."""
    plot(stem, tokenizers=first_seeds(work, "tokenizers", "images", "images.npz"), scale=work.spec["scale"])


def plot(
    stem: str | Path, *, tokenizers: Mapping[str, Mapping[str, np.ndarray] | str], scale: str, most: int = 6
) -> list[Path]:
    """Below the originals two rows per tokenizer, at most `most` images in each: reconstruction and error map.

    tokenizers: label -> `originals` and `reconstructions` (K, H, W, 3), or why it was not run. The maps of all have one
    scale of colours. Raises FigureError if originals differ.
    """
    found = {label: arrays for label, arrays in tokenizers.items() if not isinstance(arrays, str)}
    reasons = {label: arrays for label, arrays in tokenizers.items() if isinstance(arrays, str)}
    title = f"Reconstructions and their errors (scale {scale})"
    if not found:
        return empty_sheet(stem, reasons, title)
    originals = next(iter(found.values()))["originals"]
    if any(not np.array_equal(arrays["originals"], originals) for arrays in found.values()):
        raise FigureError("reconstructions of different images stand in one figure")
    chosen = np.linspace(0, len(originals) - 1, min(most, len(originals))).astype(int)
    errors = {label: error_map(originals, arrays["reconstructions"])[chosen] for label, arrays in found.items()}
    highest = float(np.percentile(np.stack(list(errors.values())), SHARE))
    rows: list[tuple[str, Row]] = [("original", originals[chosen])]
    for label in tokenizers:
        if label in reasons:
            rows.append((label, reasons[label]))
            continue
        rows += [(label, found[label]["reconstructions"][chosen]), ("its error", colours(errors[label], highest))]
    with style.look():
        figure = draw_sheet(rows, [""] * len(chosen), title)
        mean = ", ".join(f"{label} {error.mean():.3f}" for label, error in errors.items())
        notes = [
            "Error: the absolute difference of values in [-1, 1], averaged over channels; black is none, the lightest "
            f"colour {highest:.2f} and more",
            f"Mean over these images: {mean}",
            "Pictures are those of the first seed",
        ]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def error_map(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Mean over channels of |x - x'|, of images (K, H, W, 3) read as values in [-1, 1]: (K, H, W)."""
    return np.abs(originals.astype(np.float32) - reconstructions).mean(axis=-1) / 127.5
