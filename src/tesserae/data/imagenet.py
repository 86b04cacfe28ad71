"""ImageNet and its subsets: one folder of JPEG files per synset (ImageNet-1k, ImageNet-100, Imagenette)."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from tesserae.data import imagenet100
from tesserae.data.base import SPLITS, Files, Labelled, image_names, some
from tesserae.data.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ImageNet(Files, Labelled):
    """A tree train/<synset>/*.JPEG and val/<synset>/*.JPEG (ImageNet-1k, or any subset).

    Labels follow the sorted synsets. `classes` is the number of synsets that the recipe expects.
    """

    root: Path | None
    classes: int
    name = "imagenet"
    layout = "a folder with train/<synset>/*.JPEG and val/<synset>/*.JPEG"
    archives = {  # as torchvision.datasets.imagenet lists them
        "ILSVRC2012_img_train.tar": "md5:1d675b47d978889d74fa0da5fadfb00e",
        "ILSVRC2012_img_val.tar": "md5:29b22e2961454d5413ddabcf34fc5622",
    }

    def folders(self, split: str) -> list[str]:
        """The synsets of a split's folder that belong to the set."""
        return class_folders(self.tree / split)

    @cached_property
    def synsets(self) -> tuple[str, ...]:
        return tuple(self.folders("train"))

    @property
    def class_names(self) -> tuple[str, ...]:
        """All synonyms of each synset; two of ImageNet-1k's are called "crane"."""
        names = synonyms()
        if unknown := [synset for synset in self.synsets if synset not in names]:
            raise DataError(
                self.tree,
                expected="folders named by synsets of ImageNet",
                found=f"{len(unknown)} others ({some(unknown)})",
                remedy="Rename or remove them.",
            )
        return tuple(names[synset] for synset in self.synsets)

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

    def problems(self) -> Iterator[DataError]:
        for split in SPLITS:
            yield from self.split_problems(self.tree / split)
        train, val = (set(self.folders(split)) if (self.tree / split).is_dir() else set() for split in SPLITS)
        if train and val and train != val:
            names = sorted(train ^ val)
            yield DataError(
                self.tree,
                expected="the same synset folders in train and val",
                found=f"{len(names)} in only one of them ({some(names)})",
                remedy="Make both splits hold the same synsets: labels are the positions in the sorted list.",
            )

    def split_problems(self, folder: Path) -> Iterator[DataError]:
        """What is wrong with a split's folder: missing, flat, empty classes, or not `classes` of them."""
        if not folder.is_dir():
            yield DataError(
                folder,
                expected=f"one split of '{self.name}', {self.layout}",
                found="no such folder",
                remedy=f"Unpack the archive there, or correct data.root (now {self.root}).",
            )
            return
        synsets = self.folders(folder.name)
        if not synsets:
            yield DataError(
                folder,
                expected="images in one folder per synset",
                found="images in no synset folder" if any(image_names(folder)) else "no images",
                remedy="Unpack the archive, and move every image into the folder of its synset.",
            )
            return
        if len(synsets) != self.classes:
            yield DataError(
                folder,
                expected=f"{self.classes} synset folders",
                found=f"{len(synsets)}",
                remedy="Complete the tree, or correct the number of classes of the data set.",
            )
        for synset in synsets:
            if not any(image_names(folder / synset)):
                yield DataError(
                    folder / synset,
                    expected="at least one image",
                    found="none",
                    remedy="Unpack the archive again.",
                )

    def keys(self, split: str) -> list[str]:
        return [path for path, _ in self.files[split]]

    def labels(self, split: str) -> np.ndarray:
        return np.array([label for _, label in self.files[split]], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class ImageNet100(ImageNet):
    """The 100 classes of CMC's list, in a tree of just these or in that of ImageNet-1k: other synsets are not seen."""

    name = "imagenet100"

    def folders(self, split: str) -> list[str]:
        present = set(class_folders(self.tree / split))
        return [synset for synset in imagenet100.SYNSETS if synset in present]


@dataclass(frozen=True, kw_only=True)
class Imagenette(ImageNet):
    """Ten easy classes of ImageNet, in the folder that the archive unpacks. `edition` is full, 320px or 160px."""

    edition: str
    name = "imagenette"
    layout = "a folder that holds imagenette2/, imagenette2-320/ or imagenette2-160/ as unpacked"
    archives = {  # as torchvision.datasets.imagenette lists them
        "imagenette2.tgz": "md5:fe2fc210e6bb7c5664d602c3cd71e612",
        "imagenette2-320.tgz": "md5:3df6f0d01a2c9592104656642f5e78a3",
        "imagenette2-160.tgz": "md5:e793b78cc4c9e9a4ccc0c1155377a412",
    }
    class_names = (  # of the sorted synsets
        *("tench", "English springer", "cassette player", "chain saw", "church"),
        *("French horn", "garbage truck", "gas pump", "golf ball", "parachute"),
    )

    @property
    def tree(self) -> Path:
        folder = {"full": "imagenette2", "320px": "imagenette2-320", "160px": "imagenette2-160"}[self.edition]
        tree = self.need_root(self.layout) / folder
        if not tree.is_dir():
            raise DataError(
                tree,
                expected=f"Imagenette, edition {self.edition}",
                found="no such folder",
                remedy=f"Download {folder}.tgz and unpack it into {self.root}.",
            )
        return tree


@cache
def synonyms() -> dict[str, str]:
    """synset -> its words in WordNet, "tench, Tinca tinca", for all 21,844 synsets that ImageNet ever had.

    From the list that the package timm carries: for the classes of ImageNet-1k the same 1000 strings as in the prompts
    of TA-TiTok's code (github.com/bytedance/1d-tokenizer, imagenet_classes.py).
    """
    package = importlib.util.find_spec("timm")  # found, not imported: that would import torch
    path = Path(package.submodule_search_locations[0], "data", "_info", "imagenet_synset_to_lemma.txt")
    return dict(line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the folders in `folder`, hidden ones left out."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
