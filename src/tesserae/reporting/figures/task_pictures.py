"""Images of a domain as each tokenizer leaves them, and what the task's fixed network sees in them (CompTok, Table 2).

Shapes: K images of H x W pixels, F times enlarged; images are uint8 (..., H, W, 3), masks uint8 (..., H, W).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import SIDE, Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.figure_inputs import measured, reasons_by_label

NONE: Mapping[str, str] = MappingProxyType({})
NUMBERS = {
    "pixel_accuracy": "{:.1f} % of pixels",
    "dice": "Dice {:.1f} %",
    "exact_match": "{:.1f} % of words",
}
WIDE = 3  # pixels of an outline


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row what is `shown` of the stage `task_score`; all rows of one domain."""
    found, metrics = {}, {}
    for label, arrays, numbers in measured(work, "tokenizers", "shown", "shown.npz"):
        found[label], metrics[label] = arrays, seeds.over_seeds(numbers)
    reasons = reasons_by_label(work, "tokenizers", "shown")
    plot(stem, tokenizers=found, numbers=metrics, reasons=reasons, title=work.spec["title"], scale=work.spec["scale"])


def plot(
    stem: str | Path,
    *,
    tokenizers: Mapping[str, Mapping[str, np.ndarray]],
    numbers: Mapping[str, Mapping[str, Any]],
    title: str,
    scale: str,
    reasons: Mapping[str, str] = NONE,
) -> list[Path]:
    """Originals with what is right of them, then a row of each tokenizer with what the network says.

    tokenizers: label -> the arrays of shown.npz; numbers: label -> its metrics.json over seeds.
    """
    title = f"{title} (scale {scale})"
    if not tokenizers:
        return empty_sheet(stem, reasons, title)
    first = next(iter(tokenizers.values()))
    reads = "words" in first
    rows: dict[str, Row] = {"original": first["originals"] if reads else outlined(first["originals"], first["true"])}
    for label, arrays in tokenizers.items():
        pictures = arrays["reconstructions"]
        rows[label] = pictures if reads else outlined(pictures, arrays["found"])
    rows |= reasons
    heads = [str(word) for word in first["words"]] if reads else [""] * len(first["originals"])
    with style.look():
        figure = draw_sheet(rows, heads, title)
        if reads:
            _say_readings(figure.axes[0], [arrays["read"] for arrays in tokenizers.values()])
        note(figure, [_said(numbers, reads), *([f"Not run: {left_out(reasons)}"] if reasons else [])])
        return style.save(figure, stem)


def outlined(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Images enlarged (K, F H, F W, 3), with a line in the colour of its class along the inner edge of every region."""
    factor = max(1, math.ceil(SIDE / min(images.shape[1:3])))
    large, classes = (some.repeat(factor, 1).repeat(factor, 2) for some in (images, masks))
    padded = np.pad(classes, ((0, 0), (WIDE, WIDE), (WIDE, WIDE)), mode="edge")
    height, width = classes.shape[1:]
    inner = np.ones(classes.shape, bool)  # of the same class as all pixels up to so far away
    for down in (0, WIDE, 2 * WIDE):
        for across in (0, WIDE, 2 * WIDE):
            inner &= padded[:, down : down + height, across : across + width] == classes
    colours = np.array([_rgb(colour) for colour, _ in style.OTHERS], np.uint8)
    lines = colours[(classes.astype(int) - 1) % len(colours)]
    return np.where(((classes > 0) & ~inner)[..., None], lines, large)


def _rgb(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _say_readings(axes: Any, readings: list[np.ndarray]) -> None:
    """What was read of each image, below it; the first row, of originals, has the words above it."""
    below = {"ha": "center", "va": "top", "fontsize": 7, "color": style.INK, "backgroundcolor": "white"}
    ys = axes.get_yticks()
    for y, row in zip(ys[1:], readings, strict=False):
        for x, word in zip(axes.get_xticks(), row, strict=True):
            axes.text(x, y + 0.34 * (ys[1] - ys[0]), str(word) or "nothing", **below)


def _said(numbers: Mapping[str, Mapping[str, Any]], reads: bool) -> str:
    """The task's number of every tokenizer, in words."""
    found = [
        f"{label} {words.format(metrics['values'][name])}"
        for label, metrics in numbers.items()
        for name, words in NUMBERS.items()
        if name in metrics["values"]
    ]
    how = "Below each image what was read" if reads else "Lines: the region of a class, of the originals the true one"
    return f"{how}. Of all images: {', '.join(found)}; {seeds.spread(numbers.values())}"
