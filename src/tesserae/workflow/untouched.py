"""Whether files were written while a job ran, even if they were put back afterwards.

Every write moves a file's time of change (ctime), which no program can set. A few things that are no writes move it
too: DVC makes another hard link of a file, or takes away the right to write to it. They show in the number of links or
in the rights, and then the content decides. Everything else counts as a write.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tesserae.lineage.hashes import sha256


class Files:
    """Files as they are when this is made. Make it before any of them is read."""

    def __init__(self, paths: Iterable[Path]):
        self._before = {path: _status(path) for path in paths}
        self._digests: dict[Path, str] = {}

    def know(self, digests: Mapping[Path, str]) -> None:
        """Keep the sha256 of all files, of which some are known; they must have been computed after this was made."""
        for path, status in self._before.items():
            if status is not None:
                self._digests[path] = digests[path] if path in digests else sha256(path)

    def written(self) -> set[Path]:
        """Which of them were written, replaced, made or deleted since."""
        return {path for path, before in self._before.items() if self._written(path, before, _status(path))}

    def _written(self, path: Path, before: os.stat_result | None, after: os.stat_result | None) -> bool:
        if before is None or after is None:
            return before is not after
        if _content(before) != _content(after):
            return True
        if before.st_ctime_ns == after.st_ctime_ns:
            return False
        linked = _links(before) != _links(after)
        return not linked or sha256(path) != self._digests[path]


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _content(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _links(status: os.stat_result) -> tuple[int, ...]:
    return status.st_nlink, status.st_mode, status.st_uid, status.st_gid
