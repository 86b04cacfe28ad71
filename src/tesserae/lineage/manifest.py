"""The manifest: one JSON record beside every artifact, written by this module alone.

It says what was made (outputs with hash and size), from what (spec, code, inputs, sources), where (environment,
hardware), when, and what it measured. Everything else (MLflow, DVC, reports) is an export of manifests.
"""

import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from tesserae.lineage import walk
from tesserae.lineage.hashes import sha256

NAME = "manifest.json"
BEGUN = "begun.json"  # what is known of an unfinished training, in its state folder
VERSION = 2
# Libraries that shape numbers, pictures and pages: recorded and audited, never invalidating.
LIBRARIES = (
    "numpy",
    "torch",
    "torchvision",
    "timm",
    "torch-fidelity",
    "lightning-fabric",
    "scipy",
    "scikit-learn",
    "tokenizers",
    "threadpoolctl",
    "open-clip-torch",
    "pandas",
    "pyarrow",
    "matplotlib",
    "pillow",
    "safetensors",
    "jinja2",
    "papermill",
    "nbconvert",
)

# What a repository that a project is at home in tracks; what else decides a number; what is made.
OWN = (Path("config/config.yaml"), Path("src/tesserae/__init__.py"))
CODE = (Path("src"), Path("config"), Path("notebooks"), Path("workflow"), Path("Snakefile"))
MADE = ("results", "lineage")


class File(TypedDict):
    """A file as it was: below the project folder."""

    path: str
    sha256: str
    bytes: int


class Read(TypedDict):
    """What a job read of a producer."""

    fingerprint: str
    files: list[File]


class Manifest(TypedDict):
    """What a manifest says. Its fields are written down here alone; their values are in audit/evidence.py as well."""

    manifest: int  # VERSION
    artifact: str  # <stage>/<recipe>
    stage: str
    recipe: str
    scale: str
    papers: list[str]
    fingerprint: str  # chained
    spec: dict[str, Any]
    origins: dict[str, str]
    seed: int | None
    engine: int
    modules: dict[str, str]  # module -> digest of what its code means
    equivalents: dict[str, str]  # module -> digest that it was reviewed to count as
    inputs: dict[str, Read]  # by producer
    sources: list[File]
    weights: NotRequired[dict[str, Any] | None]  # published ones: file, sha256, bytes
    outputs: list[File]
    environment: dict[str, Any]
    hardware: dict[str, Any]
    git: dict[str, Any]
    started: str  # ISO time
    ended: str
    seconds: float
    metrics: dict[str, float]
    peak_mb: int
    mlflow: dict[str, Any]


FIELDS = tuple(Manifest.__annotations__)
REQUIRED = tuple(name for name in FIELDS if name in Manifest.__required_keys__)
IDENTIFYING = ("manifest", "artifact", "stage", "recipe", "scale")  # what says where a manifest belongs


def missing(record: Any) -> list[str]:
    """Which required fields a record that was read lacks: all of them if it is no record."""
    return [name for name in REQUIRED if not isinstance(record, dict) or name not in record]


def describe(path: Path, root: Path) -> File:
    """Path relative to `root`, sha256 and size in bytes of a file."""
    return {"path": str(path.relative_to(root)), "sha256": sha256(path), "bytes": path.stat().st_size}


def read(folder: Path) -> Manifest:
    """The manifest in an artifact's folder; FileNotFoundError if there is none."""
    return json.loads((folder / NAME).read_text(encoding="utf-8"))


def files(root: Path, scale: str) -> list[Path]:
    """All manifests of a scale, sorted by path; `root` is the project folder."""
    top = root / "results" / scale
    return sorted([*top.glob(NAME), *top.glob(f"[!.]*/*/{NAME}")])


def collect(root: Path, scale: str) -> dict[str, Manifest]:
    """All manifests of a scale by artifact, producers before consumers."""
    found = {
        record["artifact"]: record
        for record in (json.loads(file.read_text(encoding="utf-8")) for file in files(root, scale))
    }
    return {name: found[name] for name in upstream(found, found)}


def upstream(records: Mapping[str, Mapping[str, Any]], artifacts: Iterable[str]) -> list[str]:
    """`artifacts` and all they were made from, producers first; what has no record is left out."""
    ordered = walk.producers_first(lambda name: records[name]["inputs"] if name in records else (), artifacts)
    return [name for name in ordered if name in records]


def write(file: Path, record: Mapping[str, Any]) -> None:
    """Write a record aside and rename it; sorted, indented, ends in a newline."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_text(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(aside, file)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def environment() -> dict[str, Any]:
    """Python, platform and the versions of the libraries that shape numbers."""
    return {"python": platform.python_version(), "platform": platform.platform(), "libraries": _versions()}


@functools.cache
def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores, host; and the accelerator, if torch is loaded and sees one."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    return {
        "host": platform.node(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "scheduler_job": os.environ.get("SLURM_JOB_ID"),
    }


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit(root: Path) -> dict[str, Any]:
    """The git commit of the project folder, and whether its code and settings differ from it; nulls outside git.

    New files count as much as edited ones; results and what is said of them (results/, lineage/) do not. A repository
    that the folder was only unpacked in says nothing of it.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, encoding="utf-8", errors="replace", check=True
        ).stdout

    try:
        git("ls-files", "--error-unmatch", *(str(path) for path in OWN if (root / path).exists()))
        edited = git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{path}" for path in MADE))
        new = git("ls-files", "--others", "--exclude-standard", "--", *(str(path) for path in CODE))
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(edited.strip() or new.strip())}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
