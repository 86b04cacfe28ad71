"""What a crate is about, for the modules that write its document and its page."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tesserae.lineage import code, fingerprint
from tesserae.lineage import manifest as manifests


@dataclass(frozen=True)
class File:
    """One file that a crate describes; not `always` in it: left out where it is too large or no copy is wanted."""

    path: str  # in the crate, the same as below the project folder
    sha256: str
    bytes: int
    place: Path  # where its bytes are now
    always: bool = False


@dataclass(frozen=True)
class Contents:
    """What a crate is about."""

    scale: str
    targets: list[str]  # artifacts
    records: dict[str, dict[str, Any]]  # their manifests and those of everything upstream, producers first
    files: dict[str, File]  # by path
    sources: dict[tuple[str, str], str]  # (path that a job read, sha256) -> path in `files`

    def source(self, entry: dict[str, Any]) -> str:
        """Path in the crate of one of a manifest's sources: its own, or the code store's copy if it changed since."""
        return self.sources[entry["path"], entry["sha256"]]

    def modules(self, record: dict[str, Any]) -> dict[str, str]:
        """Path in the crate of the code of each module behind an artifact, as it was when the artifact was made."""
        return {name: module_path(self.scale, name, digest) for name, digest in record["modules"].items()}

    def tool(self, record: dict[str, Any]) -> str:
        """Path in the crate of the code of an artifact's stage."""
        return self.modules(record)[stage_module(record)]

    def manifest(self, record: dict[str, Any]) -> str:
        """Path in the crate of an artifact's manifest."""
        return manifest_path(record)


def module_path(scale: str, module: str, digest: str) -> str:
    """Path in a crate of the code of a module, as the code store keeps it."""
    return code.module_file(Path("results") / scale, module, digest).as_posix()


def manifest_path(record: dict[str, Any]) -> str:
    """Path in a crate of an artifact's manifest."""
    return str(PurePosixPath(record["outputs"][0]["path"]).with_name(manifests.NAME))


def stage_module(record: dict[str, Any]) -> str:
    """The module of an artifact's stage."""
    return f"{fingerprint.PACKAGE}.stages.{record['stage']}"
