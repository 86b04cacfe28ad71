"""`tesserae audit`: whether results are what their manifests say, and whether the manifests can be true.

Each check below looks for one kind of tampering or decay and yields what it finds. They use manifests and files
alone. What no check can see: a manifest that was forged together with everything made from it, so that all of it
agrees; only the index of what was shared (lineage/<scale>.json, tracked in git) tells such a forgery.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from tesserae.audit import anchor
from tesserae.audit.evidence import STATE, Evidence, Planned, gather
from tesserae.audit.findings import KINDS, Finding, Note, Report, listed, minute
from tesserae.config.seeds import seed_of
from tesserae.config.types import Equivalent
from tesserae.lineage import code, fingerprint, foreign, hashes
from tesserae.lineage import manifest as manifests
from tesserae.reporting import changes

Check = Callable[[Evidence], Iterable[Finding | Note]]
CLOCKS = timedelta(seconds=2)  # by so much may the clocks of two machines differ
LEFTOVER = (".making-", ".manifest.json.")  # in names of what a killed job leaves


def audit(
    root: Path,
    scale: str,
    planned: Mapping[str, Planned] | None = None,
    *,
    why: Callable[[str], Sequence[str]] | None = None,
    equivalents: Sequence[Equivalent] = (),
    further: Sequence[Check] = (),
    progress: bool = True,
) -> Report:
    """Verify all results of a scale; `root` is the project folder.

    Args: `planned`, artifact -> what the present code and configuration say of it (None: nothing is compared with
    them); `why`, what changed since an artifact was made, in words; `equivalents`, the reviewed ones; `further`, checks
    that need more than lineage (of tables); `progress`, show a bar on stderr if that is a terminal.

    Raises AuditError if there are no results.
    """
    evidence = gather(root, scale, planned, why, list(equivalents), progress)
    found: list[Finding | Note] = [*evidence.unusable.values()]
    for check in (*CHECKS, *further):
        found += check(evidence)
    order = {name: number for number, name in enumerate([*evidence.records, *evidence.unusable])}
    kinds = {kind: number for number, kind in enumerate(KINDS)}
    findings = sorted(
        {thing for thing in found if isinstance(thing, Finding)},
        key=lambda it: (kinds[it.kind], order.get(it.artifact, len(order)), it.artifact, it.path, it.what),
    )
    notes = {thing for thing in found if isinstance(thing, Note)}
    notes = sorted(notes, key=lambda it: (it.kind, it.artifact, it.what))
    size = sum(seen.bytes for seen in evidence.seen.values())
    return Report(scale, tuple(findings), tuple(notes), len(evidence.manifests), len(evidence.seen), size)


# ---- files ------------------------------------------------------------------------------------------------------


def _outputs(evidence: Evidence) -> Iterator[Finding]:
    """What an artifact consists of: there, complete, and as it was written."""
    for artifact, record in evidence.records.items():
        for file in record.outputs:
            seen = evidence.seen.get(file.path)
            since = evidence.since(file.path, record.ended)
            if seen is None:
                what = "is not a file that can be read" if (evidence.root / file.path).exists() else "no such file"
                yield Finding("missing", artifact, file.path, what, since, evidence.fetch(artifact))
            elif not evidence.intact(file):
                what = f"its content changed: {_differs(file.sha256, file.bytes, seen.sha256, seen.bytes)}"
                yield Finding("edited", artifact, file.path, what, since, evidence.restore(artifact))
        planned, names = evidence.plan_of(artifact), {file.name for file in record.outputs}
        left_out = [name for name in planned.outputs if name not in names] if planned else []
        if left_out:
            yield _about_manifest(
                evidence, artifact, "manifest", f"does not name {', '.join(left_out)}, which belongs to the artifact"
            )


def _inputs(evidence: Evidence) -> Iterator[Finding | Note]:
    """What an artifact was made from is what is here now."""
    again: dict[str, list[str]] = {}
    for artifact, record in evidence.records.items():
        for producer in record.inputs:
            made = evidence.records.get(producer)
            if made is None:
                yield from _without_producer(evidence, artifact, producer)
                continue
            differing = list(_other_version(evidence, artifact, producer))
            if differing:
                words = "; ".join(words for _, words in differing)
                what = f"was made from another {producer} than the one that is here: it read {words}"
                yield Finding(
                    "input-changed",
                    artifact,
                    next((path for path, _ in differing if path != evidence.manifest(producer)), differing[0][0]),
                    what,
                    f"{record.made}; {producer} that is here says {minute(made.ended)}",
                    f"find out which of the two is right; then {evidence.restore(producer)}",
                )
            elif made.ended - record.started > CLOCKS:
                again.setdefault(producer, []).append(artifact)
    for producer, readers in again.items():
        yield Note(
            "made-again",
            producer,
            f"made again since {listed(readers)} read it, with the same content ({evidence.records[producer].made})",
        )


def _other_version(evidence: Evidence, artifact: str, producer: str) -> Iterator[tuple[str, str]]:
    """(file, words) of where what was read differs from what the producer's manifest says."""
    read, made = evidence.records[artifact].inputs[producer], evidence.records[producer]
    if read.fingerprint != made.fingerprint:
        yield evidence.manifest(producer), f"fingerprint {read.fingerprint}, now {made.fingerprint}"
    wrote = {file.path: (file.sha256, file.bytes) for file in made.outputs}
    wrote[evidence.manifest(producer)] = evidence.manifests[producer][:2]
    for file in read.files:
        if file.path not in wrote:
            yield file.path, f"{file.name}, which {producer} does not name as its own"
        elif wrote[file.path] != (file.sha256, file.bytes):
            yield file.path, f"{file.name}: {_differs(file.sha256, file.bytes, *wrote[file.path])}"
    planned, names = evidence.plan_of(artifact), {file.name for file in read.files}
    for name in planned.reads.get(producer, ()) if planned else ():
        if name not in names:
            yield f"{evidence.folder(producer)}/{name}", f"no {name}, though it needs that"


