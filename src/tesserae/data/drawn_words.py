"""Drawn words of a few capital letters: what stands in for photographed ones at small scales.

An image is a pure function of (seed, split, its number, size); no word is in both splits.

Shapes: S image side.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tesserae.data.domains import Answer, DomainSet, plain
from tesserae.data.emoji import hsv_to_rgb
from tesserae.data.errors import DataError
from tesserae.data.letters import ALPHABET, Hand, written
from tesserae.data.textures import noise

# DECISION: letters are drawn by chance, for words of a language can be guessed from a part of their letters; capitals,
# a word as wide as the image but for a margin, as the crops of photographed words (D4).
WIDTHS = (0.86, 0.98)
HEIGHTS = (0.42, 0.62)
STROKES = (0.055, 0.075)  # about two of 32 pixels
GAP, SLANT = 0.42, 0.12
CONTRAST = 0.45  # of the luminance of letters and ground, at least
CLOUDS = 18  # levels between the lightest and the darkest parts of the ground, about
SPLITS = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class DrawnWords(DomainSet):
    """Words of `lengths[0]` to `lengths[1]` letters."""

    root: Path | None
    lengths: Sequence[int]
    train_images: int
    val_images: int
    seed: int
    name = "drawn_words"
    layout = "nothing: it is drawn"
    task = "words"
    classes = ("background", "word")

    @cached_property
    def words(self) -> dict[str, list[str]]:
        """split -> the word of each image; a training word may come again. DataError where too few are left."""
        rng = np.random.default_rng((self.seed, 2))
        val = [self._drawn(rng) for _ in range(self.val_images)]
        held_out, train = set(val), []
        for _ in range(100 * self.train_images):
            if len(train) == self.train_images:
                return {"train": train, "val": val}
            if (word := self._drawn(rng)) not in held_out:
                train.append(word)
        raise DataError(
            None,
            expected=f"{self.train_images} words that are none of validation's",
            found=f"{len(train)}",
            remedy="Give the set longer words or fewer images of validation (config/domains.yaml).",
        )

    def _drawn(self, rng: np.random.Generator) -> str:
        length = int(rng.integers(self.lengths[0], self.lengths[1] + 1))
        return "".join(ALPHABET[i] for i in rng.integers(len(ALPHABET), size=length))

    def problems(self) -> Iterator[DataError]:
        return self.need_images()

    def keys(self, split: str) -> list[str]:
        return [f"{word} {number}" for number, word in enumerate(self.words[split])]

    def hand(self, split: str, number: int) -> tuple[Hand, np.random.Generator]:
        """How the word of an image is written, and what else of it is to be drawn."""
        rng = np.random.default_rng((self.seed, SPLITS.index(split), number))
        width, height = (low + (high - low) * rng.random() for low, high in (WIDTHS, HEIGHTS))
        left, top = (part * (1 - side) for part, side in zip(rng.random(2), (width, height), strict=True))
        stroke = STROKES[0] + (STROKES[1] - STROKES[0]) * rng.random()
        slant = SLANT * (2 * rng.random() - 1)
        return Hand(left, top, width, height, stroke, GAP, slant), rng

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        for number in range(start, self.count(split)):
            hand, rng = self.hand(split, number)
            ink, ground = colours(rng)
            covered = written(self.words[split][number], hand, size)[..., None]
            canvas = ground + CLOUDS * (noise(size, 4, rng)[..., None] - 0.5)
            canvas = canvas + covered * (ink - canvas)
            yield np.clip(canvas + 0.5, 0, 255).astype(np.uint8)

    def answers(self, split: str, *, size: int, workers: int = 1) -> Iterator[Answer]:
        for number, word in enumerate(self.words[split]):
            hand, _ = self.hand(split, number)
            yield Answer(box(hand, size), plain(word))


def box(hand: Hand, size: int) -> np.ndarray:
    """The pixels of the rectangle around a word, uint8 (S, S)."""
    mask = np.zeros((size, size), np.uint8)
    rows, columns = (
        slice(int(first * size), math.ceil((first + side) * size))
        for first, side in ((hand.top, hand.height), (hand.left, hand.width))
    )
    mask[rows, columns] = 1
    return mask


def colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of letters and of what they stand on, float64 (3,) in [0, 255], one light and one dark."""
    hues, saturations = rng.random(2), 0.5 * rng.random(2)
    dark = 0.35 * rng.random()
    light = dark + CONTRAST + (1 - dark - CONTRAST) * rng.random()
    values = (dark, light) if rng.random() < 0.5 else (light, dark)
    ink, ground = hsv_to_rgb(np.stack([hues, saturations, np.array(values)], axis=1))
    return 255 * ink, 255 * ground
