"""What must survive an interruption, listed once: step, weights, averaged weights, optimizers.

Random state and data position are not in the list because both follow from the step (order.py). Two checkpoints are
kept, each with its digest beside it (`sha256sum -c` reads it). At most four lie on disk at any time, whatever is
killed when: a third while it is written, and the last damaged one.
"""

import errno
import hashlib
import os
import shutil
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import torch

KEPT = 2


class Checkpoints:
    """The checkpoints of one job below `folder`; those of another identity are deleted, never resumed.

    Of several processes one is the `writer`: it alone cleans up, saves and looks for the newest.
    """

    def __init__(self, folder: Path, identity: str, *, writer: bool = True):
        self.folder = folder / identity
        if writer:
            for other in folder.glob("*"):
                if other.is_dir() and other != self.folder:
                    shutil.rmtree(other)
            self.folder.mkdir(parents=True, exist_ok=True)
            for unfinished in self.folder.glob("saving-*"):
                unfinished.unlink()
            self._prune()

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write aside, bring to disk, rename. A full disk is an OSError that says what is missing."""
        file, aside, content = self._file(step), self.folder / f"saving-{os.getpid()}", {"step": step, **state}
        try:
            with open(aside, "wb") as opened:
                digest = _write(content, opened)
            with open(file.with_suffix(".sha256"), "w", encoding="utf-8") as beside:
                beside.write(f"{digest}  {file.name}\n")
                beside.flush()
                os.fsync(beside.fileno())
            os.replace(aside, file)
            _sync(self.folder)  # the rename
        except OSError as error:
            aside.unlink(missing_ok=True)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(
                error.errno,
                f"{self.folder}: no space for the checkpoint of step {step}, which needs {_size(content) / 1e6:.1f} MB;"
                f" {shutil.disk_usage(self.folder).free / 1e6:.1f} MB are free (a quota may allow less). Free some and "
                "run again: training goes on at the checkpoint before",
            ) from error
        self._prune()

    def newest(self) -> dict[str, Any] | None:
        """The newest undamaged checkpoint, or None. A damaged one is set aside with a warning."""
        for file in self._newest_first():
            try:
                return self.load(int(file.stem))
            except Exception as error:  # torch raises many kinds for damaged files
                warnings.warn(f"{file} cannot be read ({error}); falling back to the one before", stacklevel=2)
                file.replace(self.folder / "damaged")
        return None

    def load(self, step: int) -> dict[str, Any]:
        """The checkpoint of a step; ValueError if it is not what was saved."""
        file = self._file(step)
        with open(file, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if file.with_suffix(".sha256").read_text(encoding="utf-8").split()[0] != digest:
            raise ValueError("its content changed since it was saved")
        return torch.load(file, map_location="cpu", weights_only=True)

    def _prune(self) -> None:
        for old in self._newest_first()[KEPT:]:
            old.unlink()
        for digest in self.folder.glob("*.sha256"):
            if not digest.with_suffix(".pt").exists():
                digest.unlink()

    def _file(self, step: int) -> Path:
        return self.folder / f"{step:09d}.pt"

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("*.pt"), reverse=True)


class _Passing:
    """What torch.save writes to: takes the digest and the size of the bytes on their way to `file`, if there is one."""

    def __init__(self, file: BinaryIO | None):
        self.file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        if self.file is None:
            self.size += len(data)
            return len(data)
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        """There is nothing to do before the end."""


def _write(content: dict[str, Any], file: BinaryIO) -> str:
    """Save to an open file, down to the disk; returns the digest."""
    passing = _Passing(file)
    try:
        torch.save(content, passing)
    except RuntimeError as error:  # torch's writer hides the error of the file behind its own
        raise error.__context__ if isinstance(error.__context__, OSError) else error from None
    file.flush()
    os.fsync(file.fileno())
    return passing.digest.hexdigest()


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)


def _size(content: dict[str, Any]) -> int:
    torch.save(content, counted := _Passing(None))
    return counted.size