def _without_producer(evidence: Evidence, artifact: str, producer: str) -> Iterator[Finding]:
    record = evidence.records[artifact]
    if producer not in evidence.unusable:
        yield Finding(
            "input-missing",
            artifact,
            evidence.manifest(producer),
            f"was made from {producer}, of which there is no manifest",
            f"after {minute(record.started)}, when it was read",
            evidence.restore(producer),
        )
    for file in record.inputs[producer].files:
        seen = evidence.seen.get(file.path)
        if seen is not None and not evidence.intact(file):
            yield Finding(
                "input-changed",
                artifact,
                file.path,
                f"read another {file.name} of {producer}: {_differs(file.sha256, file.bytes, seen.sha256, seen.bytes)}",
                evidence.since(file.path, record.started, "read"),
                evidence.restore(producer),
            )


def _sources(evidence: Evidence) -> Iterator[Finding]:
    """The tracked files that an artifact read are what they were."""
    for artifact, record in evidence.records.items():
        for file in record.sources:
            seen = evidence.seen.get(file.path)
            since = evidence.since(file.path, record.started, "read")
            remedy = f"undo the edit (`git checkout {file.path}`), or keep it and make what reads it again: "
            remedy += evidence.reproduce()
            if seen is None:
                yield Finding("source", artifact, file.path, "no such file any more", since, remedy)
            elif not evidence.intact(file):
                differs = _differs(file.sha256, file.bytes, seen.sha256, seen.bytes)
                what = f"its content changed since it was read: {differs}"
                yield Finding("source", artifact, file.path, what, since, remedy)


