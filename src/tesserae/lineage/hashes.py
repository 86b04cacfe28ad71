"""Content of files by sha256, remembered while size, time and inode stay the same (as git's index does).

Planning looks at every file of a scale; reading gigabytes each time would make that unbearable. `tesserae audit` does
not use this memory: an edit that keeps size, time and inode would pass here and must not pass there.
"""

import hashlib
import json
import os
import platform
from pathlib import Path

FILE = Path(".tesserae/hashes.json")


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
            self._known: dict[str, list] = json.loads((root / FILE).read_text())
        except (OSError, ValueError):  # a memory: whatever is wrong with it, start a new one
            self._known = {}

    def of(self, path: str) -> str | None:
        """Digest of the file at `path` (relative to the project folder), or None if there is none."""
        try:
            status = os.stat(self.root / path)
        except FileNotFoundError:
            return None
        stamp = _stamp(status)
        known = self._known.get(path)
        if known is None or known[:3] != stamp:
            known = self._known[path] = [*stamp, sha256(self.root / path)]
            self._new = True
        return known[3]

    def settle(self, path: str, time_ns: int) -> None:
        """Give a file whose digest is known another time; leaves it alone if it was written since."""
        file, known = self.root / path, self._known.get(path)
        if known is None or known[1] == time_ns or known[:3] != _stamp(os.stat(file)):
            return
        os.utime(file, ns=(time_ns, time_ns))
        self._known[path] = [*_stamp(os.stat(file)), known[3]]
        self._new = True

    def save(self) -> None:
        """Write the memory if it grew; a reader never sees half a file, of two writers the last one wins."""
        if not self._new:
            return
        file = self.root / FILE
        file.parent.mkdir(exist_ok=True)
        aside = file.with_name(f".{file.name}.{platform.node()}.{os.getpid()}")
        aside.write_text(json.dumps(self._known))
        os.replace(aside, file)
        self._new = False


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ino]
