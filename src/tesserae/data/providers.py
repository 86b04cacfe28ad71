"""The data sets that a recipe can name, behind one interface: `open_provider(name, root=..., **settings)`.

Each family has a file of its own beside this one; docs/data.md shows the layouts. A new set is a class with the methods
of `base.Provider`, a line in PROVIDERS, and an entry of config/datasets.yaml.
"""

import importlib
from pathlib import Path

from tesserae.data.base import SPLITS, Labelled, Provider, Sample
from tesserae.data.errors import DataError

__all__ = ["PROVIDERS", "SPLITS", "Labelled", "Provider", "Sample", "check", "open_provider"]

# name -> module and class. Imported when asked for: a data set depends on its own family's code alone, which its spec
# names (`module`, workflow/graph/tokenizers.py).
PROVIDERS = {
    "emoji": ("emoji", "Emoji"),
    "folder": ("folder", "Folder"),
    "imagenet": ("imagenet", "ImageNet"),
    "imagenet100": ("imagenet", "ImageNet100"),
    "imagenette": ("imagenet", "Imagenette"),
    "cifar10": ("cifar10", "Cifar10"),
    "coco": ("coco", "Coco"),
    "visual_genome": ("visual_genome", "VisualGenome"),
    "ecssd": ("ecssd", "Ecssd"),
    "deepglobe": ("deepglobe", "DeepGlobe"),
    "chestxray14": ("chestxray14", "ChestXray14"),
    "textocr": ("textocr", "TextOcr"),
    "llava_next": ("llava_next", "LlavaNext"),
}


def provider_class(name: str) -> type[Provider]:
    """The class of the data set called `name`; ValueError for an unknown one."""
    if name not in PROVIDERS:
        raise ValueError(f"no data set is called {name!r}; there are {', '.join(sorted(PROVIDERS))}")
    module, kind = PROVIDERS[name]
    return getattr(importlib.import_module(f"tesserae.data.{module}"), kind)


def open_provider(name: str, *, root: Path | None, **settings) -> Provider:
    """The data set called `name`, with its own settings as keywords (see the classes). Reads nothing yet."""
    return provider_class(name)(root=root, **settings)


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
