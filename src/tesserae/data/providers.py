"""The data sets that a recipe can name, behind one interface: `open_provider(name, root=..., **settings)`.

A provider streams pictures of a wanted size and their labels. It loads nothing before it is asked, and imports neither
torch nor torchvision unless the data set needs them. `check` runs before anything is trained.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from tesserae.data import emoji
from tesserae.data.errors import DataError
from tesserae.data.transforms import center_crop

SPLITS = ("train", "val")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
CHUNK = 32  # pictures in flight per worker

Sample = tuple[np.ndarray, int]  # uint8 (S, S, 3) and its label


class Provider(ABC):
    """A labelled set of images with the splits "train" and "val". Labels are 0 ... len(class_names) - 1."""

    name: str
    root: Path | None  # `data.root`: a folder, or the corpus file of `emoji`

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """One name for each label, in the order of the labels."""

    @abstractmethod
    def check(self) -> None:
        """Raise one DataError if the data set is missing or not laid out as needed."""

    @abstractmethod
    def keys(self, split: str) -> list[str]:
        """What names each image of the split, in the order of `images`: a relative path, or glyph and variant."""

    @abstractmethod
    def images(self, split: str, *, size: int, workers: int = 1) -> Iterator[Sample]:
        """Stream (uint8 (size, size, 3), label) in a fixed order, the same for every number of worker threads.

        Raises DataError with the path of a file that cannot be read.
        """

    def count(self, split: str) -> int:
        """Number of images in the split."""
        return len(self.keys(split))

    def need_images(self) -> None:
        """DataError if a split is empty."""
        for split in SPLITS:
            if not self.count(split):
                raise DataError(
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


@dataclass(frozen=True, kw_only=True)
class Emoji(Provider):
    """The embedded corpus: each glyph is drawn in several variants. `label` is "group" (9 classes) or "subgroup" (99).

    `seed` decides the split of the glyphs and every drawing.
    """

    root: Path | None
    label: str
    validation_fraction: float
    train_variants: int
    val_variants: int
    seed: int
    name = "emoji"

    def __post_init__(self):
        if min(self.train_variants, self.val_variants) < 1:
            raise ValueError(f"each split needs a variant, not {self.train_variants} and {self.val_variants}")

    @cached_property
    def corpus(self) -> emoji.Corpus:
        return emoji.load_corpus(self.need_root("the corpus file emoji.npz (shipped as data/emoji/emoji.npz)"))

    @cached_property
    def labels(self) -> tuple[np.ndarray, tuple[str, ...]]:
        return emoji.classes_of(self.corpus, self.label)

    @cached_property
    def glyphs(self) -> emoji.Split:
        return emoji.split(self.corpus, validation_fraction=self.validation_fraction, seed=self.seed)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.labels[1]

    def check(self) -> None:
        emoji.classes_of(self.corpus, self.label)  # refuses an unknown label
        self.need_images()

    def drawings(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Glyph and variant of every image of the split, all variants of a glyph together."""
        glyphs, variants = {
            "train": (self.glyphs.train, self.train_variants),
            "val": (self.glyphs.val, self.val_variants),
        }[split]
        return np.repeat(glyphs, variants), np.tile(np.arange(variants), len(glyphs))

    def keys(self, split: str) -> list[str]:
        points = self.corpus.codepoints
        return [f"{points[glyph]}/{variant}" for glyph, variant in zip(*self.drawings(split), strict=True)]

    def images(self, split: str, *, size: int, workers: int = 1) -> Iterator[Sample]:
        glyphs, variants = self.drawings(split)
        pictures = emoji.render_stream(self.corpus, glyphs, variants, size=size, seed=self.seed)
        yield from zip(pictures, self.labels[0][glyphs].tolist(), strict=True)


