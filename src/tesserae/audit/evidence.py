"""What an audit has to go by: manifests as they lie on disk, and hashes of files, all read anew.

Nothing is taken from a memory: not from Snakemake, DVC or MLflow, not from .tesserae. An artifact is known by the
folder where its manifest lies, not by what the manifest calls itself.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tesserae.audit.findings import Finding, minute
from tesserae.config.types import Equivalent
from tesserae.lineage import code, fingerprint
from tesserae.lineage import manifest as manifests

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Identity = Annotated[str, Field(pattern="^[0-9a-f]{16}-[0-9a-f]{16}$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
Time = Annotated[AwareDatetime, Field(strict=False)]  # ISO text
STATE = ".state"
CHUNK = 1 << 20


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class File(_Part):
    path: str
    sha256: Sha256
    bytes: int = Field(ge=0)

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


class Read(_Part):
    fingerprint: Identity
    files: list[File] = Field(min_length=1)


class Weights(_Part):
    file: str
    sha256: Sha256
    bytes: int = Field(ge=0)


class Set(_Part):
    folder: str
    files: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: Sha256


class Environment(_Part):
    python: str
    libraries: dict[str, str]


class Commit(_Part):
    commit: str | None
    dirty: bool | None


class Tracking(_Part):
    experiment: str
    tag: dict[str, str]


class Manifest(_Part):
    """A manifest of version 2 (lineage/manifest.py), as far as an audit looks at it; further keys are allowed."""

    manifest: Literal[2]
    artifact: str = Field(pattern=r"^[^/]+/[^/]+$")
    stage: str
    recipe: str
    scale: str
    papers: list[str]
    engine: int
    fingerprint: Identity
    spec: dict[str, Any]
    origins: dict[str, str]
    seed: int | None
    modules: dict[str, Digest]
    equivalents: dict[str, str]
    inputs: dict[str, Read]
    sources: list[File]
    weights: Weights | None = None
    frozen: list[Weights] = Field(default_factory=list)
    data: Set | None = None
    outputs: list[File] = Field(min_length=1)
    environment: Environment
    hardware: dict[str, Any]
    git: Commit
    started: Time
    ended: Time
    seconds: float = Field(ge=0)
    metrics: dict[str, float]
    peak_mb: int
    mlflow: Tracking

    @property
    def counted(self) -> dict[str, str]:
        """Module -> the digest it counts as in the fingerprint."""
        return self.modules | self.equivalents

    @property
    def made(self) -> str:
        """When and from which commit it was made, as it says."""
        if self.git.commit is None:
            return f"made {minute(self.ended)}, outside git"
        tree = " (dirty tree)" if self.git.dirty else ""
        return f"made {minute(self.ended)} at commit {self.git.commit[:7]}{tree}"


class Seen(NamedTuple):
    """A file as it is now."""

    sha256: str
    bytes: int
    time: float


@dataclass(frozen=True)
class Planned:
    """What the present code and configuration say of an artifact."""

    fingerprint: str
    outputs: tuple[str, ...]  # names of its files
    reads: Mapping[str, tuple[str, ...]]  # producer -> names of the files that it reads of it
    modules: frozenset[str]  # of its code, as it is now


class AuditError(Exception):
    """There is nothing to audit; the message says what to do."""


@dataclass
class Evidence:
    """All that the checks look at. Paths are relative to the project folder `root`, with slashes."""

    root: Path
    scale: str
    records: dict[str, Manifest]  # artifact -> its manifest, if that can be used; producers first
    unusable: dict[str, Finding]  # artifact -> what is wrong with its manifest
    foreign: dict[str, str]  # artifact -> the scale that its manifest says, if that is another one
    manifests: dict[str, Seen]  # artifact -> its manifest's file
    planned: Mapping[str, Planned] | None  # artifact -> what the present code and configuration say of it
    why: Callable[[str], Sequence[str]] | None  # artifact -> what changed since it was made, in words
    equivalents: list[Equivalent]
    seen: dict[str, Seen] = field(default_factory=dict)  # file -> what is there; absent: no file that can be read

    @property
    def top(self) -> str:
        return f"results/{self.scale}"

    def folder(self, artifact: str) -> str:
        """Where an artifact lies."""
        return folder_of(artifact, self.scale)

    def manifest(self, artifact: str) -> str:
        return f"{self.folder(artifact)}/{manifests.NAME}"

    def plan_of(self, artifact: str) -> Planned | None:
        """What the plan says of an artifact, if there is a plan and it does."""
        return None if self.planned is None else self.planned.get(artifact)

    def intact(self, file: File) -> bool:
        """Whether a file is there with the recorded content."""
        seen = self.seen.get(file.path)
        return seen is not None and (seen.sha256, seen.bytes) == (file.sha256, file.bytes)

    def since(self, path: str, made: datetime | None = None, verb: str = "made") -> str:
        """Since when a file may be as it is: after it was made (or read), and at the time that it carries."""
        seen = self.seen.get(path)
        parts = [] if made is None else [f"after {minute(made)}, when it was {verb}"]
        if seen is not None:
            shown = minute(seen.time)
            if made is not None and shown[:10] == minute(made)[:10]:
                shown = shown[11:]
            parts.append(f"the file's time says {shown}")
        return "; ".join(parts) or "unknown: no record and no file"

    def reproduce(self, *more: str) -> str:
        return f"`tesserae --scale {self.scale} reproduce{''.join(f' {word}' for word in more)}`"

    def restore(self, artifact: str) -> str:
        """The remedy for what was edited."""
        return f"restore it (`dvc checkout {self.top}.dvc`) or make it again: {self.reproduce('--remake', artifact)}"

    def fetch(self, artifact: str) -> str:
        """The remedy for what is missing."""
        again = self.reproduce("--remake", artifact)
        return f"fetch it (`tesserae --scale {self.scale} pull`) or make it again: {again}"

    def words(self, artifact: str) -> Sequence[str]:
        """How an artifact's record differs from the present code and configuration."""
        try:
            return self.why(artifact) if self.why else ()
        except (OSError, SyntaxError, ValueError) as error:  # a damaged code store; it is a finding of its own
            return [f"what changed cannot be said ({error})"]

    def reviewed(self, stage: str, module: str, code: str) -> Equivalent | None:
        """What was reviewed of a module that says `code`, for artifacts of a stage."""
        found = (entry for entry in self.equivalents if (entry.module, entry.code) == (module, code))
        return next((entry for entry in found if entry.holds_for(stage)), None)

    def other_code(self, record: Manifest) -> list[str]:
        """Modules that count as something else now than when an artifact was made."""
        changed = []
        for name, then in record.counted.items():
            now = fingerprint.scan(name).digest if fingerprint.module_file(name) else fingerprint.ABSENT
            reviewed = self.reviewed(record.stage, name, now)
            if then != (reviewed.same_as if reviewed else now):
                changed.append(name)
        return changed