def _weights(evidence: Evidence) -> Iterator[Finding | Note]:
    """Published weights are those that were taken, where they are on this machine."""
    away: dict[str, list[str]] = {}
    for artifact, record in evidence.records.items():
        named, taken = _dict(record.spec.get("official")).get("file"), record.weights
        if (taken and taken.file) != named:
            what = f"its settings name {named or 'no'} published weights, it says that it took {taken and taken.file}"
            yield _about_manifest(evidence, artifact, "identity", what)
            continue
        for taken in filter(None, [record.weights, *record.frozen]):
            file = foreign.weights_file(taken.file)
            now = hashes.sha256(file) if file else None
            if now is None:
                away.setdefault(taken.file, []).append(artifact)
            elif (now, file.stat().st_size) != (taken.sha256, taken.bytes):
                yield Finding(
                    "source",
                    artifact,
                    taken.file,
                    f"other weights than were taken: {_differs(taken.sha256, taken.bytes, now, file.stat().st_size)}",
                    f"after {minute(record.started)}, when it was read",
                    f"put the published file back into {file.parent}, or keep it and make what took it again: "
                    + evidence.reproduce("--remake", artifact),
                )
    for name, artifacts in away.items():
        yield Note("weights", "", f"{name} is not on this machine: not verified (taken by {listed(artifacts)})")


def _seeds(evidence: Evidence) -> Iterator[Finding]:
    """What one seed trained is made from what the same seed trained; no seed stands for two."""
    seeds: dict[str, dict[int, str]] = {}  # name without its seed -> seed -> artifact
    for artifact in evidence.records:
        name, seed = seed_of(artifact)
        seeds.setdefault(name, {})[seed] = artifact
    several = {name: of for name, of in seeds.items() if len(of) > 1}
    for of in several.values():
        trained: dict[int, str] = {}  # seed of a training -> the artifact that has it
        for seed, artifact in of.items():
            record = evidence.records[artifact]
            for producer in record.inputs:
                other, its_seed = seed_of(producer)
                if its_seed != seed and (other in several or its_seed > 1):
                    what = f"is of seed {seed}, but was made from {producer}, which is of seed {its_seed}"
                    yield _about_manifest(evidence, artifact, "identity", what)
            if record.seed is not None and "training" in record.spec:
                if record.seed in trained:
                    what = f"was trained with the seed {record.seed}, as {trained[record.seed]} was"
                    yield _about_manifest(evidence, artifact, "identity", what)
                trained[record.seed] = artifact


def _unrecorded(evidence: Evidence) -> Iterator[Finding | Note]:
    """Nothing lies among the results that no manifest names (logs, states, code and the record of a run apart)."""
    known = {file.path for record in evidence.records.values() for file in record.outputs}
    known |= {evidence.manifest(artifact) for artifact in evidence.manifests}
    known |= {f"{evidence.top}/{name}" for name in changes.FILES}
    doubtful = {evidence.folder(artifact) for artifact in evidence.unusable}
    top = evidence.root / evidence.top
    strangers: dict[str, list[Path]] = {}
    for at, folders, names in os.walk(top):
        here = Path(at)
        if here == top:
            folders[:] = [name for name in folders if name not in (STATE, code.FOLDER)]
        linked = [name for name in folders if (here / name).is_symlink()]
        for name in [name for name in folders if any(part in name for part in LEFTOVER)]:
            folders.remove(name)
            yield _leftover(evidence, here / name)
        for name in [*names, *linked]:
            path = (here / name).relative_to(evidence.root).as_posix()
            if path in known or name.endswith(".log") or str(PurePosixPath(path).parent) in doubtful:
                continue
            if any(part in name for part in LEFTOVER):
                yield _leftover(evidence, here / name)
            else:
                strangers.setdefault(str(PurePosixPath(path).parent), []).append(here / name)
    for folder, files in sorted(strangers.items()):
        names = sorted(file.name for file in files)
        artifact = folder.removeprefix(f"{evidence.top}/") if folder.count("/") == 3 else ""
        last = max(file.lstat().st_mtime for file in files)
        yield Finding(
            "unrecorded",
            artifact,
            f"{folder}/{names[0]}" if len(names) == 1 else folder,
            f"no manifest names {listed(names)}",
            f"the {'file' if len(names) == 1 else 'youngest file'}'s time says {minute(last)}",
            f"delete what does not belong there; what does is made by {evidence.reproduce()}",
        )


