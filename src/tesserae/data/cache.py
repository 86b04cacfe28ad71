"""Images decoded, cropped and resized once: memory-mapped arrays on disk, one folder for one data set at one size.

A folder holds, for each split, <split>_images.npy (N, S, S, 3) uint8 and <split>_labels.npy (N,) int64, which are all
-1 in a set without classes; and index.json, which says what the arrays are. A set with the one split `train` has an
empty `val`, N = 0. Whoever can open a split sees it whole: arrays are written under temporary names, and the index
names a split only after its arrays are in place. captions.json, written by the stage, has one caption for each image.

Writing can be killed at any moment and goes on where it was: images are written in blocks, a block counts once it is on
the disk and its digest is noted, and what is there is read and compared before it is continued. Images go through
plain writes, not through a memory map: memory use stays flat, and a full disk is an error instead of a dead process.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from tqdm import tqdm

from tesserae.data.base import Labelled, Provider
from tesserae.data.errors import DataError

INDEX, CAPTIONS = "index.json", "captions.json"
REMAKE = "Run the data stage again; it writes the folder anew."
BLOCK = 4096  # images between two notes of progress: under a minute of work, 0.8 GB at 256 pixels


class Images(NamedTuple):
    """One split of a cache."""

    images: np.ndarray  # (N, S, S, 3) uint8, memory-mapped, read-only
    labels: np.ndarray  # (N,) int64; -1 in a set without classes
    class_names: tuple[str, ...]


class Draft(NamedTuple):
    """The images of a split on their way, and what is known of them."""

    file: Path
    progress: Path  # {"of": what is written, "blocks": digests of the blocks that are on the disk}
    of: dict
    header: bytes  # of the .npy file
    count: int
    image_bytes: int
    block: int  # images


def write_cache(
    provider: Provider, split: str, *, size: int, folder: Path, workers: int = 1, block: int = BLOCK
) -> None:
    """Stream a split of a data set into `folder`. Images are S x S with S = `size`; memory use does not grow with N.

    A split that is there already is left alone; one that was begun is continued. If the folder holds the other split of
    the same data set, with the same settings and size, it is kept; else it is dropped from the index. `val` of a set
    that has only `train` is written empty. One process at a time may write to a folder. Raises DataError if the
    provider delivers not what it announced or the disk is full; then the folder's splits are what they were, and what
    was written is kept for the next attempt.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lacking = split == "val" and provider.splits == ("train",)
    keys = [] if lacking else provider.keys(split)
    if not keys and not lacking:
        raise wrong(provider, split, 0, size, "none")
    index = describe(provider, size)
    entry = {"count": len(keys), "keys_sha256": hashlib.sha256("\n".join(keys).encode()).hexdigest()}
    kept = splits_to_keep(folder, index)
    if kept.get(split) == entry and is_there(folder, split):
        return
    labels = labels_of(provider, split, len(keys), size)
    draft = make_draft(folder, split, size, index | entry, block)
    write_images(provider, split, draft, size, workers)
    partial = folder / f".{split}_labels.partial"
    with full_disk_is_told(folder, labels.nbytes), partial.open("wb") as file:
        np.save(file, labels)
    targets = {draft.file: folder / f"{split}_images.npy", partial: folder / f"{split}_labels.npy"}
    index["splits"] = {name: found for name, found in kept.items() if name != split}
    write_index(folder, index)  # the old arrays, if any, are unknown from here
    for source, target in targets.items():
        os.replace(source, target)
    index["splits"][split] = entry
    write_index(folder, index)
    draft.progress.unlink(missing_ok=True)  # none was noted for an empty split


def labels_of(provider: Provider, split: str, count: int, size: int) -> np.ndarray:
    """The labels of a split, checked; -1 for a set without classes."""
    if not isinstance(provider, Labelled):
        return np.full(count, -1, dtype=np.int64)
    labels = np.asarray(provider.labels(split), dtype=np.int64)
    if len(labels) != count or labels.min() < 0 or labels.max() >= len(provider.class_names):
        raise wrong(provider, split, count, size, f"{len(labels)} labels from {labels.min()} to {labels.max()}")
    return labels


def wrong(provider: Provider, split: str, count: int, size: int, found: str) -> DataError:
    """A provider broke its word."""
    expected = f"{count} {split} images of ({size}, {size}, 3)"
    if isinstance(provider, Labelled):
        expected += f" with labels below {len(provider.class_names)}"
    return DataError(provider.root, expected=expected, found=found, remedy="Check the data set. " + REMAKE)


def make_draft(folder: Path, split: str, size: int, of: dict, block: int) -> Draft:
    """Names and numbers of a split that is going to be written."""
    header = BytesIO()
    shape = (of["count"], size, size, 3)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    names = folder / f".{split}_images.partial", folder / f".{split}_progress.json"
    return Draft(*names, of | {"block": block}, header.getvalue(), of["count"], 3 * size**2, block)


