"""Identity of a real data set: what lies in its folder, by names and content, wherever the folder is.

Each file's content is hashed once and remembered while its size, times and inode stay the same, so that a set of
ImageNet's size is judged by looking at its files, in seconds. Archives that were kept beside what they held do not
count, nor do hidden files.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

from tqdm import tqdm

from tesserae.lineage.hashes import Hashes

ARCHIVES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".zip")
LEFT_OUT = ("__MACOSX",)


class Set(TypedDict):
    """What a dataset artifact was made from."""

    folder: str  # where it lay; no part of its identity
    files: int
    bytes: int
    sha256: str  # of names and contents of all files


def identity(folder: Path, memory: Path) -> Set | None:
    """What lies in `folder` now, or None if there is no such folder; `memory` is the file that remembers contents.

    Raises OSError for what cannot be read.
    """
    if not folder.is_dir():
        return None
    hashes, total, size = Hashes(folder, memory), hashlib.sha256(), 0
    found = {path: hashes.remembered(path) for path in sorted(_files(folder), key=os.fsencode)}
    unknown = [path for path, digest in found.items() if digest is None]
    title = f"{folder.name}: contents, once"
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        digests = tqdm(pool.map(hashes.of, unknown), title, len(unknown), unit="file", mininterval=1, delay=3)
        found |= zip(unknown, digests, strict=True)
    for path, digest in found.items():
        total.update(os.fsencode(path) + b"\0" + str(digest).encode() + b"\n")
        size += (folder / path).stat().st_size
    hashes.save()
    return {"folder": str(folder), "files": len(found), "bytes": size, "sha256": total.hexdigest()}


def _files(folder: Path) -> Iterator[str]:
    """Paths below the folder, in no order."""
    for at, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in LEFT_OUT]
        for name in names:
            if not name.startswith(".") and not name.lower().endswith(ARCHIVES):
                yield os.path.relpath(os.path.join(at, name), folder)
