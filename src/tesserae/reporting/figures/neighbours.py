"""Images and those that are nearest to them by their tokens: COMiT, Fig. 9.

Shapes: Q queries, k neighbours of each, H x W pixels; images are uint8 (..., H, W, 3).
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds, style
from tesserae.reporting.drawing import Row, draw_sheet, empty_sheet, left_out, note
from tesserae.reporting.figure_inputs import measured, reasons_by_label

NONE: Mapping[str, str] = MappingProxyType({})


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row the `neighbours` of images, of the stage `neighbours`."""
    found, metrics = {}, {}
    for label, arrays, numbers in measured(work, "tokenizers", "neighbours", "neighbours.npz"):
        found[label], metrics[label] = arrays, seeds.over_seeds(numbers)
    reasons = reasons_by_label(work, "tokenizers", "neighbours")
    plot(stem, tokenizers=found, numbers=metrics, reasons=reasons, scale=work.spec["scale"])


def plot(
    stem: str | Path,
    *,
    tokenizers: Mapping[str, Mapping[str, np.ndarray]],
    numbers: Mapping[str, Mapping[str, Any]],
    scale: str,
    reasons: Mapping[str, str] = NONE,
    most: int = 6,
) -> list[Path]:
    """Per tokenizer at most `most` rows: a query, then its neighbours, the nearest first.

    tokenizers: label -> `images` (Q, 1 + k, H, W, 3) and `labels` (Q, 1 + k) of the stage `neighbours`; numbers: label
    -> its metrics.json over seeds.
    """
    title = f"Nearest neighbours (scale {scale})"
    if not tokenizers:
        return empty_sheet(stem, reasons, title)
    rows: list[tuple[str, Row]] = []
    for label, arrays in tokenizers.items():
        images, labels = arrays["images"], arrays["labels"]
        chosen = np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)
        for place, query in enumerate(chosen):
            alike = int((labels[query, 1:] == labels[query, 0]).sum())
            said = f"{alike} of {labels.shape[1] - 1} of its class"
            rows.append((said if place else f"{label}\n{said}", images[query]))
    rows += list(reasons.items())
    neighbours = next(iter(tokenizers.values()))["images"].shape[1] - 1
    with style.look():
        heads = ["query", *map(_ordinal, range(1, neighbours + 1))]
        figure = draw_sheet(rows, heads, title, breaks=0 if reasons else len(rows) // len(tokenizers))
        notes = [
            f"{label}: {metrics['values']['agreement']:.1f} % of the {neighbours} nearest of all validation images "
            f"have the image's own class, {metrics['values']['chance']:.1f} % of all others; {seeds.spread([metrics])}"
            for label, metrics in numbers.items()
        ]
        notes += ["Nearest by the cosine of all tokens of an image, one after another; pictures of the first seed"]
        notes += [f"Not run: {left_out(reasons)}"] if reasons else []
        note(figure, notes)
        return style.save(figure, stem)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number, "th")
    return f"{number}{ending}"
