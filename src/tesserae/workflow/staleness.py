"""Which artifacts are current, and what a run would make again and why: decided by manifests and content alone.

An artifact is current if its manifest has the identity that the plan would give it now and all outputs of its stage,
its files are what the manifest says, what it read is what its producers' manifests say they wrote, and published
weights that it took are the ones that are here, if any are. Times of files never count.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tesserae.config.stages import STAGES
from tesserae.lineage import changes, foreign
from tesserae.lineage import manifest as manifests
from tesserae.lineage.fingerprint import ENGINE
from tesserae.lineage.hashes import Hashes
from tesserae.workflow.plan import Plan

LIBRARIES = "libraries"  # what --remake calls everything that other library versions made


@dataclass
class ArtifactStatus:
    """How an artifact stands. `stale`: it has to be made again if it is wanted at all; the words say why."""

    artifact: str
    record: dict[str, Any] | None  # its manifest, if there is one that can be used
    stale: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # output files that are not there
    identity: bool = True  # the manifest has the present identity

    @property
    def current(self) -> bool:
        """Made by what would make it now, from what its producers hold; its files may be elsewhere (pulled in part)."""
        return self.record is not None and not self.stale

    @property
    def intact(self) -> bool:
        """All files are there and as recorded, whatever made them."""
        return self.record is not None and not self.missing and not any(w.startswith("edited") for w in self.stale)


def examine(
    plan: Plan, remake: tuple[str, ...] = (), wanted: list[str] | None = None, content: bool = True
) -> dict[str, ArtifactStatus]:
    """The status of all jobs (or of `wanted` ones: producers first, and their producers among them).

    Args: `remake`, artifacts that were asked for again, by id; LIBRARIES: all that other library versions made.
    `content`: look at the files; else compare manifests alone. Raises KeyError for an id that is not in the plan.
    """
    for name in remake:
        if name != LIBRARIES and name not in plan.jobs:
            raise KeyError(name)
    hashes = Hashes(plan.project.root)
    found: dict[str, ArtifactStatus] = {}
    for name in plan.jobs if wanted is None else wanted:
        found[name] = _standing(plan, name, found, hashes if content else None, remake)
    hashes.save()
    return found


def _standing(
    plan: Plan, name: str, found: dict[str, ArtifactStatus], hashes: Hashes | None, remake: tuple[str, ...]
) -> ArtifactStatus:
    job, folder = plan.jobs[name], plan.folder(name)
    record = _record(plan.project.root / folder / manifests.NAME)
    if record is None:
        return ArtifactStatus(name, None, missing=[*STAGES[job.stage].files, manifests.NAME])
    status = ArtifactStatus(name, record)
    if record.get("manifest") != manifests.VERSION:
        status.stale.append(f"its manifest is of version {record.get('manifest')}, this is {manifests.VERSION}")
        status.identity = False
        return status
    if absent := manifests.missing(record):
        return ArtifactStatus(
            name,
            None,
            [f"its manifest does not say {', '.join(absent)}: it was edited, or another program wrote it"],
            [*STAGES[job.stage].files, manifests.NAME],
        )
    wrote = {Path(entry["path"]).name for entry in record["outputs"]}
    if lacking := [name for name in STAGES[job.stage].files if name not in wrote]:
        status.stale.append(f"it was made without {', '.join(lacking)}, which its stage writes now")
    if record["fingerprint"] != plan.fingerprint(job):
        status.stale.append("code, settings or inputs changed")
        status.identity = False
    for entry in record["outputs"] if hashes else ():
        digest = hashes.of(entry["path"])
        if digest is None:
            status.missing.append(Path(entry["path"]).name)
        elif digest != entry["sha256"]:
            status.stale.append(f"edited since it was made: {entry['path']}")
    taken = record.get("weights")
    file = foreign.weights_file(taken["file"]) if taken else None
    if hashes and file and hashes.of(str(file)) != taken["sha256"]:  # a file that is away says nothing
        status.stale.append(f"made from other published weights than are in {file}")
    if status.identity:
        for producer, read in record["inputs"].items():
            held = found[producer].record if producer in found else None
            if held is not None and held["fingerprint"] == read["fingerprint"]:
                wrote = {entry["path"]: entry["sha256"] for entry in held["outputs"]}
                if hashes:
                    wrote[str(plan.folder(producer) / manifests.NAME)] = hashes.of(
                        str(plan.folder(producer) / manifests.NAME)
                    )
                if any(wrote.get(entry["path"], entry["sha256"]) != entry["sha256"] for entry in read["files"]):
                    status.stale.append(f"made from another version of {producer}")
    if name in remake:
        status.stale.append("asked for")
    if LIBRARIES in remake and other_libraries(record):
        status.stale.append(f"asked for: made with {', '.join(other_libraries(record))}")
    return status


def _record(file: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):  # none, or half a one: no artifact
        return None
    return (
        record if isinstance(record, dict) and {"artifact", "fingerprint", "outputs", "inputs"} <= set(record) else None
    )


def to_run(plan: Plan, statuses: dict[str, ArtifactStatus], wanted: list[str] | None = None) -> dict[str, str]:
    """What a run would make for the artifacts `wanted` (default: all that is shown), producers first: artifact -> why.

    A stale artifact is made again, and whatever it feeds; a missing one only if something that runs reads it.
    """
    demanded = plan.demanded(*(wanted or ()))
    targets = set(wanted or plan.shown)
    run: dict[str, str] = {}
    while True:
        before = len(run)
        for name in demanded:
            status = statuses[name]
            if name in run:
                continue
            fed = [producer for producer in plan.jobs[name].inputs.values() if producer in run]
            if status.stale:
                run[name] = status.stale[0]
            elif fed:
                run[name] = f"reads {fed[0]}"
            elif status.missing and (name in targets or _read(plan, name, status.missing, run)):
                run[name] = "not made yet" if status.record is None else f"{status.missing[0]} is missing"
        if len(run) == before:
            return {name: run[name] for name in demanded if name in run}


def _read(plan: Plan, name: str, files: list[str], run: dict[str, str]) -> bool:
    """Whether something that runs reads any of an artifact's files."""
    users = (plan.jobs[other] for other in run if name in plan.jobs[other].inputs.values())
    return any(set(files) & set(plan.reads(user, name)) for user in users)


