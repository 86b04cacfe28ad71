"""Images with a mask of what is to be found in them, on disk: one folder for one split of a data set at one size.

A folder holds images.npy (N, S, S, 3) uint8; masks.npy (N, S, S) uint8, the class of each pixel; and index.json, which
names the classes. A set of salient objects has two: 0, the background, and 1, the object.

COMiT, Sec. 4 and App. C: attention maps are compared with CSSD's masks. At small scales the alpha channel of an emoji
is its mask. Shapes: N images of side S, H x W pixels of a file.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tesserae.data.base import Provider, open_image
from tesserae.data.cache import INDEX, open_array, write_json
from tesserae.data.ecssd import MASKS, Ecssd
from tesserae.data.emoji import Emoji, compose, draw_appearance
from tesserae.data.errors import DataError

SALIENT = ("background", "object")
BLACK = np.zeros(3)
REMAKE = "Run the stage `masks` again; it writes the folder anew."

Pair = tuple[np.ndarray, np.ndarray]  # image uint8 (S, S, 3), classes uint8 (S, S)


class Masked(NamedTuple):
    """What a folder holds."""

    images: np.ndarray  # (N, S, S, 3) uint8, memory-mapped, read-only
    masks: np.ndarray  # (N, S, S) uint8, likewise
    classes: tuple[str, ...]  # names; a pixel's value is a position


def pairs(provider: Provider, split: str, *, size: int) -> Iterator[Pair]:
    """Stream every image of a split with its mask, S = `size`, in the order of `keys`.

    ValueError for a data set without masks, or without that split.
    """
    if split not in provider.splits:
        raise ValueError(f"{provider.name} has the splits {', '.join(provider.splits)}, not {split!r}")
    if isinstance(provider, Emoji):
        return _of_emoji(provider, split, size)
    if isinstance(provider, Ecssd):
        return _of_files(provider, split, size)
    raise ValueError(f"{provider.name} has no masks; emoji and ecssd do")


def _of_emoji(provider: Emoji, split: str, size: int) -> Iterator[Pair]:
    """The images of the data set, and where their glyph is more opaque than not.

    The mask is the glyph in white, drawn on black by the same drawing: it lies where the glyph lies, by construction.
    """
    corpus = provider.corpus
    for glyph, variant in zip(*provider.drawings(split), strict=True):
        picture = corpus.images[glyph]
        appearance = draw_appearance(picture, seed=provider.seed, glyph=int(glyph), variant=int(variant))
        white = np.concatenate([np.full_like(picture[..., :3], 255), picture[..., 3:]], axis=-1)
        alpha = compose(white, appearance._replace(start=BLACK, end=BLACK), size)[..., 0]
        yield compose(picture, appearance, size), (alpha > 127).astype(np.uint8)


def _of_files(provider: Ecssd, split: str, size: int) -> Iterator[Pair]:
    """DECISION (D2): the middle square of both, then bilinear for the image and the nearest pixel for the mask.

    DataError, naming the file, for a mask of another size than its image's.
    """
    for key in provider.keys(split):
        image = open_image(provider.tree / key)
        path = provider.tree / MASKS / f"{Path(key).stem}.png"
        mask = open_image(path, "L")
        if mask.size != image.size:
            raise DataError(
                path,
                expected=f"a mask of {image.width} x {image.height} pixels, as {key}",
                found=f"{mask.width} x {mask.height}",
                remedy="Restore both from the data set's archives.",
            )
        image = _square(image).resize((size, size), Image.Resampling.BILINEAR)
        classes = np.asarray(_square(mask).resize((size, size), Image.Resampling.NEAREST)) > 127
        yield np.asarray(image), classes.astype(np.uint8)


def _square(image: Image.Image) -> Image.Image:
    """The middle square; offsets round down, as the centre crop of training images."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def write_masks(folder: Path, found: Iterator[Pair], *, count: int, size: int, about: dict[str, Any]) -> None:
    """Write `count` pairs into a folder. about: what index.json says besides.

    DataError if there are fewer or more, or if an image shows no pixel of another class than 0.
    """
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, size, size, 3))
    masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.uint8, (count, size, size))
    place = -1
    for place, (image, mask) in enumerate(found):
        if place == count:
            break
        if not mask.any():
            raise DataError(
                folder,
                expected="something in every mask",
                found=f"none at position {place} of {about.get('provider')}",
                remedy="Restore this mask from the data set's archive, or choose a larger image size.",
            )
        images[place], masks[place] = image, mask
    if place + 1 != count:
        more = f"{place + 1}" if place + 1 < count else f"more than {count}"
        raise DataError(folder, expected=f"{count} masks", found=more, remedy="Check the data set.")
    images.flush()
    masks.flush()
    write_json(folder / INDEX, about | {"count": count, "size": size, "classes": list(SALIENT)})


def open_masks(folder: Path) -> Masked:
    """Open what `write_masks` wrote; DataError if files are missing, or arrays are not what the index says."""
    path = Path(folder) / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        count, size, classes = index["count"], index["size"], tuple(index["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(path, expected="the index of images with masks", found=str(error), remedy=REMAKE) from error
    images = open_array(Path(folder) / "images.npy", (count, size, size, 3), np.uint8)
    masks = open_array(Path(folder) / "masks.npy", (count, size, size), np.uint8)
    if count and masks.max() >= len(classes):
        found = f"a class {masks.max()}"
        raise DataError(Path(folder) / "masks.npy", expected=f"classes of {classes}", found=found, remedy=REMAKE)
    return Masked(images, masks, classes)
