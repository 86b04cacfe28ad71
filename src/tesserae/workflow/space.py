"""A full disk, said where the message cannot be lost: logs may lie on the full disk themselves."""

import errno
import os
import shutil
from pathlib import Path

from tesserae import words

PROBE = 1 << 20  # bytes


def is_full(error: BaseException) -> bool:
    """Whether a write failed for want of space or quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def remedy(root: Path) -> str:
    """Which disk is full, and what to do."""
    free = shutil.disk_usage(root / "results").free
    return (
        f"the disk is full ({words.size(free)} free in {root / 'results'}, or your quota is used up); nothing "
        "half-written was left. Make room, or move the project to a larger disk, or mount one at results/ (behind a "
        "link, DVC shares nothing), and run the workflow again"
    )


def complaint(root: Path) -> str | None:
    """The remedy, if results/ takes no megabyte more."""
    probe = root / "results" / f".probe-{os.getpid()}"
    try:
        with open(probe, "wb") as file:
            file.write(bytes(PROBE))
            file.flush()
            os.fsync(file.fileno())  # a quota may be noticed late
    except OSError as error:
        if not is_full(error):
            raise
        return remedy(root)
    finally:
        probe.unlink(missing_ok=True)
    return None
