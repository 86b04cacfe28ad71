"""Images decoded, cropped and resized once: memory-mapped arrays on disk, one folder for one data set at one size.

A folder holds train_images.npy and val_images.npy (N, S, S, 3) uint8, train_labels.npy and val_labels.npy (N,) int64,
and index.json, which says what the arrays are. Whoever can open a split sees it whole: arrays are written under
temporary names, and the index names a split only after its arrays are in place.
"""

import hashlib
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tesserae.data.errors import DataError
from tesserae.data.providers import Provider

INDEX = "index.json"
REMAKE = "Run the data stage again; it writes the folder anew."


class Images(NamedTuple):
    """One split of a cache."""

    images: np.ndarray  # (N, S, S, 3) uint8, memory-mapped, read-only
    labels: np.ndarray  # (N,) int64
    class_names: tuple[str, ...]


def write_cache(provider: Provider, split: str, *, size: int, folder: Path, workers: int = 1) -> None:
    """Stream a split of a data set into `folder`. Images are S x S with S = `size`; memory use does not grow with N.

    If the folder holds the other split of the same data set, with the same settings and size, it is kept; else it is
    dropped from the index. One process at a time may write to a folder. Raises DataError if the provider delivers not
    what it announced, and then leaves what was there before.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keys = provider.keys(split)
    targets = [folder / f"{split}_images.npy", folder / f"{split}_labels.npy"]
    partial = [target.with_name(f".{target.name}.partial") for target in targets]
    try:
        write_arrays(provider, split, *partial, size=size, count=len(keys), workers=workers)
        index = describe(provider, size)
        index["splits"] = {name: entry for name, entry in splits_to_keep(folder, index).items() if name != split}
        write_index(folder, index)  # the old arrays, if any, are unknown from here
        for source, target in zip(partial, targets, strict=True):
            os.replace(source, target)
    finally:
        for path in partial:
            path.unlink(missing_ok=True)
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    index["splits"][split] = {"count": len(keys), "keys_sha256": digest}
    write_index(folder, index)


def write_arrays(
    provider: Provider, split: str, images_path: Path, labels_path: Path, *, size: int, count: int, workers: int
) -> None:
    """Fill the two files of a split, with a progress bar; DataError unless `count` fitting samples arrive."""
    classes = len(provider.class_names)

    def wrong(found: str) -> DataError:
        expected = f"{count} {split} images of ({size}, {size}, 3) with labels below {classes}"
        return DataError(provider.root, expected=expected, found=found, remedy="Check the data set. " + REMAKE)

    if not count:
        raise wrong("none")
    images = np.lib.format.open_memmap(images_path, "w+", np.uint8, (count, size, size, 3))
    labels = np.empty(count, dtype=np.int64)
    samples = provider.images(split, size=size, workers=workers)
    written = 0
    for picture, label in tqdm(samples, total=count, desc=f"{provider.name} {split}", unit="image", mininterval=1):
        if written == count:
            raise wrong("more")
        if picture.shape != (size, size, 3) or picture.dtype != np.uint8 or not 0 <= label < classes:
            raise wrong(f"{picture.dtype} {picture.shape} with label {label} at position {written}")
        images[written], labels[written] = picture, label
        written += 1
    if written < count:
        raise wrong(f"only {written}")
    images.flush()
    with labels_path.open("wb") as file:
        np.save(file, labels)


def open_cache(folder: Path, split: str) -> Images:
    """Open a split that `write_cache` made; arrays are memory-mapped and read-only.

    Raises DataError if files are missing, or if the arrays are not what the index says.
    """
    folder = Path(folder)
    index = read_index(folder)
    if split not in index["splits"]:
        found = f"only {sorted(index['splits'])}"
        raise DataError(folder / INDEX, expected=f"the split {split}", found=found, remedy=REMAKE)
    count, size = index["splits"][split]["count"], index["size"]
    images = open_array(folder / f"{split}_images.npy", (count, size, size, 3), np.uint8)
    labels = open_array(folder / f"{split}_labels.npy", (count,), np.int64)
    classes = len(index["class_names"])
    if labels.min() < 0 or labels.max() >= classes:
        found = f"{labels.min()} to {labels.max()}"
        raise DataError(folder / f"{split}_labels.npy", expected=f"labels below {classes}", found=found, remedy=REMAKE)
    return Images(images, labels, tuple(index["class_names"]))


def read_index(folder: Path) -> dict:
    """The parsed index.json: provider, settings, size, class_names, splits. DataError if there is none."""
    path = Path(folder) / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(index, dict) or not {"provider", "size", "class_names", "splits"} <= index.keys():
            raise ValueError("a file without the needed fields")
    except (OSError, ValueError) as error:
        raise DataError(path, expected="the index of an image cache", found=str(error), remedy=REMAKE) from error
    return index


def open_array(path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """A memory-mapped .npy of the given shape and type; DataError if it is missing, cut off or different."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(path, expected=f"an array {shape}", found=str(error), remedy=REMAKE) from error
    if array.shape != shape or array.dtype != dtype:
        wanted, found = f"{np.dtype(dtype)} {shape}, as index.json says", f"{array.dtype} {array.shape}"
        raise DataError(path, expected=wanted, found=found, remedy=REMAKE)
    return array


def describe(provider: Provider, size: int) -> dict:
    """What both splits of a cache have in common. Where the data lay, and how it came there, is no property of it."""
    names = [field.name for field in fields(provider) if field.name not in ("root", "download")]
    return {
        "provider": provider.name,
        "settings": {name: getattr(provider, name) for name in names},
        "size": size,
        "class_names": list(provider.class_names),
    }


def splits_to_keep(folder: Path, index: dict) -> dict:
    """The splits in the index that is already in `folder`, if it describes the same thing as the new `index`."""
    try:
        present = read_index(folder)
    except DataError:
        return {}
    return present["splits"] if all(present.get(key) == value for key, value in index.items()) else {}


def write_index(folder: Path, index: dict) -> None:
    """Write index.json aside and rename it: readers see the old one or the new one, whole."""
    partial = folder / f".{INDEX}.partial"
    partial.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, folder / INDEX)
