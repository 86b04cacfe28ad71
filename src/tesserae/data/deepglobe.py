"""DeepGlobe land cover: satellite images of 2448 x 2448 pixels with seven kinds of land in colours.

    train/<id>_sat.jpg, train/<id>_mask.png

CompTok decodes these images and looks whether a fixed model still sees the land; see docs/data.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tesserae.data.base import Files, open_image, some
from tesserae.data.errors import DataError

# The colours of class_dict.csv; a class is its position.
COLOURS = {
    "urban land": (0, 255, 255),
    "agriculture land": (255, 255, 0),
    "rangeland": (255, 0, 255),
    "forest land": (0, 255, 0),
    "water": (0, 0, 255),
    "barren land": (255, 255, 255),
    "unknown": (0, 0, 0),
}
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
SEED = 0


@dataclass(frozen=True, kw_only=True)
class DeepGlobe(Files):
    """The 803 public pairs of image and mask, divided by image."""

    # DECISION: 70 : 10 : 20 of the 803 training images, shuffled with a seed: masks of the official validation and test
    # images are not public, and CompTok does not say what it used.
    root: Path | None
    name = "deepglobe"
    layout = "a folder with train/<id>_sat.jpg and train/<id>_mask.png (the challenge's training archive)"
    splits = tuple(SHARES)

    def ids(self, suffix: str) -> set[str]:
        return {entry.name.removesuffix(suffix) for entry in (self.tree / "train").glob(f"*{suffix}")}

    @cached_property
    def divided(self) -> dict[str, list[str]]:
        """split -> ids, in numerical order."""
        ids = sorted(self.ids("_sat.jpg"), key=lambda name: (len(name), name))
        order = np.random.default_rng(SEED).permutation(len(ids))
        ends = np.round(np.cumsum(list(SHARES.values())) * len(ids)).astype(int)
        parts = np.split(order, ends[:-1])
        return {split: [ids[i] for i in sorted(part)] for split, part in zip(SHARES, parts, strict=True)}

    def problems(self) -> Iterator[DataError]:
        missing = list(self.need("train"))
        yield from missing
        if missing:
            return
        yield from self.need_images()
        alone = sorted(self.ids("_sat.jpg") ^ self.ids("_mask.png"))
        if alone:
            yield DataError(
                self.tree / "train",
                expected="a mask for every image, and an image for every mask",
                found=f"{len(alone)} without ({some(alone)})",
                remedy="Unpack the training archive again.",
            )

    def keys(self, split: str) -> list[str]:
        return [f"train/{name}_sat.jpg" for name in self.divided[split]]

    def decodable(self) -> list[str]:
        images = super().decodable()
        return [*images, *(name.replace("_sat.jpg", "_mask.png") for name in images)]

    def annotations(self, split: str) -> Iterator[np.ndarray]:
        """The land of each pixel: uint8 (H, W), a position in COLOURS."""
        for name in self.divided[split]:
            yield classes_of(self.tree / "train" / f"{name}_mask.png")


def classes_of(path: Path) -> np.ndarray:
    """A mask file as classes, uint8 (H, W); DataError if it holds a colour of no class.

    The challenge says that masks are not purely 0 and 255 and must be cut at 128.
    """
    bits = (np.asarray(open_image(path)) >= 128) @ np.array([4, 2, 1])  # (H, W), 0 ... 7
    table = np.full(8, len(COLOURS), dtype=np.uint8)
    for number, colour in enumerate(COLOURS.values()):
        table[(np.array(colour) >= 128) @ np.array([4, 2, 1])] = number
    classes = table[bits]
    if classes.max() == len(COLOURS):
        raise DataError(
            path,
            expected=f"the {len(COLOURS)} colours of land cover",
            found="red, which is none of them",
            remedy="Restore this mask from the training archive.",
        )
    return classes
