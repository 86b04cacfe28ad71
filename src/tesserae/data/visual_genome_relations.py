"""Visual Genome's relations between large objects of frequent names, divided by images (COMiT, App. B.2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tesserae.data.base import Files
from tesserae.data.errors import DataError
from tesserae.data.scenes import SceneSet
from tesserae.data.triplets import Triplet, divide, most_frequent, numbered
from tesserae.data.visual_genome import SceneGraph, Thing, VisualGenome

Words = tuple[str, str, str]


class Found(NamedTuple):
    """What is left of the data set after its filters."""

    names: tuple[str, ...]
    predicates: tuple[str, ...]
    images: list[tuple[str, list[Triplet]]]  # path and triplets of each


@dataclass(frozen=True, kw_only=True)
class VisualGenomeRelations(Files, SceneSet):
    """DECISION (D5): boxes of `share` of the image at least; then the most frequent names (of subjects and objects
    together) and predicates; images that are left without a relation are left out.
    """

    root: Path | None
    share: float
    most_names: int
    most_predicates: int
    validation_fraction: float
    seed: int
    name = "visual_genome_relations"
    task = "relations"
    layout = VisualGenome.layout
    checksums, archives = VisualGenome.checksums, VisualGenome.archives

    @cached_property
    def genome(self) -> VisualGenome:
        return VisualGenome(root=self.root)

    def problems(self) -> Iterator[DataError]:
        return self.genome.problems()

    @cached_property
    def found(self) -> Found:
        large = [
            (key, large_relations(scene, self.share))
            for key, scene in zip(self.genome.keys("all"), self.genome.annotations("all"), strict=True)
        ]
        words = [triplet for _, some in large for triplet in some]
        names = most_frequent((name for subject, _, object_ in words for name in (subject, object_)), self.most_names)
        predicates = most_frequent((predicate for _, predicate, _ in words), self.most_predicates)
        images = [(key, numbered(some, names, predicates)) for key, some in large]
        return Found(names, predicates, [(key, some) for key, some in images if some])

    @property
    def names(self) -> tuple[str, ...]:
        return self.found.names

    @property
    def predicates(self) -> tuple[str, ...]:
        return self.found.predicates

    @cached_property
    def members(self) -> dict[str, list[tuple[str, list[Triplet]]]]:
        images = self.found.images
        try:
            parts = divide(len(images), fraction=self.validation_fraction, seed=self.seed)
        except ValueError as error:
            raise DataError(
                self.root,
                expected="relations between large objects",
                found=str(error),
                remedy="Restore relationships.json, or set another validation_fraction.",
            ) from error
        return {split: [images[i] for i in part] for split, part in zip(self.splits, parts, strict=True)}

    splits = ("train", "val")

    def keys(self, split: str) -> list[str]:
        return [key for key, _ in self.members[split]]

    def annotations(self, split: str) -> Iterator[list[Triplet]]:
        return (triplets for _, triplets in self.members[split])

    def division(self) -> dict[str, Any]:
        return {"images": {split: self.keys(split) for split in self.splits}}


def large_relations(scene: SceneGraph, share: float) -> list[Words]:
    """Relations of an image between things that both fill such a share of it, in plain words."""
    least = share * scene.width * scene.height

    def large(thing: Thing) -> bool:
        return thing.box[2] * thing.box[3] >= least

    return [
        (plain(relation.subject.name), plain(relation.predicate), plain(relation.object.name))
        for relation in scene.relations
        if large(relation.subject) and large(relation.object)
    ]


def plain(word: str) -> str:
    return word.strip().lower()
