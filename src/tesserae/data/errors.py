"""The one error of this room: data that is missing, damaged or not what was promised."""

from pathlib import Path


class DataError(Exception):
    """Something on disk is not as needed. The message says where, what was expected, what was found, what to do.

    `path` may be None when no path was configured at all.
    """

    def __init__(self, path: Path | str | None, *, expected: str, found: str, remedy: str):
        self.path = None if path is None else Path(path)
        self.expected, self.found, self.remedy = expected, found, remedy
        place = "no path configured" if path is None else str(path)
        super().__init__(f"{place}: expected {expected}; found {found}. {remedy}")