@dataclass(frozen=True, kw_only=True)
class ImageNet(Provider):
    """A tree train/<synset>/*.JPEG and val/<synset>/*.JPEG (ImageNet-1k, or any subset such as ImageNet-100).

    Labels follow the sorted synsets. `classes` is the number of synsets that the recipe expects.
    """

    root: Path | None
    classes: int
    name = "imagenet"
    layout = "a folder with train/<synset>/*.JPEG and val/<synset>/*.JPEG"

    @property
    def tree(self) -> Path:
        """The folder that holds train/ and val/."""
        return self.need_root(self.layout)

    @cached_property
    def synsets(self) -> tuple[str, ...]:
        return tuple(class_folders(self.tree / "train"))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.synsets

    @cached_property
    def files(self) -> dict[str, list[tuple[str, int]]]:
        """For each split (path relative to the tree, label), sorted by synset and then by file name."""
        return {
            split: [
                (f"{split}/{synset}/{name}", label)
                for label, synset in enumerate(self.synsets)
                for name in sorted(image_names(self.tree / split / synset))
            ]
            for split in SPLITS
        }

    def check(self) -> None:
        train, val = (set(self.check_split(self.tree / split)) for split in SPLITS)
        if train != val:
            names = sorted(train ^ val)
            raise DataError(
                self.tree,
                expected="the same synset folders in train and val",
                found=f"{len(names)} in only one of them ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})",
                remedy="Make both splits hold the same synsets: labels are the positions in the sorted list.",
            )

    def check_split(self, folder: Path) -> list[str]:
        """The synsets in a split's folder; DataError if it is missing, flat, empty, or has not `classes` of them."""
        if not folder.is_dir():
            raise DataError(
                folder,
                expected=f"one split of '{self.name}', {self.layout}",
                found="no such folder",
                remedy=f"Unpack the archive there, or correct data.root (now {self.root}).",
            )
        synsets = class_folders(folder)
        if not synsets:
            raise DataError(
                folder,
                expected="images in one folder per synset",
                found="images in no synset folder" if any(image_names(folder)) else "no images",
                remedy="Unpack the archive, and move every image into the folder of its synset.",
            )
        if len(synsets) != self.classes:
            raise DataError(
                folder,
                expected=f"{self.classes} synset folders",
                found=f"{len(synsets)}",
                remedy="Complete the tree, or correct the number of classes of the data set.",
            )
        for synset in synsets:
            if not any(image_names(folder / synset)):
                raise DataError(
                    folder / synset,
                    expected="at least one image",
                    found="none",
                    remedy="Unpack the archive again.",
                )
        return synsets

    def keys(self, split: str) -> list[str]:
        return [path for path, _ in self.files[split]]

    def images(self, split: str, *, size: int, workers: int = 1) -> Iterator[Sample]:
        tree, files = self.tree, self.files[split]
        pictures = ordered_map(lambda file: read_image(tree / file[0], size), files, workers)
        yield from zip(pictures, (label for _, label in files), strict=True)


@dataclass(frozen=True, kw_only=True)
class Imagenette(ImageNet):
    """Ten easy classes of ImageNet, in the folder that torchvision unpacks. `edition` is "full", "320px" or "160px".

    With `download` the archive is fetched by `check`, if its folder is not there.
    """

    edition: str
    download: bool = False
    name = "imagenette"

    @property
    def tree(self) -> Path:
        folders = {"full": "imagenette2", "320px": "imagenette2-320", "160px": "imagenette2-160"}
        folder = folders[self.edition]
        tree = self.need_root(f"a folder that holds (or, with download, will hold) {folder}/") / folder
        if not tree.is_dir():
            raise DataError(
                tree,
                expected=f"Imagenette, edition {self.edition}",
                found="no such folder",
                remedy=f"Unpack {folder}.tgz into {self.root}, or set download: true where there is a network.",
            )
        return tree

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        from torchvision.datasets import Imagenette as Folder

        root = self.tree.parent  # a clear error if it is missing
        return tuple(names[0] for names in Folder(root, split="train", size=self.edition).classes)

    def check(self) -> None:
        if self.download:
            from torchvision.datasets import Imagenette as Folder

            fetch(self, lambda: Folder(self.root, split="train", size=self.edition, download=True))
        super().check()


