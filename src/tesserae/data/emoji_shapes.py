"""Grey, low-contrast outlines of glyphs of the embedded corpus, with the pixels that they cover.

They stand in for X-rays with findings at small scales: what is to be found is hardly lighter or darker than what is
around it, and some images show nothing. An image is a pure function of (seed, split, its number, size); no glyph is in
both splits.

Shapes: S image side.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from tesserae.data.domains import Answer, DomainSet
from tesserae.data.emoji import Corpus, load_corpus, split
from tesserae.data.errors import DataError
from tesserae.data.textures import noise

# DECISION: how they are shown; no paper draws such images.
SIDES = (0.35, 0.70)  # of a shape, as a fraction of the image side
AROUND = (60, 190)  # levels of what is around
CLOUDS = 40  # levels between its lightest and darkest parts, about
CONTRAST = (14, 40)  # levels between a shape and what is around
GRAIN = 4.0  # deviation of noise that has no structure, at 32 pixels; finer pixels have more, as in one exposure
SPLITS = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class EmojiShapes(DomainSet):
    """`empty`: share of images that show no shape."""

    root: Path | None
    empty: float
    train_images: int
    val_images: int
    validation_fraction: float
    seed: int
    name = "emoji_shapes"
    layout = "the corpus file emoji.npz (shipped as data/emoji/emoji.npz)"
    task = "region"
    classes = ("background", "shape")

    @cached_property
    def corpus(self) -> Corpus:
        return load_corpus(self.need_root(self.layout))

    @cached_property
    def glyphs(self) -> dict[str, np.ndarray]:
        divided = split(self.corpus, validation_fraction=self.validation_fraction, seed=self.seed)
        return dict(zip(SPLITS, divided, strict=True))

    def problems(self) -> Iterator[DataError]:
        return self.need_images()

    def keys(self, split: str) -> list[str]:
        count = {"train": self.train_images, "val": self.val_images}[split]
        return [f"{split} {number}" for number in range(count)]

    def drawn(self, split: str, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """An image, uint8 (S, S, 3), all three colours the same, and the class of each pixel, uint8 (S, S)."""
        rng = np.random.default_rng((self.seed, SPLITS.index(split), number))
        grey = AROUND[0] + (AROUND[1] - AROUND[0]) * rng.random() + CLOUDS * (noise(size, 3, rng) - 0.5)
        mask = np.zeros((size, size), np.uint8)
        if rng.random() >= self.empty:
            alpha = outline(self.corpus.images[int(rng.choice(self.glyphs[split]))], size, rng)
            change = (CONTRAST[0] + (CONTRAST[1] - CONTRAST[0]) * rng.random()) * (1 if rng.random() < 0.5 else -1)
            grey = grey + change * alpha
            mask[alpha > 0.5] = 1
        grey = grey + GRAIN * (size / 32) ** 0.5 * rng.standard_normal((size, size))
        levels = np.clip(grey + 0.5, 0, 255).astype(np.uint8)
        return np.repeat(levels[..., None], 3, axis=-1), mask

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        return (self.drawn(split, number, size)[0] for number in range(start, self.count(split)))

    def answers(self, split: str, *, size: int, workers: int = 1) -> Iterator[Answer]:
        return (Answer(self.drawn(split, number, size)[1]) for number in range(self.count(split)))


def outline(picture: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """How much of each pixel a glyph covers, somewhere in an image: float32 (S, S) in [0, 1]."""
    side = max(1, round((SIDES[0] + (SIDES[1] - SIDES[0]) * rng.random()) * size))
    left, top = (round(part * (size - side)) for part in rng.random(2))
    alpha = Image.fromarray(picture[..., 3]).resize((side, side), Image.Resampling.HAMMING)
    covered = np.zeros((size, size), np.float32)
    covered[top : top + side, left : left + side] = np.asarray(alpha, dtype=np.float32) / 255
    return covered
