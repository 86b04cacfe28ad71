"""ImageNet and its subsets: one folder of JPEG files per synset (ImageNet-1k, ImageNet-100, Imagenette)."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tesserae.data import imagenet100
from tesserae.data.base import some
from tesserae.data.class_folders import ClassFolders, class_folders
from tesserae.data.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ImageNet(ClassFolders):
    """A tree train/<synset>/*.JPEG and val/<synset>/*.JPEG (ImageNet-1k, or any subset)."""

    name = "imagenet"
    kind = "synset"
    layout = "a folder with train/<synset>/*.JPEG and val/<synset>/*.JPEG"
    archives = {  # as torchvision.datasets.imagenet lists them
        "ILSVRC2012_img_train.tar": "md5:1d675b47d978889d74fa0da5fadfb00e",
        "ILSVRC2012_img_val.tar": "md5:29b22e2961454d5413ddabcf34fc5622",
    }

    @property
    def class_names(self) -> tuple[str, ...]:
        """All synonyms of each synset; two of ImageNet-1k's are called "crane"."""
        for problem in self.name_problems():
            raise problem
        names = synonyms()
        return tuple(names[synset] for synset in self.found)

    def name_problems(self) -> Iterator[DataError]:
        names = synonyms()
        if unknown := [synset for synset in self.found if synset not in names]:
            yield DataError(
                self.tree,
                expected="folders named by synsets of ImageNet",
                found=f"{len(unknown)} others ({some(unknown)})",
                remedy="Rename or remove them; for classes of your own, `provider: folder` (docs/own_data.md).",
            )
        yield from super().name_problems()


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

    name_problems = ClassFolders.name_problems  # its ten have names of their own

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
