"""Glyphs of some groups of the embedded corpus on textured backgrounds, with the group of each pixel.

They stand in for satellite images at small scales: kinds of land are kinds of glyphs. An image is a pure function of
(seed, split, its number, size); no glyph is in both splits.

Shapes: S image side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from tesserae.data.domains import Answer, DomainSet
from tesserae.data.emoji import Corpus, hsv_to_rgb, load_corpus, split
from tesserae.data.errors import DataError
from tesserae.data.textures import texture

# DECISION: how they are shown; no paper draws such images. As large as small networks can tell groups apart.
SIDES = (0.45, 0.70)  # of a glyph, as a fraction of the image side
DULLEST, BRIGHTEST = np.array([0.0, 0.05, 0.30]), np.array([1.0, 0.45, 0.85])  # hue, saturation, value of a texture
APART = np.array([0.08, 0.15, 0.25])  # of its two colours, at most
SPLITS = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class EmojiLand(DomainSet):
    """`glyphs` of the named groups in each image, which may hide one another."""

    root: Path | None
    groups: Sequence[str]
    glyphs: int
    train_images: int
    val_images: int
    validation_fraction: float
    seed: int
    name = "emoji_land"
    layout = "the corpus file emoji.npz (shipped as data/emoji/emoji.npz)"
    task = "pixels"

    @cached_property
    def corpus(self) -> Corpus:
        return load_corpus(self.need_root(self.layout))

    @property
    def classes(self) -> tuple[str, ...]:
        return ("background", *self.groups)

    @cached_property
    def kinds(self) -> dict[str, list[np.ndarray]]:
        """split -> the glyphs of each group; ValueError for a group that there is not."""
        divided = split(self.corpus, validation_fraction=self.validation_fraction, seed=self.seed)
        groups = np.array(self.corpus.groups)
        if unknown := [name for name in self.groups if name not in groups]:
            raise ValueError(f"emoji have no group {unknown[0]!r}; there are {', '.join(dict.fromkeys(groups))}")
        return {
            name: [part[groups[part] == group] for group in self.groups]
            for name, part in zip(SPLITS, divided, strict=True)
        }

    def problems(self) -> Iterator[DataError]:
        _ = self.kinds  # refuses groups that there are not
        return self.need_images()

    def keys(self, split: str) -> list[str]:
        count = {"train": self.train_images, "val": self.val_images}[split]
        return [f"{split} {number}" for number in range(count)]

    def drawn(self, split: str, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """An image, uint8 (S, S, 3), and the class of each pixel, uint8 (S, S)."""
        rng = np.random.default_rng((self.seed, SPLITS.index(split), number))
        canvas, mask = ground(size, rng), np.zeros((size, size), np.uint8)
        for _ in range(self.glyphs):
            kind = int(rng.integers(len(self.groups)))
            glyph = int(rng.choice(self.kinds[split][kind]))
            lay(canvas, mask, self.corpus.images[glyph], kind + 1, rng)
        return (canvas + 0.5).astype(np.uint8), mask

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        return (self.drawn(split, number, size)[0] for number in range(start, self.count(split)))

    def answers(self, split: str, *, size: int, workers: int = 1) -> Iterator[Answer]:
        return (Answer(self.drawn(split, number, size)[1]) for number in range(self.count(split)))


def ground(size: int, rng: np.random.Generator) -> np.ndarray:
    """A texture between two colours: float32 (S, S, 3) in [0, 255]."""
    first = DULLEST + (BRIGHTEST - DULLEST) * rng.random(3)
    second = first + APART * (2 * rng.random(3) - 1)
    second[1:] = np.clip(second[1:], DULLEST[1:], BRIGHTEST[1:])
    start, end = 255 * hsv_to_rgb(np.stack([first, second]))
    return (start + texture(size, rng)[..., None] * (end - start)).astype(np.float32)


def lay(canvas: np.ndarray, mask: np.ndarray, picture: np.ndarray, kind: int, rng: np.random.Generator) -> None:
    """Lay an RGBA picture somewhere on a canvas (S, S, 3), and its class where it is more opaque than not."""
    size = len(canvas)
    side = max(1, round((SIDES[0] + (SIDES[1] - SIDES[0]) * rng.random()) * size))
    left, top = (round(part * (size - side)) for part in rng.random(2))
    premultiplied = Image.fromarray(picture).convert("RGBa")
    glyph = np.asarray(premultiplied.resize((side, side), Image.Resampling.HAMMING), dtype=np.float32)
    under = canvas[top : top + side, left : left + side]
    under *= 1 - glyph[..., 3:] / 255
    under += glyph[..., :3]
    mask[top : top + side, left : left + side][glyph[..., 3] > 127] = kind
