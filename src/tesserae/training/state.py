"""What must survive an interruption, listed once: step, weights, averaged weights, optimizers.

Random state and data position are not in the list because both follow from the step (order.py).
Two checkpoints are kept; each is written aside and renamed.
"""

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch

KEPT = 2


class Checkpoints:
    """The checkpoints of one job below `folder`; those of another identity are deleted, never resumed."""

    def __init__(self, folder: Path, identity: str):
        self.folder = folder / identity
        for other in folder.glob("*"):
            if other.is_dir() and other != self.folder:
                shutil.rmtree(other)
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, state: dict[str, Any]) -> None:
        aside = self.folder / f"saving-{os.getpid()}"
        torch.save({"step": step, **state}, aside)
        os.replace(aside, self._file(step))
        for old in self._newest_first()[KEPT:]:
            old.unlink()

    def newest(self) -> dict[str, Any] | None:
        """The newest readable checkpoint, or None. A damaged one is set aside with a warning."""
        for file in self._newest_first():
            try:
                return torch.load(file, map_location="cpu", weights_only=True)
            except Exception as error:  # torch raises many kinds for damaged files
                warnings.warn(f"{file} cannot be read ({error}); falling back to the one before", stacklevel=2)
                file.rename(file.with_suffix(".damaged"))
        return None

    def _file(self, step: int) -> Path:
        return self.folder / f"{step:09d}.pt"

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("*.pt"), reverse=True)
