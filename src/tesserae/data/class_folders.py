"""Images in one folder per class, in folders train and val: what ImageNet's tree and a user's own have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tesserae.data.base import SPLITS, Files, Labelled, image_names, some
from tesserae.data.errors import DataError

NO_CLASSES = ("__MACOSX",)  # what archives of a Mac leave beside the folders


@dataclass(frozen=True, kw_only=True)
class ClassFolders(Files, Labelled):
    """A tree train/<class>/* and val/<class>/*. Labels follow the sorted names of the folders.

    `classes` is the number of folders that the recipe expects.
    """

    root: Path | None
    classes: int
    kind = "class"  # what a folder stands for

    def folders(self, split: str) -> list[str]:
        """The folders of a split that belong to the set."""
        return class_folders(self.tree / split)

    @cached_property
    def found(self) -> tuple[str, ...]:
        """The folders of the classes, in the order of the labels."""
        return tuple(self.folders("train"))

    @cached_property
    def files(self) -> dict[str, list[tuple[str, int]]]:
        """For each split (path relative to the tree, label), sorted by folder and then by file name."""
        return {
            split: [
                (f"{split}/{folder}/{name}", label)
                for label, folder in enumerate(self.found)
                for name in sorted(image_names(self.tree / split / folder))
            ]
            for split in SPLITS
        }

    def problems(self) -> Iterator[DataError]:
        for split in SPLITS:
            yield from self.split_problems(self.tree / split)
        train, val = (set(self.folders(split)) if (self.tree / split).is_dir() else set() for split in SPLITS)
        if train and val and train != val:
            names = sorted(train ^ val)
            yield DataError(
                self.tree,
                expected=f"the same {self.kind} folders in train and val",
                found=f"{len(names)} in only one of them ({some(names)})",
                remedy=f"Make both splits hold the same {self.kind} folders: labels are positions in the sorted list.",
            )
        if train and train == val:
            yield from self.name_problems()

    def name_problems(self) -> Iterator[DataError]:
        """Names that cannot be kept: of files and folders that are no text."""
        keys = [key for split in SPLITS for key in self.keys(split)]
        if odd := [key for key in keys if not is_text(key)]:
            shown = [key.encode("utf-8", "backslashreplace").decode() for key in odd]
            yield DataError(
                self.tree,
                expected="names of files and folders in UTF-8",
                found=f"{len(odd)} in another encoding ({some(shown)})",
                remedy="Rename them (convmv does it for a whole folder).",
            )

    def split_problems(self, folder: Path) -> Iterator[DataError]:
        """What is wrong with a split's folder: missing, flat, nested, empty classes, or not `classes` of them."""
        if not folder.is_dir():
            yield DataError(
                folder,
                expected=f"one split of '{self.name}', {self.layout}",
                found="no such folder",
                remedy=f"Unpack the archive there, or correct data.root (now {self.root}).",
            )
            return
        names = self.folders(folder.name)
        if not names:
            yield DataError(
                folder,
                expected=f"images in one folder per {self.kind}",
                found=f"images in no {self.kind} folder" if any(image_names(folder)) else "no images",
                remedy=f"Unpack the archive, and move every image into the folder of its {self.kind}.",
            )
            return
        if len(names) != self.classes:
            yield DataError(
                folder,
                expected=f"{self.classes} {self.kind} folders",
                found=f"{len(names)}",
                remedy="Complete the tree, or correct the number of classes of the data set.",
            )
        for name in names:
            if not any(image_names(folder / name)):
                below = [inner for inner in class_folders(folder / name) if any(image_names(folder / name / inner))]
                yield DataError(
                    folder / name,
                    expected="at least one image",
                    found=f"none, but folders with images ({some(below)})" if below else "none",
                    remedy=f"Move them up: a folder is a {self.kind}, and none lies in another."
                    if below
                    else "Unpack the archive again.",
                )

    def keys(self, split: str) -> list[str]:
        return [path for path, _ in self.files[split]]

    def labels(self, split: str) -> np.ndarray:
        return np.array([label for _, label in self.files[split]], dtype=np.int64)


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the folders in `folder`, hidden ones left out."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in NO_CLASSES
    )


def is_text(name: str) -> bool:
    """Whether a name is text in UTF-8; Python keeps the bytes of one that is not as surrogates."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
