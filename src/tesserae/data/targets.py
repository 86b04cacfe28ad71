"""What a probe is asked of each image, in one form for every data set: a folder with targets.npz and targets.json.

`classes`: the class of each. `pairs`: a vector over all categories with two ones. `relations`: the triplets that each
shows, and for each validation image one of them and fixed negatives, so that all tokenizers face the same ones.

Shapes: N images, C categories, M triplets of all images, K negatives.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from tesserae.data.errors import DataError
from tesserae.data.triplets import draw_negatives

FILE, ABOUT = "targets.npz", "targets.json"
REMAKE = "Run the stage `targets` again."
Task = Literal["classes", "pairs", "relations"]


class Split(NamedTuple):
    """One split: `answers` int64 (N,) classes, or uint8 (N, C) two ones each, or None of relations."""

    answers: np.ndarray | None
    triplets: np.ndarray | None = None  # int64 (M, 3) subject, predicate, object; of relations
    offsets: np.ndarray | None = None  # int64 (N + 1,): image i has those from offsets[i] to offsets[i + 1]
    asked: np.ndarray | None = None  # int64 (N, 1 + K, 3): the triplet asked for, then its negatives; of validation

    @property
    def images(self) -> int:
        """N"""
        return len(self.offsets) - 1 if self.answers is None else len(self.answers)

    def shown(self, image: int) -> np.ndarray:
        """Triplets of an image, (m, 3)."""
        return self.triplets[self.offsets[image] : self.offsets[image + 1]]


class Targets(NamedTuple):
    task: Task
    names: tuple[str, ...]  # of classes, categories, or subjects and objects
    predicates: tuple[str, ...]
    negatives: int  # K of relations, else 0
    hard: int  # of them, those that have the same names
    train: Split
    val: Split

    def of(self, split: str) -> Split:
        """`train` or `val`."""
        return {"train": self.train, "val": self.val}[split]

    def candidates(self, image: int, rng: np.random.Generator) -> np.ndarray:
        """A triplet of a training image and fresh negatives: int64 (1 + K, 3)."""
        return ask(self.train, image, self.negatives, self.hard, len(self.predicates), rng)


def ask(split: Split, image: int, negatives: int, hard: int, predicates: int, rng: np.random.Generator) -> np.ndarray:
    """One of the triplets of an image and so many negatives: int64 (1 + K, 3)."""
    shown = split.shown(image)
    positive = shown[rng.integers(len(shown))]
    others = draw_negatives(
        tuple(positive.tolist()),
        map(tuple, shown.tolist()),
        split.triplets,
        count=negatives,
        hard=hard,
        predicates=predicates,
        rng=rng,
    )
    return np.concatenate([positive[None], others])


def of_classes(train: np.ndarray, val: np.ndarray, names: Sequence[str]) -> Targets:
    """Labels (N,) of each split. ValueError for a set without classes."""
    if not names:
        raise ValueError("a data set without classes has no targets of the task `classes`")
    return Targets("classes", tuple(names), (), 0, 0, Split(train.astype(np.int64)), Split(val.astype(np.int64)))


def of_pairs(train: Sequence[Sequence[int]], val: Sequence[Sequence[int]], names: Sequence[str]) -> Targets:
    """The two categories of each image. ValueError if a pair is in both splits: it would ask what was learned."""
    both = {tuple(sorted(pair)) for pair in train} & {tuple(sorted(pair)) for pair in val}
    if both:
        raise ValueError(f"{len(both)} pairs are in both splits, such as {min(both)}: they are not pair-disjoint")
    return Targets("pairs", tuple(names), (), 0, 0, *(Split(two_hot(pairs, len(names))) for pairs in (train, val)))


def two_hot(pairs: Sequence[Sequence[int]], categories: int) -> np.ndarray:
    """Two categories of each image -> uint8 (N, C). ValueError unless they are two."""
    found = np.zeros((len(pairs), categories), np.uint8)
    found[np.arange(len(pairs))[:, None], np.array(pairs, np.int64).reshape(-1, 2)] = 1
    if (found.sum(axis=1) != 2).any():
        raise ValueError("an image of a pair probe has exactly two different categories")
    return found


def of_relations(
    train: Sequence[Sequence[Sequence[int]]],
    val: Sequence[Sequence[Sequence[int]]],
    names: Sequence[str],
    predicates: Sequence[str],
    *,
    negatives: int,
    hard: int,
    seed: int,
) -> Targets:
    """The triplets of each image, at least one. What validation images are asked is drawn here, one stream for each."""
    if not 0 <= hard <= negatives or negatives < 1:
        raise ValueError(f"{hard} of {negatives} negatives cannot have the same names")
    splits = []
    for images in (train, val):
        lengths = [len(triplets) for triplets in images]
        if not lengths or min(lengths) == 0:
            raise ValueError("an image of a relation probe shows at least one triplet")
        triplets = np.array([one for some in images for one in some], np.int64)
        splits.append(Split(None, triplets, np.cumsum([0, *lengths])))
    of_val = splits[1]
    asked = np.stack(
        [
            ask(of_val, image, negatives, hard, len(predicates), np.random.default_rng((seed, image)))
            for image in range(of_val.images)
        ]
    )
    return Targets(
        "relations", tuple(names), tuple(predicates), negatives, hard, splits[0], of_val._replace(asked=asked)
    )


def save(folder: Path, targets: Targets) -> None:
    """Write targets.npz and targets.json."""
    about = {key: getattr(targets, key) for key in ("task", "names", "predicates", "negatives", "hard")}
    (folder / ABOUT).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    arrays = {
        f"{name}_{key}": array
        for name in ("train", "val")
        for key, array in getattr(targets, name)._asdict().items()
        if array is not None
    }
    with (folder / FILE).open("wb") as file:
        np.savez(file, **arrays)


def open_targets(folder: Path) -> Targets:
    """What `save` wrote; DataError if it is not there, or of no task."""
    folder = Path(folder)
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            splits = [
                Split(**{"answers": None} | {key: arrays[f"{name}_{key}"] for key in _kept(arrays.files, name)})
                for name in ("train", "val")
            ]
        names = tuple(about["names"]), tuple(about["predicates"])
        return Targets(about["task"], *names, about["negatives"], about["hard"], *splits)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(folder, expected="targets of a probe", found=str(error), remedy=REMAKE) from error


def _kept(files: Sequence[str], split: str) -> list[str]:
    return [name.removeprefix(f"{split}_") for name in files if name.startswith(f"{split}_")]
