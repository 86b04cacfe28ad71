"""Runs a stage's work under watch: what it read, what it imported, and from which text, go back to the runner."""

import contextlib
import importlib
import os
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tesserae.lineage import fingerprint
from tesserae.lineage.work import Work
from tesserae.workflow import loading


@dataclass
class Conduct:
    """What the runner has to know of a stage's run; of several processes, all taken together."""

    numbers: dict[str, Any]
    undeclared: set[str] = field(default_factory=set)  # files of the project that were read without being declared
    modules: set[str] = field(default_factory=set)  # modules of the package that were imported
    digests: dict[str, set[str]] = field(default_factory=dict)  # module -> meanings of the texts it was imported from
    peak_mb: int = 0

    def merge(self, other: "Conduct") -> None:
        """Add what another process did; the numbers stay this one's."""
        self.undeclared |= other.undeclared
        self.modules |= other.modules
        for name, found in other.digests.items():
            self.digests.setdefault(name, set()).update(found)
        self.peak_mb = max(self.peak_mb, other.peak_mb)


def conduct(work: Work, declared: set[Path]) -> Conduct:
    """Run the stage of `work` in this process."""
    with _watch(work.root, declared, (work.out, work.state, *filter(None, [work.data_root]))) as undeclared:
        numbers = importlib.import_module(f"tesserae.stages.{work.stage}").run(work) or {}
    return Conduct(
        numbers,
        undeclared,
        {name for name in sys.modules if name.split(".")[0] == fingerprint.PACKAGE},
        {name: {fingerprint.meaning(name, raw).digest} for name, raw in loading.loaded().items()},
        _peak_mb(),
    )


def _peak_mb() -> int:
    """Most memory this process ever held, with what a warm parent had loaded: Linux counts in kB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)


@contextlib.contextmanager
def _watch(root: Path, declared: set[Path], own_folders: tuple[Path, ...]):
    """Collect the project's files that are opened for reading without being declared (Python-level opens only)."""
    allowed = {str(path) for path in declared}
    prefixes = tuple(f"{folder}{os.sep}" for folder in (*own_folders, Path(sys.prefix), root / ".tesserae"))
    inside = f"{root}{os.sep}"
    found: set[str] = set()
    active = True

    def hook(event: str, arguments: tuple) -> None:
        if event != "open" or not active or not isinstance(arguments[0], str | bytes):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if not path.startswith(inside) or path in allowed or path.startswith(prefixes) or ".egg-info/" in path:
            return  # .egg-info: what the installer notes about packages, read by whoever looks for plugins
        writes = (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if not writes and not path.endswith((".py", ".pyc")) and os.path.isfile(path):
            found.add(os.path.relpath(path, root))

    sys.addaudithook(hook)  # cannot be taken out again, hence `active`
    try:
        yield found
    finally:
        active = False
