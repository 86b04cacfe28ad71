"""What every data set can say of itself: its splits, images and annotations, and what is wrong with its files.

A provider loads nothing before it is asked, and none imports torch. `keys`, `pictures` and `annotations` of a split
have one order and one length, so they can be zipped.
"""

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from tesserae.data.errors import DataError
from tesserae.data.transforms import center_crop

SPLITS = ("train", "val")  # of every set with classes
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
IN_FLIGHT = 4  # pictures decoded ahead, per worker

Sample = tuple[np.ndarray, int]  # uint8 (S, S, 3) and its label


class Provider(ABC):
    """A set of images in named splits, with annotations of its own kind: `annotations` says which."""

    name: str
    root: Path | None  # `data.root` and the set's own folder below it; the corpus file of `emoji`
    layout: str  # what must lie below the root, in one line
    splits: tuple[str, ...] = SPLITS
    # Files below the root -> "md5:..." or "sha256:...", as published; None: nobody published one.
    checksums: dict[str, str | None] = {}  # annotation files (must be there) and their archives (may be)
    archives: dict[str, str] = {}  # archives of images, if they were kept

    @abstractmethod
    def problems(self) -> Iterator[DataError]:
        """Everything that is missing or not laid out as needed; opens no image. May raise instead of yielding."""

    @abstractmethod
    def keys(self, split: str) -> list[str]:
        """What names each image of the split: its path below the root, or what stands for it."""

    @abstractmethod
    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        """Stream uint8 (size, size, 3), ADM's crop, from position `start`; the same for every number of threads.

        Raises DataError with the path of a file that cannot be read.
        """

    @abstractmethod
    def annotations(self, split: str) -> Iterator[Any]:
        """What is known of each image, in the pixels of the original file; the provider's own type."""

    def captions(self, split: str) -> list[str] | None:
        """What each image of the split shows, in words: one caption each; None for a set that has none."""
        return None

    def check(self) -> None:
        """Raise the first problem, if there is one."""
        for problem in self.problems():
            raise problem

    def count(self, split: str) -> int:
        """Number of images in the split."""
        return len(self.keys(split))

    def counts(self) -> dict[str, int]:
        """What can be compared with published numbers: images of each split, and annotations by their kind."""
        return {split: self.count(split) for split in self.splits}

    def decodable(self) -> list[str]:
        """Names of all that `damaged` decodes."""
        return [key for split in self.splits for key in self.keys(split)]

    def damaged(self, workers: int = 1) -> Iterator[DataError | None]:
        """Decode everything: for each name in `decodable` None, or what is wrong with it."""
        for split in self.splits:
            yield from (None for _ in self.pictures(split, size=32, workers=workers))

    def need_images(self) -> Iterator[DataError]:
        """A problem for each empty split."""
        for split in self.splits:
            if not self.count(split):
                yield DataError(
                    self.root,
                    expected=f"{split} images of '{self.name}'",
                    found="none",
                    remedy="Check the settings of the data set.",
                )

    def need_root(self, expected: str) -> Path:
        """The root, if it is configured and exists; else DataError."""
        if self.root is None or not Path(self.root).exists():
            raise DataError(
                self.root,
                expected=expected,
                found="nothing",
                remedy=f"Set data.root of the data set '{self.name}' to where it lies.",
            )
        return Path(self.root)


class Labelled(Provider):
    """A set with one class per image and the splits "train" and "val". Labels are 0 ... len(class_names) - 1."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """One name for each label, in the order of the labels."""

    @abstractmethod
    def labels(self, split: str) -> np.ndarray:
        """int64 (N,)"""

    def annotations(self, split: str) -> Iterator[int]:
        """The label of each image."""
        return iter(self.labels(split).tolist())

    def images(self, split: str, *, size: int, workers: int = 1) -> Iterator[Sample]:
        """Stream (uint8 (size, size, 3), label)."""
        pictures = self.pictures(split, size=size, workers=workers)
        return zip(pictures, self.annotations(split), strict=True)


class Files(Provider):
    """A set whose images are files of their own below `tree`; keys are their paths."""

    @property
    def tree(self) -> Path:
        """The folder that keys start from."""
        return self.need_root(self.layout)

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        tree = self.tree
        return ordered_map(lambda key: read_image(tree / key, size), self.keys(split)[start:], workers)

    def damaged(self, workers: int = 1) -> Iterator[DataError | None]:
        tree = self.tree
        return ordered_map(lambda key: damage(tree / key), self.decodable(), workers)

    def need(self, *paths: str) -> Iterator[DataError]:
        """A problem for each file or folder that is not there."""
        for path in paths:
            if not (self.tree / path).exists():
                yield DataError(
                    self.tree / path,
                    expected=f"part of '{self.name}', {self.layout}",
                    found="nothing",
                    remedy=f"Unpack the archive there, or correct data.root (now {self.root}).",
                )

    def need_files(self, paths: Iterable[str], listed_in: str) -> Iterator[DataError]:
        """One problem for each folder in which files are missing that another file lists."""
        wanted: dict[str, set[str]] = {}
        for path in paths:
            folder, _, name = path.rpartition("/")
            wanted.setdefault(folder, set()).add(name)
        for folder, names in wanted.items():
            place = self.tree / folder
            missing = sorted(names - {entry.name for entry in place.iterdir()}) if place.is_dir() else sorted(names)
            if missing:
                yield DataError(
                    place,
                    expected=f"the {len(names)} images listed in {listed_in}",
                    found=f"{len(missing)} missing ({some(missing)})",
                    remedy="Unpack the archive of images again.",
                )


def some(names: list[str]) -> str:
    """The first four of a long list."""
    return f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"


def damage(file: Path | BinaryIO, name: str | None = None) -> DataError | None:
    """What is wrong with an image file, found by decoding all of it."""
    try:
        open_image(file, name=name)
    except DataError as error:
        return error
    return None


def read_image(path: Path, size: int) -> np.ndarray:
    """One image file as RGB, centre-cropped: uint8 (size, size, 3). DataError with the path if it cannot be decoded."""
    return np.asarray(center_crop(open_image(path), size))


def open_image(file: Path | BinaryIO, mode: str = "RGB", name: str | None = None) -> Image.Image:
    """One image file, decoded and converted. DataError with its path (or `name`) if that cannot be done."""
    try:
        with Image.open(file) as image:
            return image.convert(mode)
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, zlib.error, struct.error and others
        raise DataError(
            name or file,
            expected="an image file that can be decoded",
            found=f"{type(error).__name__}: {error}",
            remedy="Restore this file from the data set's archive; nothing is skipped.",
        ) from error


def read_annotations(path: Path, read: Callable[[str], Any]) -> Any:
    """`read` of a text file's content. DataError with the path if it is missing or not what `read` takes."""
    try:
        return read(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            path,
            expected="an annotation file of the published format",
            found=f"{type(error).__name__}: {error}",
            remedy="Restore this file from the data set's archive.",
        ) from error


def image_names(folder: Path) -> Iterator[str]:
    """Names of the image files in `folder`, in no order."""
    return (entry.name for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES)


def cores() -> int:
    """Cores that this process may use, as far as the system says."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # macOS


def ordered_map(work: Callable, items: Iterable, workers: int) -> Iterator:
    """`map` over threads, in order, with few results in memory at a time.

    Threads, because decoding and resizing release the interpreter: benchmarks/feeding.py measures that processes are
    not faster per core.
    """
    if workers == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers)
    pending = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > IN_FLIGHT * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
