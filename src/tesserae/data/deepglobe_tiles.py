"""DeepGlobe land cover in tiles, with the land of each pixel (CompTok, Table 2: remote sensing).

DECISION (D2): tiles of 512 x 512 pixels that do not overlap, from the middle of each image: 16 of 2448 x 2448, whose
border is left out. Tiles of one image are all in one split. Shapes: S image side.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tesserae.data.base import open_image, ordered_map
from tesserae.data.deepglobe import COLOURS, DeepGlobe, classes_of
from tesserae.data.domains import UNKNOWN, Answer, DomainSet, chosen
from tesserae.data.errors import DataError

SPLITS = {"train": "train", "val": "test"}  # ours -> DeepGlobe's; its `val` is for choosing, and nothing is chosen


class Tile(NamedTuple):
    image: str  # its path below the root
    number: int  # row by row


@dataclass(frozen=True, kw_only=True)
class DeepGlobeTiles(DomainSet):
    """`tile`: side of a tile in the file; `train_images`, `val_images`: how many are drawn by the seed."""

    root: Path | None
    tile: int
    train_images: int
    val_images: int
    seed: int
    name = "deepglobe_tiles"
    layout = DeepGlobe.layout
    task = "pixels"
    classes = tuple(name for name in COLOURS if name != "unknown")

    @cached_property
    def whole(self) -> DeepGlobe:
        return DeepGlobe(root=self.root)

    def problems(self) -> Iterator[DataError]:
        return self.whole.problems()

    @cached_property
    def tiles(self) -> dict[str, list[Tile]]:
        """split -> its tiles, those of an image together. DataError for an image that is smaller than a tile."""
        wanted, found = {"train": self.train_images, "val": self.val_images}, {}
        for split, theirs in SPLITS.items():
            every = [Tile(key, i) for key in self.whole.keys(theirs) for i in range(self._in(key))]
            found[split] = [every[i] for i in chosen(len(every), wanted[split], self.seed, self, split)]
        return found

    def _in(self, key: str) -> int:
        """How many tiles an image has."""
        path = self.whole.tree / key
        try:
            with Image.open(path) as image:  # reads its header alone
                width, height = image.size
        except OSError as error:
            raise DataError(
                path, expected="an image", found=f"{error}", remedy="Unpack the training archive again."
            ) from error
        if min(width, height) < self.tile:
            raise DataError(
                path,
                expected=f"an image of {self.tile} pixels or more",
                found=f"{width} x {height}",
                remedy="Restore this image from the training archive.",
            )
        return (width // self.tile) * (height // self.tile)

    def counts(self) -> dict[str, int]:
        """Of the whole set."""
        return self.whole.counts()

    def decodable(self) -> list[str]:
        return self.whole.decodable()

    def damaged(self, workers: int = 1) -> Iterator[DataError | None]:
        return self.whole.damaged(workers)

    def keys(self, split: str) -> list[str]:
        return [f"{tile.image}#{tile.number}" for tile in self.tiles[split]]

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        def tiles(key: str, numbers: Sequence[int]) -> list[np.ndarray]:
            image = open_image(self.whole.tree / key)
            cut = (image.crop(self._box(image.size, number)) for number in numbers)
            return [np.asarray(one.resize((size, size), Image.Resampling.BICUBIC)) for one in cut]

        return self._each(self.tiles[split][start:], tiles, workers)

    def answers(self, split: str, *, size: int, workers: int = 1) -> Iterator[Answer]:
        unknown = list(COLOURS).index("unknown")
        table = np.array([i - (i > unknown) for i in range(len(COLOURS))], np.uint8)
        table[unknown] = UNKNOWN

        def tiles(key: str, numbers: Sequence[int]) -> list[Answer]:
            path = self.whole.tree / key.replace("_sat.jpg", "_mask.png")
            land = Image.fromarray(table[classes_of(path)])
            with Image.open(self.whole.tree / key) as image:
                if image.size != land.size:
                    raise DataError(
                        path,
                        expected=f"a mask of {image.width} x {image.height} pixels, as {key}",
                        found=f"{land.width} x {land.height}",
                        remedy="Restore both from the training archive.",
                    )
            cut = (land.crop(self._box(land.size, number)) for number in numbers)
            return [Answer(np.asarray(one.resize((size, size), Image.Resampling.NEAREST))) for one in cut]

        return self._each(self.tiles[split], tiles, workers)

    def _each(self, tiles: Sequence[Tile], cut, workers: int) -> Iterator:
        """What `cut` makes of the tiles of each image, which is opened once."""
        grouped = [
            (key, [tile.number for tile in some]) for key, some in itertools.groupby(tiles, lambda tile: tile.image)
        ]
        for made in ordered_map(lambda image: cut(*image), grouped, workers):
            yield from made

    def _box(self, size: tuple[int, int], number: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a tile of an image of that size."""
        width, height = size
        across, down = width // self.tile, height // self.tile
        left = (width - across * self.tile) // 2 + number % across * self.tile
        top = (height - down * self.tile) // 2 + number // across * self.tile
        return left, top, left + self.tile, top + self.tile
