"""What probes cost, from their settings alone: they are plain Transformers.

Shapes: T tokens of a sequence, D width of the probe, d values of a token, W of a phrase.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

# Bytes that a block keeps of each value of a sequence for the way back, with its feed-forward of four times the width
# and dropout, without the attention's products, which are made again (arXiv 2205.05198, Eq. 2: 34 in half precision).
KEPT_OF_VALUE = {"bf16": 34, "fp32": 64}
ROLES = 3


class Read(NamedTuple):
    """What a probe reads of each image."""

    tokens: int
    width: int  # d
    phrases: int = 0  # W of a task of relations, else 0
    candidates: int = 1  # sequences of each image


def forward(model: Mapping[str, Any], read: Read, outputs: int) -> float:
    """FLOP of one image through a probe: a multiplication with an addition counts two."""
    width, blocks = model["width"], model["blocks"]
    length = 1 + read.tokens + (ROLES if read.phrases else 0)
    # Three projections, their output, two of the feed-forward; products of queries and keys, and with values.
    blocks_of = blocks * (24 * length * width**2 + 4 * length**2 * width)
    words = 2 * ROLES * read.phrases * width
    return 2 * read.tokens * read.width * width + read.candidates * (blocks_of + words + 2 * width * outputs)


def training(spec: Mapping[str, Any], read: Read, outputs: int, train: int, val: int) -> tuple[dict[str, float], float]:
    """FLOP by precision of a probe that runs all its epochs, and the bytes of a batch on the way back."""
    model, settings = spec["model"], spec["training"]
    each = forward(model, read, outputs)
    flops = settings["epochs"] * (3 * train + val) * each  # back costs twice as much as forth
    values = settings["batch"] * read.candidates * (1 + read.tokens + ROLES) * model["width"] * model["blocks"]
    by_precision = {"bf16": 0.0, "fp32": 0.0} | {settings["precision"]: float(flops)}
    return by_precision, float(values * KEPT_OF_VALUE[settings["precision"]])


def images(spec: Mapping[str, Any], split: str) -> int:
    """Of a split of a set of scenes, about."""
    total = spec.get("expected_images", spec.get("images"))
    held_out = round(total * spec["validation_fraction"])
    return held_out if split == "val" else total - held_out