def _leftover(evidence: Evidence, path: Path) -> Note:
    return Note("leftover", "", f"{path.relative_to(evidence.root).as_posix()} was left by a killed job; delete it")


# ---- manifests --------------------------------------------------------------------------------------------------


def _identity(evidence: Evidence) -> Iterator[Finding]:
    """A manifest agrees with itself: what it lists gives the fingerprint that it names."""
    for artifact, record in evidence.records.items():
        wrong = []
        own = fingerprint.own_digest(
            record.modules,
            record.equivalents,
            record.spec,
            {file.path: file.sha256 for file in record.sources},
            record.engine,
        )
        if own != record.fingerprint.split("-")[0]:
            what = f"its modules, settings, tracked files and engine give the fingerprint {own}, "
            what += f"not {record.fingerprint.split('-')[0]}: one of them was edited"
            planned = evidence.plan_of(artifact)
            if planned and planned.fingerprint == record.fingerprint and (words := evidence.words(artifact)):
                what += f"; to be what its fingerprint says: {'; '.join(words)}"
            wrong.append(what)
        else:
            producers = [read.fingerprint for read in record.inputs.values()]
            chained = fingerprint.chain(own, producers, record.data and record.data.sha256)
            if chained != record.fingerprint:
                wrong.append(f"the fingerprints of its inputs give {chained}, not {record.fingerprint}")
        strange = sorted(record.equivalents.keys() - record.modules.keys())
        if strange:
            wrong.append(f"equivalents name {', '.join(strange)}, which is none of its modules")
        seed = record.spec.get("seed", _dict(record.spec.get("training")).get("seed"))
        if record.seed != seed:
            wrong.append(f"its seed is {record.seed}, that of its settings {seed}")
        if record.mlflow.tag.get("tesserae.fingerprint") != record.fingerprint:
            wrong.append("MLflow's tag is another fingerprint than its own")
        home = record.papers[0] if len(record.papers) == 1 else "shared"
        if record.mlflow.experiment != f"{home}/{record.scale}":
            wrong.append(f"MLflow's experiment is {record.mlflow.experiment!r}, not '{home}/{record.scale}'")
        for what in wrong:
            yield _about_manifest(evidence, artifact, "identity", what)


def _clocks(evidence: Evidence) -> Iterator[Finding]:
    """A job ends after it started, and takes no longer than the time between."""
    for artifact, record in evidence.records.items():
        between = record.ended - record.started
        if between < timedelta(0):
            what = f"it ended ({record.ended.isoformat()}) before it started ({record.started.isoformat()})"
            yield _about_manifest(evidence, artifact, "clock", what)
        elif timedelta(seconds=record.seconds) - between > CLOCKS:
            what = f"it took {record.seconds:g} s, but started only {between.total_seconds():g} s before its end"
            yield _about_manifest(evidence, artifact, "clock", what)


def _extractors(evidence: Evidence) -> Iterator[Finding]:
    """Features that are compared come from one layer of one network."""
    for artifact, record in evidence.records.items():
        for producer in record.inputs:
            made = evidence.records.get(producer)
            for key in ("extractor", "layer"):
                mine, theirs = record.spec.get(key), made.spec.get(key) if made else None
                if mine is not None and theirs is not None and mine != theirs:
                    what = f"{key} {mine!r} is compared with {key} {theirs!r} of {producer}"
                    yield _about_manifest(evidence, artifact, "mixed", what)


def _about_manifest(evidence: Evidence, artifact: str, kind: str, what: str) -> Finding:
    record, path = evidence.records[artifact], evidence.manifest(artifact)
    return Finding(kind, artifact, path, what, evidence.since(path, record.ended), evidence.restore(artifact))


