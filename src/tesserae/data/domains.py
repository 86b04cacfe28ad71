"""Images of other domains than those that tokenizers learn, with what a task asks of each (CompTok, Table 2).

A domain set is a `Provider` with the splits `train`, from which the task's network learns, and `val`, which is scored;
none of its images is in both. `answers` says what is right: of `pixels` and of `region` the class of each pixel, of
`words` where the word stands and what it says.

On disk a set is a cache of images (data/cache.py, all labels -1), so that whatever reads a data set can read it, with
<split>_masks.npy (N, S, S) uint8 and task.json beside it. Shapes: N images of a split, S their side.
"""

import importlib
import json
import re
import unicodedata
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from tesserae.data.base import Provider
from tesserae.data.cache import open_array, read_index, write_json
from tesserae.data.errors import DataError

TASK = "task.json"
UNKNOWN = 255  # of a pixel whose class nobody knows: neither learned nor counted
REMAKE = "Run the stage `domain` again; it writes the folder anew."
# provider -> module and class; imported when asked for, as in providers.py
DOMAINS = {
    "emoji_land": ("emoji_land", "EmojiLand"),
    "emoji_shapes": ("emoji_shapes", "EmojiShapes"),
    "drawn_words": ("drawn_words", "DrawnWords"),
    "deepglobe_tiles": ("deepglobe_tiles", "DeepGlobeTiles"),
    "chestx_det": ("chestx_det", "ChestXDet"),
    "textocr_words": ("textocr_words", "TextOcrWords"),
}


class Answer(NamedTuple):
    """What is right of one image."""

    mask: np.ndarray  # uint8 (S, S): positions in the set's `classes`, or UNKNOWN
    word: str | None = None  # of words


class DomainSet(Provider):
    """What a domain's set says besides its images."""

    task: ClassVar[Literal["pixels", "region", "words"]]

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the values of masks, from 0."""

    @abstractmethod
    def answers(self, split: str, *, size: int, workers: int = 1) -> Iterator[Answer]:
        """Of each image in the order of `keys`, in the pixels of `pictures` of the same size."""

    def annotations(self, split: str) -> Iterator[Any]:
        """Nothing that does not depend on a size: see `answers`."""
        raise NotImplementedError(f"{self.name} has answers at a size")


class Answers(NamedTuple):
    """What a folder says of a split."""

    task: str
    classes: tuple[str, ...]
    masks: np.ndarray  # (N, S, S) uint8, memory-mapped, read-only
    words: tuple[str, ...]  # of words; else empty


def open_domain(name: str, *, root: Path | None, **settings: Any) -> DomainSet:
    """The set of a provider; reads nothing yet. ValueError for an unknown one."""
    if name not in DOMAINS:
        raise ValueError(f"no set of a domain is called {name!r}; there are {', '.join(sorted(DOMAINS))}")
    module, kind = DOMAINS[name]
    return getattr(importlib.import_module(f"tesserae.data.{module}"), kind)(root=root, **settings)


def plain(word: str) -> str:
    """A word as readers are asked for it (D4): small letters a to z and digits; accents and all else left out."""
    flat = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode("ascii")
    return re.sub("[^a-z0-9]", "", flat.lower())


def write_answers(domain: DomainSet, folder: Path, *, size: int, workers: int = 1) -> None:
    """Write the masks of both splits and task.json beside a cache of the same images.

    DataError for a set whose masks all show one class, for another number of answers than of images, and for a word of
    a set of words that is missing.
    """
    words: dict[str, list[str]] = {}
    for split in domain.splits:
        count = domain.count(split)
        masks = np.lib.format.open_memmap(folder / f"{split}_masks.npy", "w+", np.uint8, (count, size, size))
        words[split], place = [], -1
        for place, answer in enumerate(domain.answers(split, size=size, workers=workers)):
            if place == count:
                break
            masks[place] = answer.mask
            if domain.task == "words":
                if not answer.word or not (answer.mask == 1).any():
                    raise _wrong(domain, f"a word and its place at position {place} of {split}", "none")
                words[split].append(answer.word)
        if place + 1 != count:
            raise _wrong(domain, f"{count} answers of {split}", f"{place + 1}")
        if len(np.unique(masks[masks != UNKNOWN])) < 2:
            raise _wrong(domain, f"pixels of two classes in {split}", "fewer")
        masks.flush()
    told = {"task": domain.task, "classes": list(domain.classes)}
    write_json(folder / TASK, told | {"words": words if domain.task == "words" else None})


def _wrong(domain: DomainSet, expected: str, found: str) -> DataError:
    return DataError(domain.root, expected=expected, found=found, remedy=f"Check the data set {domain.name}. {REMAKE}")


def open_answers(folder: Path, split: str) -> Answers:
    """What `write_answers` wrote of a split; DataError if files are missing, or are not what the index says."""
    index, path = read_index(folder), Path(folder) / TASK
    count, size = index["splits"][split]["count"], index["size"]
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        task, classes = told["task"], tuple(told["classes"])
        words = tuple(told["words"][split]) if task == "words" else ()
        if task == "words" and len(words) != count:
            raise ValueError(f"{len(words)} words of {count} images")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(path, expected="what a task asks of images", found=str(error), remedy=REMAKE) from error
    masks = open_array(Path(folder) / f"{split}_masks.npy", (count, size, size), np.uint8)
    known = masks[masks != UNKNOWN]
    if known.size and known.max() >= len(classes):
        found = f"a class {known.max()}"
        raise DataError(Path(folder) / f"{split}_masks.npy", expected=f"{classes}", found=found, remedy=REMAKE)
    return Answers(task, classes, masks, words)


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels of class 1, the latter two exclusive; ValueError if there are none."""
    down, across = (np.flatnonzero((mask == 1).any(axis=axis)) for axis in (1, 0))
    if not len(down):
        raise ValueError("the mask has no pixel of a word")
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def chosen(count: int, wanted: int, seed: int, of: Provider, split: str) -> list[int]:
    """Positions of `wanted` of `count` images (D5), drawn by a seed and sorted; DataError if there are fewer."""
    if wanted > count:
        raise DataError(
            of.root,
            expected=f"{wanted} {split} images that fit",
            found=f"{count}",
            remedy=f"Complete the data set, or set {split}_images of {of.name} to {count} in config/domains.yaml.",
        )
    return np.sort(np.random.default_rng(seed).permutation(count)[:wanted]).tolist()