def other_libraries(record: dict[str, Any]) -> list[str]:
    """Libraries that shape numbers and have another version here than where an artifact was made: `torch 2.14.0`."""
    here = manifests.environment()["libraries"]
    made = record["environment"]["libraries"]
    return [f"{name} {version}" for name, version in made.items() if here.get(name, version) != version]


def why(plan: Plan, status: ArtifactStatus) -> list[str]:
    """What changed since an artifact was made, in words; empty if nothing but its producers did."""
    job, record, root = plan.jobs[status.artifact], status.record, plan.project.root
    if record is None:
        return status.stale or ["it was never made here"]
    lines = [line for line in status.stale if line != "code, settings or inputs changed"]
    if record.get("manifest") != manifests.VERSION:
        return lines
    own, top = plan.own(job), root / plan.top
    if not status.identity:
        if record["engine"] != ENGINE:
            lines.append(f"the engine changed ({record['engine']} → {ENGINE}): everything is made again")
        lines += changes.modules(record, own, top)
        lines += changes.spec(record, job.spec, job.origins)
        lines += changes.sources(record, own, top, root)
        lines += changes.inputs(record, list(job.inputs.values()))
    return lines + [f"{name} is missing" for name in status.missing]


def seconds(plan: Plan, statuses: dict[str, ArtifactStatus], name: str) -> float | None:
    """What making an artifact took the last time; else the mean of its stage; None where nothing is known."""
    record = statuses[name].record
    if record:
        return record["seconds"]
    same = [
        other.record["seconds"]
        for other in statuses.values()
        if other.record and plan.jobs[other.artifact].stage == plan.jobs[name].stage
    ]
    return sum(same) / len(same) if same else None
