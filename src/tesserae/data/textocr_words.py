"""Words of TextOCR, each in the middle of a square cut from its photograph (CompTok, Table 2: text).

DECISION (D4): words of at least three legible letters or digits and 32 pixels in height; the square is a tenth larger
than the box on either side; beyond the photograph its last pixels are repeated. Shapes: S image side.
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
from tesserae.data.domains import Answer, DomainSet, chosen, plain
from tesserae.data.errors import DataError
from tesserae.data.textocr import TextOcr

MARGIN = 0.1  # of the box's longer side, on either side
LONGEST = 25  # letters that PARSeq reads


class Place(NamedTuple):
    """A word in a photograph."""

    image: str  # path below the root
    word: str
    box: tuple[float, float, float, float]  # left, top, width, height


@dataclass(frozen=True, kw_only=True)
class TextOcrWords(DomainSet):
    """`height`, `letters`: what a word has at least; `train_images`, `val_images`: drawn by the seed."""

    root: Path | None
    height: float
    letters: int
    train_images: int
    val_images: int
    seed: int
    name = "textocr_words"
    layout = TextOcr.layout
    checksums = TextOcr.checksums
    archives = TextOcr.archives
    task = "words"
    classes = ("background", "word")

    @cached_property
    def whole(self) -> TextOcr:
        return TextOcr(root=self.root)

    def problems(self) -> Iterator[DataError]:
        found = list(self.whole.problems())
        yield from found
        if not found:
            yield from self.need_images()

    @cached_property
    def places(self) -> dict[str, list[Place]]:
        """split -> its words, those of a photograph together."""
        wanted, found = {"train": self.train_images, "val": self.val_images}, {}
        for split in self.splits:
            photographs = zip(self.whole.keys(split), self.whole.annotations(split), strict=True)
            every = [
                Place(key, plain(word.text), word.box)
                for key, words in photographs
                for word in words
                if word.legible and word.box[3] >= self.height and self.letters <= len(plain(word.text)) <= LONGEST
            ]
            found[split] = [every[i] for i in chosen(len(every), wanted[split], self.seed, self, split)]
        return found

    def counts(self) -> dict[str, int]:
        """Of the whole set."""
        return self.whole.counts()

    def decodable(self) -> list[str]:
        return self.whole.decodable()

    def damaged(self, workers: int = 1) -> Iterator[DataError | None]:
        return self.whole.damaged(workers)

    def keys(self, split: str) -> list[str]:
        return [f"{place.image}#{number}" for number, place in enumerate(self.places[split])]

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        def squares(key: str, places: Sequence[Place]) -> list[np.ndarray]:
            photograph = open_image(self.whole.tree / key)
            return [square(photograph, place.box, size) for place in places]

        grouped = itertools.groupby(self.places[split][start:], lambda place: place.image)
        entries = [(key, list(places)) for key, places in grouped]
        for made in ordered_map(lambda entry: squares(*entry), entries, workers):
            yield from made

    def answers(self, split: str, *, size: int, workers: int = 1) -> Iterator[Answer]:
        return (Answer(mask_of(place.box, size), place.word) for place in self.places[split])


def corners(box: tuple[float, float, float, float]) -> tuple[float, float, float]:
    """Left, top and side of the square around a word's box."""
    left, top, width, height = box
    side = (1 + 2 * MARGIN) * max(width, height)
    return left + (width - side) / 2, top + (height - side) / 2, side


def square(photograph: Image.Image, box: tuple[float, float, float, float], size: int) -> np.ndarray:
    """The square around a word, uint8 (S, S, 3); bicubic, also between the pixels where it does not begin at one."""
    left, top, side = corners(box)
    first = np.floor([left, top]).astype(int)
    last = np.ceil([left + side, top + side]).astype(int)
    pixels = np.asarray(photograph)
    columns = np.clip(np.arange(first[0], last[0]), 0, photograph.width - 1)
    rows = np.clip(np.arange(first[1], last[1]), 0, photograph.height - 1)
    around = Image.fromarray(pixels[rows][:, columns])
    inner = (left - first[0], top - first[1], left - first[0] + side, top - first[1] + side)
    return np.asarray(around.resize((size, size), Image.Resampling.BICUBIC, box=inner))


def mask_of(box: tuple[float, float, float, float], size: int) -> np.ndarray:
    """The word's box in its square, uint8 (S, S): at least one pixel."""
    left, top, side = corners(box)
    found = np.zeros((size, size), np.uint8)
    x0, y0 = ((box[i] - corner) / side * size for i, corner in ((0, left), (1, top)))
    x1, y1 = x0 + box[2] / side * size, y0 + box[3] / side * size
    found[round(y0) : max(round(y1), round(y0) + 1), round(x0) : max(round(x1), round(x0) + 1)] = 1
    return found
