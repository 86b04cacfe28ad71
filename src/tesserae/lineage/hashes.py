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


def remember(file: Path, content: str | bytes) -> None:
    """Write a memory that nothing depends on: a reader never sees half a file, and of two writers the last one wins.

    Where it cannot be written (another's folder, a read-only or full disk), what it would have saved is done again.
    """
    aside = file.with_name(f".{file.name}.{platform.node()}.{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(content.encode() if isinstance(content, str) else content)
            os.replace(aside, file)
        finally:
            aside.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read now."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Hashes:
    """sha256 of files below a folder, by default a project's; `save` keeps what was learned in the file `memory`."""

    def __init__(self, root: Path, memory: Path | None = None):
        self.root, self._memory = root, memory or root / FILE
        self._new = False
        try:
            self._known: dict[str, list] = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a memory: whatever is wrong with it, start a new one
            self._known = {}

    def remembered(self, path: str, status: os.stat_result) -> str | None:
        """Digest of the file at `path`, relative to the folder, as far as that is known without reading it."""
        known = self._known.get(path)
        return known[-1] if known is not None and known[:-1] == _stamp(status) else None

    def of(self, path: str) -> str | None:
        """Digest of the file at `path`, relative to the folder, or None if there is none.

        Raises PermissionError.
        """
        status = _status(self.root / path)
        if status is None:
            return None
        if (known := self.remembered(path, status)) is not None:
            return known
        settled = time.time_ns() - status.st_ctime_ns > SETTLED_NS
        digest = sha256(self.root / path)
        if settled:
            self._known[path] = [*_stamp(status), digest]
            self._new = True
        return digest

    def save(self) -> None:
        """Write the memory if it grew."""
        if self._new:
            remember(self._memory, json.dumps(self._known))
            self._new = False


def _status(file: Path) -> os.stat_result | None:
    """None for what is no file: a folder, say."""
    try:
        status = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]
