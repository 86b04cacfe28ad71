"""Scenes of two glyphs of the embedded corpus: which categories there are, and how one stands to the other.

They stand in for MSCOCO and Visual Genome at small scales. A scene is a pure function of (seed, its number, size).

Shapes: S image side.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tesserae.data.emoji import Corpus, background, draw_appearance, load_corpus
from tesserae.data.errors import DataError
from tesserae.data.pairs import PairSplit, divide_pairs
from tesserae.data.scenes import SceneSet
from tesserae.data.triplets import Triplet, divide

PREDICATES = ("left of", "right of", "above", "below", "inside")
INVERSE = {0: 1, 1: 0, 2: 3, 3: 2}  # of a predicate; nothing is said of what is around
# DECISION: no paper draws such scenes. Glyphs are as large as two of them can be, and side by side they may be shifted
# by less than half of what lies between them, so that one predicate alone holds.
SIDES = (0.40, 0.50)  # of a glyph, as a fraction of the image side
OUTER, INNER = (0.90, 1.00), (0.36, 0.44)
SHIFT = 0.20  # across the direction of a relation


class Placed(NamedTuple):
    """A glyph on a canvas; fractions of the image side."""

    glyph: int
    left: float
    top: float
    side: float


@dataclass(frozen=True, kw_only=True)
class EmojiScenes(SceneSet):
    """Two glyphs of different categories on one background.

    categories: "group", "subgroup" or "glyph"; kinds: how many of them, drawn by the seed; images: of both splits.
    """

    root: Path | None
    categories: str
    kinds: int
    images: int
    validation_fraction: float
    seed: int
    layout = "the corpus file emoji.npz (shipped as data/emoji/emoji.npz)"
    placements = len(PREDICATES)  # how many of them scenes are placed by

    @cached_property
    def corpus(self) -> Corpus:
        return load_corpus(self.need_root(self.layout))

    @cached_property
    def chosen(self) -> tuple[tuple[str, ...], list[np.ndarray]]:
        """Names of the categories, and the glyphs of each; ValueError for more categories than there are."""
        columns = {"group": self.corpus.groups, "subgroup": self.corpus.subgroups, "glyph": self.corpus.names}
        if self.categories not in columns:
            raise ValueError(f"emoji have no categories {self.categories!r}; there are {', '.join(columns)}")
        column = np.array(columns[self.categories])
        # Glyphs that share one picture would be two categories that look alike.
        pictures = [image.tobytes() for image in self.corpus.images]
        copies = Counter(pictures)
        column[[i for i, picture in enumerate(pictures) if copies[picture] > 1]] = ""
        known = [name for name in dict.fromkeys(column.tolist()) if name]
        if not 2 < self.kinds <= len(known):
            raise ValueError(f"{self.kinds} of {len(known)} categories of emoji ({self.categories}) cannot be chosen")
        order = np.sort(np.random.default_rng(self.seed).permutation(len(known))[: self.kinds])
        names = tuple(known[i] for i in order)
        return names, [np.flatnonzero(column == name) for name in names]

    @property
    def names(self) -> tuple[str, ...]:
        return self.chosen[0]

    def problems(self) -> Iterator[DataError]:
        _ = self.chosen  # refuses categories that there are not
        return self.need_images()

    def drawn(self, scene: int) -> tuple[int, int, int, np.random.Generator]:
        """Two different categories, a predicate, and what else of the scene is to be drawn."""
        rng = np.random.default_rng((self.seed, scene))
        first, second = rng.choice(self.kinds, 2, replace=False).tolist()
        return first, second, int(rng.integers(self.placements)), rng

    @cached_property
    def members(self) -> dict[str, np.ndarray]:
        """Numbers of the scenes of each split, sorted."""
        raise NotImplementedError

    def keys(self, split: str) -> list[str]:
        return [f"scene {number}" for number in self.members[split]]

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        for scene in self.members[split][start:]:
            first, second, predicate, rng = self.drawn(int(scene))
            glyphs = [int(rng.choice(self.chosen[1][category])) for category in (first, second)]
            yield draw(self.corpus, place(*glyphs, predicate, rng), size, rng)


@dataclass(frozen=True, kw_only=True)
class EmojiPairs(EmojiScenes):
    """Which two categories, divided by pairs (data/pairs.py)."""

    name = "emoji_pairs"
    task = "pairs"
    placements = 4  # side by side: what stands inside hides the other

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Of every scene."""
        return [tuple(sorted(self.drawn(scene)[:2])) for scene in range(self.images)]

    @cached_property
    def divided(self) -> PairSplit:
        try:
            return divide_pairs(Counter(self.pairs), fraction=self.validation_fraction, seed=self.seed)
        except ValueError as error:
            raise DataError(
                self.root,
                expected=f"a pair-disjoint split of {self.name}",
                found=str(error),
                remedy="Give the set more images or categories, or another validation_fraction.",
            ) from error

    @cached_property
    def members(self) -> dict[str, np.ndarray]:
        held_out = np.array([pair in set(self.divided.val) for pair in self.pairs])
        return {"train": np.flatnonzero(~held_out), "val": np.flatnonzero(held_out)}

    def annotations(self, split: str) -> Iterator[list[int]]:
        return (list(self.pairs[scene]) for scene in self.members[split])

    def division(self) -> dict[str, Any]:
        return {"pairs": {split: getattr(self.divided, split) for split in self.splits}}


