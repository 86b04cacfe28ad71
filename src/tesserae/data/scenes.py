"""Data sets of scenes: images with the categories or the relations in them, divided as probes want it.

A scene set is a `Provider` with the splits `train` and `val`; its annotations are those of its `task`: `pairs` two
categories of each image, `relations` triplets (subject, predicate, object) of each.
"""

import importlib
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from tesserae.data.base import Provider

ANNOTATIONS, DIVISION = "annotations.json", "division.json"  # that the stage `scenes` writes
# provider -> module and class; imported when asked for, as in providers.py
SCENES = {
    "emoji_pairs": ("emoji_scenes", "EmojiPairs"),
    "emoji_relations": ("emoji_scenes", "EmojiRelations"),
    "coco_pairs": ("coco_pairs", "CocoPairs"),
    "visual_genome_relations": ("visual_genome_relations", "VisualGenomeRelations"),
}


class SceneSet(Provider):
    """What a probe's data set says besides its images."""

    task: ClassVar[Literal["pairs", "relations"]]

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of categories, of subjects and objects; "" for a number that is none."""

    @property
    def predicates(self) -> tuple[str, ...]:
        """Of relations."""
        return ()

    @abstractmethod
    def annotations(self, split: str) -> Iterator[list[Any]]:
        """Of each image its two categories, [c, c'], or its triplets, [(s, p, o), ...]."""

    @abstractmethod
    def division(self) -> dict[str, Any]:
        """How the images were divided, for JSON: the pairs or the images of each partition."""


def open_scenes(name: str, *, root: Path | None, **settings: Any) -> SceneSet:
    """The scene set of a provider; reads nothing yet. ValueError for an unknown one."""
    if name not in SCENES:
        raise ValueError(f"no set of scenes is called {name!r}; there are {', '.join(sorted(SCENES))}")
    module, kind = SCENES[name]
    return getattr(importlib.import_module(f"tesserae.data.{module}"), kind)(root=root, **settings)