def folder_of(artifact: str, scale: str) -> str:
    """Where an artifact lies; the report lies at the top of its scale."""
    return f"results/{scale}" if artifact.startswith("report/") else f"results/{scale}/{artifact}"


def gather(
    root: Path,
    scale: str,
    planned: Mapping[str, Planned] | None,
    why: Callable[[str], Sequence[str]] | None,
    equivalents: list[Equivalent],
    progress: bool,
) -> Evidence:
    """Read all manifests of a scale and hash every file that they name, each once. Raises AuditError."""
    found = [file for file in manifests.files(root, scale) if file.is_file()]
    if not found:
        raise AuditError(
            f"{root / 'results' / scale} holds no manifest: there is nothing to audit; "
            f"`tesserae --scale {scale} reproduce` makes results, `dvc pull results/{scale}.dvc` fetches shared ones"
        )
    usable: dict[str, tuple[Manifest, dict[str, Any]]] = {}
    evidence = Evidence(root, scale, {}, {}, {}, {}, planned, why, equivalents)
    for file in found:
        path = file.relative_to(root).as_posix()
        artifact = "report/index" if file.parent == root / "results" / scale else "/".join(file.parts[-3:-1])
        try:
            raw = file.read_bytes()
            wrong = _read(raw, artifact, scale)
        except PermissionError:
            raise
        except OSError as error:
            raw, wrong = b"", _Wrong("manifest", f"cannot be read ({error.strerror})")
        evidence.manifests[artifact] = Seen(hashlib.sha256(raw).hexdigest(), len(raw), file.stat().st_mtime)
        if not isinstance(wrong, _Wrong):
            usable[artifact] = wrong
        else:
            evidence.seen[path] = evidence.manifests[artifact]
            if wrong.scale is not None:
                evidence.foreign[artifact] = wrong.scale
            evidence.unusable[artifact] = Finding(
                wrong.kind, artifact, path, wrong.what, evidence.since(path), evidence.restore(artifact)
            )
    plain = {artifact: content for artifact, (_, content) in usable.items()}
    evidence.records |= {name: usable[name][0] for name in manifests.upstream(plain, plain)}
    evidence.seen = _hash(root, sorted(_named(evidence)), progress)
    evidence.seen |= {evidence.manifest(artifact): seen for artifact, seen in evidence.manifests.items()}
    return evidence