@dataclass(frozen=True, kw_only=True)
class EmojiRelations(EmojiScenes):
    """How one stands to the other, divided by images."""

    name = "emoji_relations"
    task = "relations"
    predicates = PREDICATES

    @cached_property
    def members(self) -> dict[str, np.ndarray]:
        train, val = divide(self.images, fraction=self.validation_fraction, seed=self.seed)
        return {"train": train, "val": val}

    def annotations(self, split: str) -> Iterator[list[Triplet]]:
        for scene in self.members[split]:
            subject, object_, predicate, _ = self.drawn(int(scene))
            shown = [(subject, predicate, object_)]
            if predicate in INVERSE:
                shown.append((object_, INVERSE[predicate], subject))
            yield shown

    def division(self) -> dict[str, Any]:
        return {"images": {split: self.members[split].tolist() for split in self.splits}}


def place(subject: int, object_: int, predicate: int, rng: np.random.Generator) -> list[Placed]:
    """Where the glyphs of a relation stand, what is behind first."""
    if PREDICATES[predicate] == "inside":
        outer = OUTER[0] + (OUTER[1] - OUTER[0]) * rng.random()
        inner = INNER[0] + (INNER[1] - INNER[0]) * rng.random()
        left, top = (1 - outer) * rng.random(2)
        # Within the middle of what is around: its half from 1/4 on has room for the glyph.
        shifts = outer * 0.25 + (outer * 0.5 - inner) * rng.random(2)
        return [Placed(object_, left, top, outer), Placed(subject, left + shifts[0], top + shifts[1], inner)]
    first, second = SIDES[0] + (SIDES[1] - SIDES[0]) * rng.random(2)
    # Along the relation each keeps to its half; across it their centres differ by SHIFT at most.
    along = (0.5 - first) * rng.random(), 0.5 + (0.5 - second) * rng.random()
    middle = max(first, second) / 2 + SHIFT / 2 + (1 - max(first, second) - SHIFT) * rng.random()
    apart = SHIFT * (rng.random(2) - 0.5)
    across = middle + apart[0] - first / 2, middle + apart[1] - second / 2
    before, after = (subject, object_) if predicate in (0, 2) else (object_, subject)
    corners = [(along[i], across[i]) if predicate in (0, 1) else (across[i], along[i]) for i in (0, 1)]
    return [Placed(before, *corners[0], first), Placed(after, *corners[1], second)]


def draw(corpus: Corpus, placed: list[Placed], size: int, rng: np.random.Generator) -> np.ndarray:
    """Glyphs on a background that the first one is seen on: uint8 (S, S, 3) with S = `size`."""
    seed, variant = rng.integers(2**31, size=2).tolist()
    appearance = draw_appearance(corpus.images[placed[0].glyph], seed=seed, glyph=placed[0].glyph, variant=variant)
    canvas = background(appearance, size)
    for one in placed:
        side = max(1, round(one.side * size))
        left, top = (min(round(corner * size), size - side) for corner in (one.left, one.top))
        premultiplied = Image.fromarray(corpus.images[one.glyph]).convert("RGBa")
        glyph = np.asarray(premultiplied.resize((side, side), Image.Resampling.HAMMING), dtype=np.float32)
        under = canvas[top : top + side, left : left + side]
        under *= 1 - glyph[..., 3:] / 255
        under += glyph[..., :3]
    return (canvas + 0.5).astype(np.uint8)