# ---- code -------------------------------------------------------------------------------------------------------


def _code(evidence: Evidence) -> Iterator[Finding | Note]:
    """Everything was made by what would make it now."""
    planned = evidence.planned
    if planned is None:
        yield Note("code", "", "the present code and configuration were not compared with what made the results")
        return
    changed: dict[str, bool] = {}  # artifact -> whether its own code, settings or tracked files are others
    for artifact, record in evidence.records.items():
        path = evidence.manifest(artifact)
        if artifact not in planned:
            what = "the present configuration has no such artifact"
            remedy = f"delete {evidence.folder(artifact)}, or bring back what asked for it"
            yield Finding("unplanned", artifact, path, what, record.made, remedy)
        elif planned[artifact].fingerprint != record.fingerprint:
            changed[artifact] = planned[artifact].fingerprint.split("-")[0] != record.fingerprint.split("-")[0]
            if changed[artifact]:
                what = "; ".join(evidence.words(artifact)) or "something in them is not what it was"
                yield Finding("code", artifact, path, what, record.made, _make_again(evidence))
            else:
                roots = _roots(evidence, artifact, changed)
                what = f"made from {listed(roots)}" if roots else "made from inputs that are not the planned ones"
                yield Finding("upstream", artifact, path, what, record.made, _make_again(evidence))
    missing = sorted(artifact for artifact in planned if artifact not in evidence.manifests)
    if missing:
        yield Note("not-made", "", f"{len(missing)} of {len(planned)} planned artifacts: {listed(missing)}")


def _make_again(evidence: Evidence) -> str:
    return f"undo the change, or make it again: {evidence.reproduce()}"


def _roots(evidence: Evidence, artifact: str, changed: dict[str, bool]) -> list[str]:
    """The artifacts above that were themselves made by other code or settings, in the order of the road."""
    seen, todo = set(), list(evidence.records[artifact].inputs)
    while todo:
        name = todo.pop()
        if name not in seen and name in evidence.records:
            seen.add(name)
            todo += evidence.records[name].inputs
    return [name for name, own in changed.items() if own and name in seen]


def _stored_code(evidence: Evidence) -> Iterator[Finding]:
    """The text of the code and tracked files behind each artifact is kept, and is what its name says."""
    top, users = Path(evidence.top), {}
    for artifact, record in evidence.records.items():
        for module, digest in record.modules.items():
            users.setdefault(code.module_file(top, module, digest).as_posix(), []).append(artifact)
        for file in record.sources:
            suffix = PurePosixPath(file.path).suffix
            if suffix in code.TEXT and file.bytes <= code.LARGEST:
                users.setdefault(code.source_file(top, file.sha256, suffix).as_posix(), []).append(artifact)
    store = f"{evidence.top}/{code.FOLDER}/"
    for path in sorted({*users, *(path for path in evidence.seen if path.startswith(store))}):
        wrong = _stored(evidence, path)
        if wrong:
            artifacts = users.get(path, [])
            yield Finding(
                "stored-code",
                artifacts[0] if artifacts else "",
                path,
                wrong + (f" (the code of {listed(artifacts)})" if artifacts else ""),
                evidence.since(path),
                f"restore it (`dvc checkout {evidence.top}.dvc`, or the text from git); "
                f"without it, make what it made again: {evidence.reproduce('--remake', 'ARTIFACT')}",
            )


def _stored(evidence: Evidence, path: str) -> str | None:
    """What is wrong with a file of the code store."""
    seen, name = evidence.seen.get(path), PurePosixPath(path)
    if seen is None:
        return "is not there"
    if name.name.startswith("."):
        return None  # left by a killed job; nothing reads it
    if name.parent.name == "sources":
        return None if seen.sha256 == name.stem else "is not the text that its name says"
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd literals, by whoever edited it
            digest = fingerprint.meaning(name.parent.name, (evidence.root / path).read_bytes()).digest
    except (SyntaxError, ValueError) as error:
        return f"is not Python any more ({error})"
    return None if digest == name.stem else f"means {digest}, not what its name says"


