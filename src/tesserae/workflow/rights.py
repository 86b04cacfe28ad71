"""Files that belong to somebody else: said with their owner, and what to do."""

import errno
import os
import stat
from pathlib import Path

DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def complaint(error: OSError) -> str | None:
    """What may not be read or written, whose it is, and the remedy; None for an error of another kind."""
    if error.errno not in DENIED or error.filename is None:
        return None
    path = Path(os.fsdecode(error.filename))
    if error.errno == errno.EROFS:
        return f"{path} lies on a file system that is read-only: work on a copy of the project elsewhere"
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
    whose = _whose(there)
    if there == path and not os.access(path, os.R_OK):
        return f"{path} may not be read by you ({whose}): ask its owner for `chmod -R go+rX {path.parent}`"
    return f"{path} may not be written by you ({there}: {whose}): work on a copy of the project, or ask for the right"


def _whose(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:
        return "in a folder that you may not look into"
    try:
        owner = path.owner()
    except KeyError:
        owner = f"uid {status.st_uid}"
    return f"it belongs to {owner}, {stat.filemode(status.st_mode)}"
