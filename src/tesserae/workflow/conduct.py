"""Runs a stage's work under watch: what it read, what it imported, and from which text, go back to the runner."""

import importlib
import os
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tesserae.lineage import fingerprint
from tesserae.lineage.work import Work
from tesserae.workflow import loading, watching


@dataclass
class Conduct:
    """What the runner has to know of a stage's run; of several processes, all taken together."""

    numbers: dict[str, Any]
    undeclared: set[str] = field(default_factory=set)  # files of the project that were read without being declared
    modules: set[str] = field(default_factory=set)  # modules of the package that were imported
    digests: dict[str, set[str]] = field(default_factory=dict)  # module -> meanings of the texts it was imported from
    peak_mb: int = 0
    strangers: dict[str, str] = field(default_factory=dict)  # modules of the project, not of the package -> file
    weights: set[str] = field(default_factory=set)  # files of frozen networks

    def merge(self, other: "Conduct") -> None:
        """Add what another process did; the numbers stay this one's."""
        self.undeclared |= other.undeclared
        self.modules |= other.modules
        for name, found in other.digests.items():
            self.digests.setdefault(name, set()).update(found)
        self.strangers |= other.strangers
        self.weights |= other.weights
        self.peak_mb = max(self.peak_mb, other.peak_mb)


def conduct(work: Work, declared: set[Path]) -> Conduct:
    """Run the stage of `work` in this process."""
    own_folders = (work.out, work.state, *filter(None, [work.data_root]))
    with watching.watch(work.root, declared, own_folders) as seen:
        numbers = importlib.import_module(f"tesserae.stages.{work.stage}").run(work) or {}
    texts = {name: {raw} for name, raw in loading.loaded().items()}
    for name, raws in seen.texts.items():
        texts.setdefault(name, set()).update(raws)
    return Conduct(
        numbers,
        seen.undeclared,
        {name for name in (*sys.modules, *seen.texts) if name.split(".")[0] == fingerprint.PACKAGE},
        {name: {fingerprint.meaning(name, raw).digest for raw in raws} for name, raws in texts.items()},
        _peak_mb(),
        _strangers(work.root),
        seen.weights,
    )


def _strangers(root: Path) -> dict[str, str]:
    """Modules that lie in the project folder and belong neither to the package nor to the environment: name -> file."""
    inside, environment = f"{root}{os.sep}", f"{sys.prefix}{os.sep}"
    package = f"{fingerprint.SOURCE / fingerprint.PACKAGE}{os.sep}"
    files = {name: getattr(module, "__file__", None) or "" for name, module in [*sys.modules.items()]}
    return {
        name: file
        for name, file in files.items()
        if file.startswith(inside)
        and not file.startswith(environment)
        and not os.path.realpath(file).startswith(package)
    }


def _peak_mb() -> int:
    """Most memory this process ever held, with what a warm parent had loaded: Linux counts in kB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