def write_images(provider: Provider, split: str, draft: Draft, size: int, workers: int) -> None:
    """Fill the file of a split, with a progress bar; DataError unless `count` fitting pictures arrive."""
    digests = blocks_on_disk(draft, f"{provider.name} {split}")
    done = min(len(digests) * draft.block, draft.count)
    offset = len(draft.header) + done * draft.image_bytes
    needed = (draft.count - done) * draft.image_bytes
    need_room(draft.file.parent, needed)
    pictures = provider.pictures(split, size=size, workers=workers, start=done) if draft.count else ()
    bar = tqdm(pictures, total=draft.count, initial=done, desc=f"{provider.name} {split}", unit="image", mininterval=1)
    with full_disk_is_told(draft.file.parent, needed), draft.file.open("r+b" if digests else "wb") as file:
        file.write(draft.header)
        file.truncate(offset)
        file.seek(offset)
        digest = hashlib.blake2b(digest_size=16)
        for picture in bar:
            if done == draft.count:
                raise wrong(provider, split, draft.count, size, "more")
            if picture.shape != (size, size, 3) or picture.dtype != np.uint8:
                found = f"{picture.dtype} {picture.shape} at position {done}"
                raise wrong(provider, split, draft.count, size, found)
            pixels = np.ascontiguousarray(picture).data
            file.write(pixels)
            digest.update(pixels)
            done += 1
            if done % draft.block == 0 or done == draft.count:
                digests.append(digest.hexdigest())
                note_progress(draft, file, digests)
                digest = hashlib.blake2b(digest_size=16)
        if done < draft.count:
            raise wrong(provider, split, draft.count, size, f"only {done}")


def note_progress(draft: Draft, file: BinaryIO, digests: list[str]) -> None:
    """First the images to the disk, then the note that they are there."""
    file.flush()
    os.fsync(file.fileno())
    write_json(draft.progress, {"of": draft.of, "blocks": digests})


def blocks_on_disk(draft: Draft, title: str) -> list[str]:
    """Digests of the leading blocks that a killed run left whole; none if it wrote something else."""
    try:
        noted = json.loads(draft.progress.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if noted["of"] != draft.of or not draft.file.is_file():
        return []
    good: list[str] = []
    with draft.file.open("rb") as file:
        if file.read(len(draft.header)) != draft.header:
            return []
        for expected in tqdm(noted["blocks"], desc=f"{title}: verifying", unit="block", mininterval=1):
            digest = hashlib.blake2b(digest_size=16)
            for _ in range(min(draft.block, draft.count - len(good) * draft.block)):
                digest.update(file.read(draft.image_bytes))
            if digest.hexdigest() != expected:
                break
            good.append(expected)
    return good


def is_there(folder: Path, split: str) -> bool:
    """Whether the arrays of a split that the index names can be opened: a move may have been cut short."""
    try:
        open_cache(folder, split)
    except DataError:
        return False
    return True


def bytes_to_write(provider: Provider, *, size: int, folder: Path) -> int:
    """What all splits of a data set still need in `folder`, without what an earlier attempt left there."""
    needed = 0
    for split in provider.splits:
        present = (folder / name for name in (f"{split}_images.npy", f".{split}_images.partial"))
        written = sum(path.stat().st_size for path in present if path.is_file())
        needed += max(0, cache_bytes(provider.count(split), size) - written)
    return needed


def cache_bytes(count: int, size: int) -> int:
    """Size on disk of `count` images and labels."""
    return count * (3 * size**2 + 8)


def need_room(folder: Path, needed: int) -> None:
    """DataError unless `needed` bytes are free where `folder` lies."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise no_room(folder, needed, free)


@contextmanager
def full_disk_is_told(folder: Path, needed: int) -> Iterator[None]:
    """A disk (or quota) that fills up while a file is written is a DataError, too."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_room(folder, needed, shutil.disk_usage(folder).free) from error


def no_room(folder: Path, needed: int, free: int) -> DataError:
    return DataError(
        folder,
        expected=f"{needed / 1e9:.3f} GB ({needed} bytes) of free disk",
        found=f"{free / 1e9:.3f} GB ({free} bytes), or a quota",
        remedy="Make room, or let results/ lie on a larger disk, and run it again: it goes on where it stopped.",
    )


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
    if count and (labels.min() < (0 if classes else -1) or labels.max() >= classes):
        found = f"{labels.min()} to {labels.max()}"
        raise DataError(folder / f"{split}_labels.npy", expected=f"labels below {classes}", found=found, remedy=REMAKE)
    return Images(images, labels, tuple(index["class_names"]))


def read_captions(folder: Path, split: str) -> list[str] | None:
    """One caption for each image of a split that the stage `dataset` wrote; None for a set without captions.

    Raises DataError if the file is missing or has not one caption for each image.
    """
    path, count = Path(folder) / CAPTIONS, read_index(folder)["splits"][split]["count"]
    try:
        captions = json.loads(path.read_text(encoding="utf-8"))[split]
        if captions is not None and len(captions) != count:
            raise ValueError(f"{len(captions)} of them")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(path, expected=f"{count} {split} captions", found=str(error), remedy=REMAKE) from error
    return captions


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
    """What both splits of a cache have in common. Where the data lay and how it came there is not part of it."""
    names = [field.name for field in fields(provider) if field.name != "root"]
    return {
        "provider": provider.name,
        "settings": {name: getattr(provider, name) for name in names},
        "size": size,
        "class_names": list(provider.class_names) if isinstance(provider, Labelled) else [],
    }


def splits_to_keep(folder: Path, index: dict) -> dict:
    """The splits in the index that is already in `folder`, if it describes the same thing as the new `index`."""
    try:
        present = read_index(folder)
    except DataError:
        return {}
    return present["splits"] if all(present.get(key) == value for key, value in index.items()) else {}


def write_index(folder: Path, index: dict) -> None:
    """Readers see the old index or the new one, whole."""
    write_json(folder / INDEX, index)


def write_json(path: Path, content: dict) -> None:
    """Write a file aside and rename it."""
    partial = path.with_name(f".{path.name.removeprefix('.')}.partial")
    with full_disk_is_told(path.parent, 0):
        partial.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, path)
