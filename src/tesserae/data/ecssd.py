"""ECSSD and CSSD: one salient object per image, with a mask.

    images/0001.jpg ..., ground_truth_mask/0001.png ...

1,000 images (ECSSD) or 200 (CSSD) in the same layout. COMiT compares attention maps with the masks; see docs/data.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tesserae.data.base import Files, image_names, open_image, some
from tesserae.data.errors import DataError

IMAGES, MASKS = "images", "ground_truth_mask"


@dataclass(frozen=True, kw_only=True)
class Ecssd(Files):
    """One split, "all": a benchmark that nobody trains on."""

    root: Path | None
    name = "ecssd"
    layout = f"a folder with {IMAGES}/*.jpg and {MASKS}/*.png as the two archives unpack"
    splits = ("all",)

    @cached_property
    def stems(self) -> list[str]:
        return sorted(Path(name).stem for name in image_names(self.tree / IMAGES))

    def problems(self) -> Iterator[DataError]:
        missing = list(self.need(IMAGES, MASKS))
        yield from missing
        if missing:
            return
        yield from self.need_images()
        masks = {Path(name).stem for name in image_names(self.tree / MASKS)}
        alone = sorted(masks.symmetric_difference(self.stems))
        if alone:
            yield DataError(
                self.tree,
                expected="a mask for every image, and an image for every mask",
                found=f"{len(alone)} without ({some(alone)})",
                remedy="Unpack images.zip and ground_truth_mask.zip again.",
            )

    def keys(self, split: str) -> list[str]:
        return [f"{IMAGES}/{stem}.jpg" for stem in self.stems]

    def counts(self) -> dict[str, int]:
        return super().counts() | {"all masks": sum(1 for _ in image_names(self.tree / MASKS))}

    def decodable(self) -> list[str]:
        return [*super().decodable(), *(f"{MASKS}/{stem}.png" for stem in self.stems)]

    def annotations(self, split: str) -> Iterator[np.ndarray]:
        """The mask of each image: bool (H, W), true on the object."""
        for stem in self.stems:
            yield np.asarray(open_image(self.tree / MASKS / f"{stem}.png", "L")) > 127
