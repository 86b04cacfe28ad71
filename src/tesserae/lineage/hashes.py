"""Content of files by sha256, remembered while size, times and inode stay the same (as git's index does).

Planning looks at every file of a scale; reading gigabytes each time would make that unbearable. The time of change
(ctime) is among the times: `cp -p` over a file can keep all the rest. `tesserae audit` does not use this memory: an
edit of somebody who turns the system's clock back would pass here and must not pass there.
"""

import contextlib
import hashlib
import json
import os
import platform
import stat
import time
from pathlib import Path

FILE = Path(".tesserae/hashes.json")
# A file may be written twice within one tick of its clock: what has just been changed is not remembered yet. One second
# is the coarsest tick of a file system in use.
SETTLED_NS = 1_000_000_000


def remember(file: Path, text: str) -> None:
    """Write a memory that nothing depends on: a reader never sees half a file, and of two writers the last one wins.

    Where it cannot be written (another's folder, a read-only or full disk), what it would have saved is done again.
    """
    aside = file.with_name(f".{file.name}.{platform.node()}.{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_text(text, encoding="utf-8")
            os.replace(aside, file)
        finally:
            aside.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read now."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Hashes:
    """sha256 of files below a project folder; `save` keeps what was learned."""

    def __init__(self, root: Path):
        self.root = root
        self._new = False
        try:
            self._known: dict[str, list] = json.loads((root / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a memory: whatever is wrong with it, start a new one
            self._known = {}

    def of(self, path: str) -> str | None:
        """Digest of the file at `path` (relative to the project folder), or None if there is none.

        Raises PermissionError.
        """
        try:
            status = os.stat(self.root / path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):  # a folder, say
            return None
        stamp = _stamp(status)
        known = self._known.get(path)
        if known is not None and known[:-1] == stamp:
            return known[-1]
        settled = time.time_ns() - status.st_ctime_ns > SETTLED_NS
        digest = sha256(self.root / path)
        if settled:
            self._known[path] = [*stamp, digest]
            self._new = True
        return digest

    def save(self) -> None:
        """Write the memory if it grew."""
        if self._new:
            remember(self.root / FILE, json.dumps(self._known))
            self._new = False


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]
