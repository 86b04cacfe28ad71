"""MSCOCO's images of exactly two categories, divided by pairs (COMiT, App. B.2)."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tesserae.data.base import Files
from tesserae.data.coco import Coco
from tesserae.data.errors import DataError
from tesserae.data.pairs import PairSplit, divide_pairs
from tesserae.data.scenes import SceneSet

CATEGORIES = 90  # COCO's ids are 1 ... 90, ten of which are none


@dataclass(frozen=True, kw_only=True)
class CocoPairs(Files, SceneSet):
    """A category's number is COCO's id - 1, in a vector of 90 (DECISION D4)."""

    root: Path | None
    validation_fraction: float
    seed: int
    name = "coco_pairs"
    task = "pairs"
    layout = Coco.layout
    checksums, archives = Coco.checksums, Coco.archives

    @cached_property
    def coco(self) -> Coco:
        return Coco(root=self.root)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(map(str, range(1, CATEGORIES + 1)))  # probes of pairs read no words

    def problems(self) -> Iterator[DataError]:
        return self.coco.problems()

    @cached_property
    def pool(self) -> list[tuple[str, tuple[int, int]]]:
        """Path and categories of every image with two: of both official splits, whatever their number (D4)."""
        found = []
        for split in self.coco.splits:
            for key, scene in zip(self.coco.keys(split), self.coco.annotations(split), strict=True):
                seen = sorted({thing.category - 1 for thing in scene.things if not thing.crowd})
                if len(seen) == 2:
                    found.append((key, (seen[0], seen[1])))
        return found

    @cached_property
    def divided(self) -> PairSplit:
        counts = Counter(pair for _, pair in self.pool)
        try:
            return divide_pairs(counts, fraction=self.validation_fraction, seed=self.seed)
        except ValueError as error:
            raise DataError(
                self.root,
                expected="images of two categories that can be divided by pairs",
                found=str(error),
                remedy="Restore annotations/instances_*2017.json, or set another validation_fraction.",
            ) from error

    @cached_property
    def members(self) -> dict[str, list[tuple[str, tuple[int, int]]]]:
        held_out = set(self.divided.val)
        return {split: [one for one in self.pool if (one[1] in held_out) == (split == "val")] for split in self.splits}

    def keys(self, split: str) -> list[str]:
        return [key for key, _ in self.members[split]]

    def annotations(self, split: str) -> Iterator[list[int]]:
        return (list(pair) for _, pair in self.members[split])

    def division(self) -> dict[str, Any]:
        return {"pairs": {split: getattr(self.divided, split) for split in self.splits}}