# ---- notes ------------------------------------------------------------------------------------------------------


def _made_before(evidence: Evidence, artifact: str, entry: Equivalent) -> bool:
    """Whether an artifact is current because of an equivalence alone: it was made with what is said to be equal."""
    record = evidence.records[artifact]
    if not entry.holds_for(record.stage):
        return False
    if entry.same_as != fingerprint.ABSENT:
        return record.counted.get(entry.module) == entry.same_as
    now = (evidence.planned or {}).get(artifact)
    return now is not None and entry.module in now.modules and entry.module not in record.modules


def _equivalents(evidence: Evidence) -> Iterator[Finding | Note]:
    """Which results rely on a reviewed equivalence, and whether one was claimed that nobody reviewed."""
    relying: dict[int, list[str]] = {}
    for artifact, record in evidence.records.items():
        for module, same_as in record.equivalents.items():
            entry = evidence.reviewed(record.stage, module, record.modules.get(module, ""))
            if entry is None or entry.same_as != same_as:
                what = f"{module} counts as {same_as}, which config/equivalent-code.yaml does not say"
                yield _about_manifest(evidence, artifact, "equivalent", what)
            else:
                relying.setdefault(evidence.equivalents.index(entry), []).append(artifact)
    for number, entry in enumerate(evidence.equivalents):
        file = fingerprint.module_file(entry.module)
        if file is not None and fingerprint.scan(entry.module).digest == entry.code:
            older = [name for name, record in evidence.records.items() if _made_before(evidence, name, entry)]
            relying[number] = list(dict.fromkeys([*relying.get(number, []), *older]))
        artifacts = relying.get(number, [])
        on_it = f"{len(artifacts)} artifacts rely on it ({listed(artifacts)})" if artifacts else "nothing relies on it"
        yield Note("equivalent", "", f"{entry}: {entry.why} ({entry.by}); {on_it}")


def _environment(evidence: Evidence) -> Iterator[Note]:
    """Other libraries and dirty trees: recorded, never a failure."""
    here = manifests.environment()
    now = {"python": here["python"], **here["libraries"]}
    libraries: dict[str, list[str]] = {}
    trees: dict[str, list[str]] = {}
    for artifact, record in evidence.records.items():
        then = {"python": record.environment.python, **record.environment.libraries}
        for name in sorted(then.keys() | now.keys()):
            if then.get(name) != now.get(name):
                libraries.setdefault(f"{name} {then.get(name, 'none')}, here {now.get(name, 'none')}", []).append(
                    artifact
                )
        if record.git.commit is None:
            trees.setdefault("made outside git", []).append(artifact)
        elif record.git.dirty:
            trees.setdefault(f"made from a dirty tree at commit {record.git.commit[:7]}", []).append(artifact)
    for what, artifacts in libraries.items():
        yield Note("libraries", "", f"{what}: {len(artifacts)} artifacts ({listed(artifacts)})")
    for what, artifacts in trees.items():
        yield Note("commit", "", f"{what}: {len(artifacts)} artifacts ({listed(artifacts)})")


CHECKS: tuple[Check, ...] = (
    _outputs,
    _inputs,
    _sources,
    _weights,
    _seeds,
    _unrecorded,
    _identity,
    _clocks,
    _extractors,
    _code,
    _stored_code,
    _equivalents,
    _environment,
    anchor.check,
)


# ---- words ------------------------------------------------------------------------------------------------------


def _differs(sha256: str, size: int, now: str, size_now: int) -> str:
    if sha256 == now:
        return f"{size} bytes are recorded, {size_now} are there"
    sizes = f"{size} bytes" if size == size_now else f"{size} → {size_now} bytes"
    return f"sha256 {sha256[:12]}… → {now[:12]}…, {sizes}"


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}
