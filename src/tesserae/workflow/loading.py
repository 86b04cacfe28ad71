"""Remembers the very bytes that each module of the package was imported from.

A fingerprint is of files on disk; what runs is what the interpreter read. The two could differ: an edit between
planning and import that is undone later, or bytecode that is older than its source within the clock's resolution.
So modules are compiled from source, and their bytes are kept for the runner to compare.
"""

import importlib.machinery
import sys
from collections.abc import Callable
from types import CodeType

_loaded: dict[str, bytes] = {}
_told: list[Callable[[str, bytes], None]] = []


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        raw = self.get_data(self.path)
        _loaded[fullname] = raw
        for told in _told:
            told(fullname, raw)
        return self.source_to_code(raw, self.path)


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith("tesserae."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def remember() -> None:
    """From here on, remember what modules of the package are imported from."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def tell(told: Callable[[str, bytes], None]) -> None:
    """Call `told` with module and bytes for each that is imported from here on."""
    _told.append(told)


def loaded() -> dict[str, bytes]:
    """Module -> the bytes it was imported from, for all imported since `remember`."""
    return dict(_loaded)