@dataclass(frozen=True, kw_only=True)
class Cifar10(Provider):
    """CIFAR-10 in torchvision's layout (`cifar-10-batches-py`, verified by its MD5 sums); val is the test batch.

    With `download` the archive is fetched by `check`, if it is not there.
    """

    root: Path | None
    classes: int
    download: bool = False
    name = "cifar10"

    @cached_property
    def sets(self) -> dict:
        from torchvision.datasets import CIFAR10

        root = self.need_root("a folder that holds (or, with download, will hold) cifar-10-batches-py/")
        try:
            return {split: CIFAR10(root, train=split == "train") for split in SPLITS}
        except RuntimeError as error:
            raise DataError(
                root / CIFAR10.base_folder,
                expected="the five training batches, the test batch and batches.meta of CIFAR-10",
                found="some of them missing or damaged",
                remedy=f"Unpack {CIFAR10.filename} into {root}, or set download: true where there is a network.",
            ) from error

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.sets["train"].classes)

    def check(self) -> None:
        if self.download:
            from torchvision.datasets import CIFAR10

            fetch(self, lambda: CIFAR10(self.root, download=True))
        self.need_images()  # reads and verifies every file
        if len(self.class_names) != self.classes:
            raise DataError(
                self.root,
                expected=f"{self.classes} classes",
                found=f"{len(self.class_names)}",
                remedy="Correct the number of classes of the data set.",
            )

    def keys(self, split: str) -> list[str]:
        return [f"{split}/{number:05d}" for number in range(len(self.sets[split].targets))]

    def images(self, split: str, *, size: int, workers: int = 1) -> Iterator[Sample]:
        chosen = self.sets[split]
        pictures = ordered_map(lambda x: np.asarray(center_crop(Image.fromarray(x), size)), chosen.data, workers)
        yield from zip(pictures, chosen.targets, strict=True)


PROVIDERS: dict[str, type[Provider]] = {kind.name: kind for kind in (Emoji, ImageNet, Imagenette, Cifar10)}


def open_provider(name: str, *, root: Path | None, **settings) -> Provider:
    """The data set called `name`, with its own settings as keywords (see the classes). Reads nothing yet."""
    if name not in PROVIDERS:
        raise ValueError(f"no data set is called {name!r}; there are {', '.join(sorted(PROVIDERS))}")
    return PROVIDERS[name](root=root, **settings)


def check(*providers: Provider) -> None:
    """Look at every data set before any work; one DataError that names all that is missing or wrong."""
    errors = []
    for provider in providers:
        try:
            provider.check()
        except DataError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DataError(
            errors[0].path,
            expected=f"{len(providers)} complete data sets",
            found=f"{len(errors)} with an error",
            remedy="\n".join(["Correct these:", *(f"- {error}" for error in errors)]),
        )


def read_image(path: Path, size: int) -> np.ndarray:
    """One image file as RGB, centre-cropped: uint8 (size, size, 3). DataError with the path if it cannot be decoded."""
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, zlib.error, struct.error and others
        raise DataError(
            path,
            expected="an image file that can be decoded",
            found=f"{type(error).__name__}: {error}",
            remedy="Restore this file from the data set's archive; nothing is skipped.",
        ) from error
    return np.asarray(center_crop(picture, size))


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the folders in `folder`, hidden ones left out."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def image_names(folder: Path) -> Iterator[str]:
    """Names of the image files in `folder`, in no order."""
    return (entry.name for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES)


def ordered_map(work: Callable, items: list | np.ndarray, workers: int) -> Iterator:
    """`map` over threads (decoding releases the interpreter), in order, with few results in memory at a time."""
    if workers == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(items), CHUNK * workers):
            yield from pool.map(work, items[start : start + CHUNK * workers])


def fetch(provider: Provider, download: Callable[[], object]) -> None:
    """Run a torchvision download; DataError if the network or the archive fails."""
    if provider.root is None:
        provider.need_root("a folder to download to")
    try:
        download()
    except (OSError, RuntimeError) as error:
        raise DataError(
            provider.root,
            expected=f"to download '{provider.name}' to there",
            found=f"{type(error).__name__}: {error}",
            remedy="Fetch the archive by hand, unpack it there, and set download: false.",
        ) from error
