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
    found, unknown = {}, []
    for path, status in _files(str(folder)):
        found[path] = digest = hashes.remembered(path, status)
        size += status.st_size
        if digest is None:
            unknown.append(path)
    title = f"{folder.name}: contents, once"
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        digests = tqdm(pool.map(hashes.of, unknown), title, len(unknown), unit="file", mininterval=1, delay=3)
        found |= zip(unknown, digests, strict=True)
    for path in sorted(found):
        total.update(os.fsencode(f"{path}\0{found[path]}\n"))
    hashes.save()
    return {"folder": str(folder), "files": len(found), "bytes": size, "sha256": total.hexdigest()}


def _files(folder: str, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Paths below the folder with what the system says of each, in no order."""
    with os.scandir(os.path.join(folder, below)) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name in LEFT_OUT:
                continue
            if entry.is_dir():
                yield from _files(folder, f"{below}{name}/")
            elif not name.lower().endswith(ARCHIVES) and entry.is_file():
                yield below + name, entry.stat()
