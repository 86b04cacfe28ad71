"""What figures of kept patches share: the arrays and numbers of the stage `kept_tokens`, of the first seed.

Shapes: K images, H x W pixels, G x G patches, E loss rates; images are uint8 (..., H, W, 3).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import seeds
from tesserae.reporting.figure_inputs import measured, reasons_by_label

FILE = "kept.npz"


class Kept(NamedTuple):
    """Of one tokenizer."""

    arrays: Mapping[str, np.ndarray]  # of kept.npz
    metrics: Mapping[str, Any]  # of metrics.json, over seeds: `values` and `seeds`
    sweep: list[dict[str, float]]  # of the first seed: numbers at each loss rate


def read_kept(work: Work) -> tuple[dict[str, Kept], dict[str, str]]:
    """By the label of each row, and why others are not run."""
    found = {
        label: Kept(arrays, seeds.over_seeds(numbers), numbers[0]["sweep"])
        for label, arrays, numbers in measured(work, "tokenizers", "kept", FILE)
    }
    return found, reasons_by_label(work, "tokenizers", "kept")


def percent(value: float) -> str:
    """A share as figures write it."""
    return f"{value:.1f} %"
