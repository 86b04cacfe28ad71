"""The data sets that a recipe can name, behind one interface: `open_provider(name, root=..., **settings)`.

Each family has a file of its own beside this one; docs/data.md shows the layouts. A new set is a class with the methods
of `base.Provider`, a line in PROVIDERS, and an entry of config/datasets.yaml.
"""

from pathlib import Path

from tesserae.data.base import SPLITS, Labelled, Provider, Sample
from tesserae.data.chestxray14 import ChestXray14
from tesserae.data.cifar10 import Cifar10
from tesserae.data.coco import Coco
from tesserae.data.deepglobe import DeepGlobe
from tesserae.data.ecssd import Ecssd
from tesserae.data.emoji import Emoji
from tesserae.data.errors import DataError
from tesserae.data.imagenet import ImageNet, ImageNet100, Imagenette
from tesserae.data.llava_next import LlavaNext
from tesserae.data.textocr import TextOcr
from tesserae.data.visual_genome import VisualGenome

__all__ = ["PROVIDERS", "SPLITS", "Labelled", "Provider", "Sample", "check", "open_provider"]

KINDS = (Emoji, ImageNet, ImageNet100, Imagenette, Cifar10)  # with classes
KINDS += (Coco, VisualGenome, Ecssd, DeepGlobe, ChestXray14, TextOcr, LlavaNext)
PROVIDERS: dict[str, type[Provider]] = {kind.name: kind for kind in KINDS}


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
