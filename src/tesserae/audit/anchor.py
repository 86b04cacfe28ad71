"""The index of what was shared, lineage/<scale>.json: a witness outside the results, tracked in git.

`tesserae share` writes it. It holds the hash of every manifest, so that a manifest that was forged together with
everything made from it, and agrees with all of it, is still not the one that was shared.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from tesserae.audit.evidence import Evidence, Sha256
from tesserae.audit.findings import Finding, Note, listed, minute
from tesserae.lineage import code


class Shared(BaseModel):
    """An artifact as it was shared."""

    fingerprint: str
    manifest: Sha256
    outputs: dict[str, Sha256]


class Index(BaseModel):
    """lineage/<scale>.json."""

    version: Literal[1]
    scale: str
    artifacts: dict[str, Shared]
    code: dict[str, Sha256] = Field(default_factory=dict)  # file of the code store -> sha256 of its very text


def check(evidence: Evidence) -> Iterator[Finding | Note]:
    """Results are those that lineage/<scale>.json, written by `tesserae share` and tracked in git, speaks of."""
    path = f"lineage/{evidence.scale}.json"
    file = evidence.root / path
    if not file.is_file():
        yield Note("anchor", "", f"{path} is not there: a forgery in which all manifests agree would not be seen")
        return
    if not _as_committed(evidence.root, path):
        yield Note("anchor", "", f"{path} is not what is committed, and so no witness yet: `git diff {path}`")
    again = f"`git checkout {path}`, or `tesserae --scale {evidence.scale} share` to write it anew"
    time = f"the file's time says {minute(file.stat().st_mtime)}"
    try:
        index = Index.model_validate(json.loads(file.read_bytes()), strict=True)
    except (ValueError, ValidationError) as error:
        reason = str(error).splitlines()
        yield Finding("shared", "", path, f"cannot be used: {'; '.join(reason[:2])}", time, again)
        return
    if index.scale != evidence.scale:
        yield Finding("shared", "", path, f"is the index of scale {index.scale}", time, again)
        return
    for artifact, recorded in index.artifacts.items():
        record, here = evidence.records.get(artifact), evidence.manifests.get(artifact)
        if here is None:
            yield Note("not-here", artifact, "was shared, but is not on this machine")
        elif record is not None and record.fingerprint != recorded.fingerprint:
            yield Note("remade", artifact, f"has another fingerprint than when it was shared ({record.made})")
        elif here.sha256 != recorded.manifest:
            yield _not_shared(evidence, artifact, recorded.outputs)
    news = [artifact for artifact in evidence.records if artifact not in index.artifacts]
    if news:
        yield Note("not-shared", "", f"{len(news)} artifacts are not in {path}: {listed(news)}")
    for name, sha256 in index.code.items():
        stored = f"{evidence.top}/{code.FOLDER}/{name}"
        if stored in evidence.seen and evidence.seen[stored].sha256 != sha256:
            what = "is not the text that was shared"
            yield Finding("shared", "", stored, what, evidence.since(stored), f"`dvc checkout {evidence.top}.dvc`")


def _as_committed(root: Path, path: str) -> bool:
    """Whether a file is what the last commit has; True where there is no git that could say."""

    def git(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True)

    try:
        if git("rev-parse", "--verify", "-q", "HEAD").returncode:
            return True
        return git("show", f"HEAD:./{path}").stdout == (root / path).read_bytes()
    except OSError:
        return True


def _not_shared(evidence: Evidence, artifact: str, recorded: dict[str, str]) -> Finding:
    record, path = evidence.records.get(artifact), evidence.manifest(artifact)
    what = "has the fingerprint of what was shared, but its manifest differs"
    if record is not None:
        now = {file.name: file.sha256 for file in record.outputs}
        other = sorted(name for name in recorded.keys() | now.keys() if recorded.get(name) != now.get(name))
        what += f", and so do {', '.join(other)}" if other else "; its files are the same: was it made again?"
    return Finding(
        "shared",
        artifact,
        path,
        what,
        evidence.since(path),
        f"`dvc checkout {evidence.folder(artifact)}` brings back what was shared; "
        f"`tesserae --scale {evidence.scale} share` replaces it by what is here, if you know how that came about",
    )
