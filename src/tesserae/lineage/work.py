"""What the runner hands to a stage: its spec, the folders it may read, and the folder it writes to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Work:
    """One job, as its stage sees it. A stage sees no configuration beyond `spec`."""

    stage: str
    recipe: str
    spec: dict[str, Any]
    inputs: dict[str, Path]  # role -> folder of the artifact
    sources: dict[str, Path]  # role -> git-tracked file
    out: Path  # new, empty folder; the runner renames its files into place
    state: Path  # survives a kill; holds checkpoints of this very job
    identity: str  # of the fingerprint and of what is read: state of another one must not be resumed
    comments: tuple[Path, ...]  # files below the project folder that are read for their comments only
    root: Path  # the project folder
    data_root: Path | None  # where the real data set of a dataset job lies on this machine
    device: str  # auto, cpu or cuda
    weights: Path | None = None  # the file of published weights that a job with `source: official` takes

    @property
    def title(self) -> str:
        return f"{self.stage}/{self.recipe}"

    def shards(self, role: str) -> list[Path]:
        """The folders of all shards of a scattered input, in order."""
        return [self.inputs[name] for name in sorted(self.inputs) if name.split(".")[0] == role]
