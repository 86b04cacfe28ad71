"""What figures of attention share: arrays and numbers of the stage `objectness`, and maps laid over images.

Shapes: K images of side S, G x G positions of a map; images are uint8 (..., S, S, 3).
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tesserae.lineage.work import Work
from tesserae.reporting import published as printed_numbers
from tesserae.reporting import seeds
from tesserae.reporting.drawing import FigureError
from tesserae.reporting.figure_inputs import measured, reasons_by_label
from tesserae.reporting.overlays import DARK, colours
from tesserae.reporting.tables import same_measure

FILE = "objectness.npz"
COLUMN = "mIoU"  # of the published file
BLEND = 0.6  # of a map, and the rest of its image


class Found(NamedTuple):
    """Of one tokenizer."""

    arrays: Mapping[str, np.ndarray]  # of objectness.npz, of the first seed
    metrics: Mapping[str, Any]  # of metrics.json, over seeds: `values`, `sd` and `seeds`
    layers: list[list[dict[str, float]]]  # of each seed: miou and chance at each block
    masked: float  # percent of pixels that belong to objects


def read_objects(work: Work) -> tuple[dict[str, Found], dict[str, str]]:
    """By the label of each row, and why others are not run. Raises TableError if rows were measured differently."""
    found = {}
    for label, arrays, numbers in measured(work, "tokenizers", "objects", FILE):
        whole, layers = seeds.over_seeds(numbers), [one["layers"] for one in numbers]
        found[label] = Found(arrays, whole, layers, whole["values"]["object_percent"])
    same_measure({label: one.metrics["measure"] for label, one in found.items()}, where="the tokenizers")
    return found, reasons_by_label(work, "tokenizers", "objects")


def printed(work: Work) -> dict[str, float]:
    """The mIoU of each row of the published table that the figure names; nothing where none is printed."""
    table = work.spec["published"]
    if not table:
        return {}
    frame = printed_numbers.load(work.sources["published"])
    there = frame[(frame["table"] == table) & (frame["column"] == COLUMN)].dropna(subset="value")
    return dict(zip(there["row"], there["value"].tolist(), strict=True))


def at_shares(values: Mapping[str, float]) -> dict[int, float]:
    """Printed numbers whose row begins with how much of a map is kept, "30% attention thresholding", by percent."""
    return {int(match[0]): value for row, value in values.items() if (match := re.match(r"\d+(?=%)", row))}


def same_images(found: Mapping[str, Found]) -> np.ndarray:
    """The images (K, S, S, 3) that all tokenizers show; FigureError if they show different ones."""
    first, *others = (one.arrays["originals"] for one in found.values())
    if any(not np.array_equal(first, other) for other in others):
        raise FigureError("tokenizers show different images")
    return first


def evenly(count: int, most: int) -> np.ndarray:
    """At most `most` of so many positions, evenly spread, int64."""
    return np.linspace(0, count - 1, min(most, count)).astype(int)


def enlarged(maps: np.ndarray, side: int) -> np.ndarray:
    """Maps (..., G, G) -> float32 (..., S, S), bilinear between the centres of positions, as they are measured."""
    flat = maps.reshape(-1, *maps.shape[-2:]).astype(np.float32)
    large = [Image.fromarray(one).resize((side, side), Image.Resampling.BILINEAR) for one in flat]
    return np.stack([np.asarray(one) for one in large]).reshape(*maps.shape[:-2], side, side)


def laid_over(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Images (K, S, S, 3) under maps (K, G, G) as colours, each map from its lowest to its highest value."""
    large = enlarged(maps, images.shape[1])
    large = large - large.min(axis=(1, 2), keepdims=True)
    large = large / np.maximum(large.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    return np.round(BLEND * colours(large, 1.0) + (1 - BLEND) * images).astype(np.uint8)


def kept_of(images: np.ndarray, maps: np.ndarray, share: float) -> np.ndarray:
    """Images (K, S, S, 3) of which only the `share` percent of pixels where maps (K, G, G) are highest stay light."""
    side = images.shape[1]
    flat = enlarged(maps, side).reshape(len(maps), -1)
    order = np.argsort(-flat, axis=1, kind="stable")[:, : round(share / 100 * side**2)]
    lit = np.zeros(flat.shape, bool)
    np.put_along_axis(lit, order, True, axis=1)
    return np.where(lit.reshape(*images.shape[:3], 1), images, np.round(DARK * images)).astype(np.uint8)