# ---- manifests --------------------------------------------------------------------------------------------------


class _Wrong(NamedTuple):
    kind: str
    what: str
    scale: str | None = None  # the other scale that it is of


def _read(raw: bytes, artifact: str, scale: str) -> tuple[Manifest, dict[str, Any]] | _Wrong:
    """A manifest with its plain content, or what is wrong with it."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return _Wrong("manifest", f"is not JSON ({error})")
    version = content.get("manifest") if isinstance(content, dict) else None
    if version != manifests.VERSION:
        return _Wrong("manifest", f"is not a manifest of version {manifests.VERSION}, but says {version!r}")
    try:
        record = Manifest.model_validate(content)
        fingerprint.digest(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return _Wrong("manifest", f"{'.'.join(map(str, first['loc']))}: {first['msg'][0].lower()}{first['msg'][1:]}")
    except ValueError as error:  # a number that is none
        return _Wrong("manifest", str(error))
    if raw != _text(content).encode():
        return _Wrong("manifest", "is not written as manifests are written: an editor or another program changed it")
    return _misplaced(record, artifact, scale) or (record, content)


def _text(content: dict[str, Any]) -> str:
    """A record as `manifests.write` writes it."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _misplaced(record: Manifest, artifact: str, scale: str) -> _Wrong | None:
    if record.artifact != artifact:
        return _Wrong("place", f"is the manifest of {record.artifact}, but lies where that of {artifact} belongs")
    if f"{record.stage}/{record.recipe}" != artifact:
        return _Wrong("place", f"says stage {record.stage!r} and recipe {record.recipe!r}, but belongs to {artifact}")
    if record.scale != scale:
        return _Wrong("place", f"is of scale {record.scale}, but lies among the results of {scale}", record.scale)
    owners = [(artifact, record.outputs), *((name, read.files) for name, read in record.inputs.items())]
    for owner, files in owners:
        for file in files:
            if not _plain(file.path) or str(PurePosixPath(file.path).parent) != folder_of(owner, scale):
                return _Wrong("place", f"names {file.path} as a file of {owner}, which lies elsewhere")
    for file in record.sources:
        if not _plain(file.path) or file.path.startswith("results/"):
            return _Wrong("place", f"names {file.path} as a tracked file, which it cannot be")
    for files in (record.sources, *(files for _, files in owners)):
        paths = [file.path for file in files]
        if len(paths) != len(set(paths)):
            return _Wrong("manifest", f"names {next(path for path in paths if paths.count(path) > 1)} twice")
    return None


def _plain(path: str) -> bool:
    """A relative path that climbs nowhere and is written in the one way."""
    return str(PurePosixPath(path)) == path and not path.startswith("/") and ".." not in path.split("/")


def _named(evidence: Evidence) -> Iterator[str]:
    """Every file that a usable manifest names, and all of the code store."""
    for record in evidence.records.values():
        for files in (record.outputs, record.sources, *(read.files for read in record.inputs.values())):
            yield from (file.path for file in files)
    store = evidence.root / evidence.top / code.FOLDER
    for folder, _, names in os.walk(store):
        yield from ((Path(folder) / name).relative_to(evidence.root).as_posix() for name in names)


# ---- hashes -----------------------------------------------------------------------------------------------------


def _hash(root: Path, paths: list[str], progress: bool) -> dict[str, Seen]:
    """sha256, size and time of the files that are there; each file is read once, several at a time."""
    from tqdm import tqdm

    paths = [path for path in dict.fromkeys(paths) if (root / path).is_file()]
    total = sum((root / path).stat().st_size for path in paths)
    with tqdm(
        total=total,
        desc="audit",
        unit="B",
        unit_scale=True,
        mininterval=0.5,
        leave=False,
        disable=None if progress else True,  # None: off where stderr is not a terminal
    ) as bar:

        def look(path: str) -> Seen | None:
            digest, count = hashlib.sha256(), 0
            try:
                with open(root / path, "rb") as file:
                    while chunk := file.read(CHUNK):
                        digest.update(chunk)
                        count += len(chunk)
                        bar.update(len(chunk))
                    time = os.fstat(file.fileno()).st_mtime
            except PermissionError:  # who may not look cannot judge
                raise
            except OSError:
                return None  # counts as missing, which is a finding
            return Seen(digest.hexdigest(), count, time)

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            found = zip(paths, pool.map(look, paths), strict=True)
            return {path: seen for path, seen in found if seen is not None}
