"""From a number back to the data: all artifacts that stand behind a target, as their manifests tell it.

Manifests are enough: MLflow, DVC, git and the engine's records may be gone. What is missing or contradicts itself is
part of the answer, never left out.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tesserae.lineage import fingerprint, foreign, hashes
from tesserae.lineage import manifest as manifests
from tesserae.lineage.targets import Cell, Target, read, record_of, resolve

VERSION = 2
RUNS = ".tesserae/mlflow-{scale}.json"  # left by the export to MLflow; nothing depends on it
GONE = "is not there any more"
CHANGED = {"output": "was edited after it was made", "input": "is not what was read", "source": "changed since"}
AWAY = "not here"  # of published weights, which need not be on every machine
# What a trace repeats of a manifest.
FACTS = tuple(name for name in manifests.FIELDS if name not in manifests.IDENTIFYING)


def trace(root: Path, scale: str, target: str | Target, verify: bool = False) -> dict[str, Any]:
    """All that stands behind a target, as plain data for JSON.

    Returns trace (version), scale, target (query, artifact, file with path, sha256 and bytes, cell), verified, nodes,
    edges [[producer, consumer]] and problems [{artifact, where, what}]. Nodes go upstream: each stands before what it
    was made from, and holds FACTS of its manifest; `missing` says why there is no manifest, and then fingerprint and
    outputs are those that its consumers recorded. Of a table's producers, a cell's trace follows those that measured
    the cell, one of each seed. Contradictions between manifests are always looked for; `verify` reads every output,
    input and source again, and each file then says under `found` whether it is the "same", "changed" or "missing";
    published weights may also be "not here". Raises TraceError.
    """
    target = resolve(root, scale, target) if isinstance(target, str) else target
    walk = _Walk(root, target)
    walk.visit(target.artifact, record_of(root, target.scale, target.artifact))
    nodes = dict(reversed(walk.nodes.items()))
    for consumer, producer in walk.edges:
        walk.compare(consumer, producer)
    for name in nodes if verify else ():
        walk.verify(name)
    if target.cell:
        walk.compare_cell(target.cell)
    outputs = nodes[target.artifact]["outputs"]
    return {
        "trace": VERSION,
        "scale": target.scale,
        "target": {
            "query": target.query,
            "artifact": target.artifact,
            "file": next((entry for entry in outputs if entry["path"] == target.file), None),
            "cell": target.cell.plain() if target.cell else None,
        },
        "verified": verify,
        "nodes": list(nodes.values()),
        "edges": [[producer, consumer] for consumer, producer in walk.edges],
        "problems": walk.problems,
    }


def node(record: dict[str, Any], runs: dict[str, Any] | None = None) -> dict[str, Any]:
    """One artifact of a trace from its manifest; `runs` maps fingerprints to runs of MLflow."""
    facts = {name: record.get(name) for name in FACTS}
    for name in ("outputs", "sources"):
        facts[name] = [{**entry, "found": None} for entry in record.get(name) or []]
    facts["inputs"] = {
        name: {**entry, "files": [{**file, "found": None} for file in entry["files"]]}
        for name, entry in record["inputs"].items()
    }
    facts["weights"] = facts["weights"] and {**facts["weights"], "found": None}
    if facts["mlflow"] is not None:
        facts["mlflow"] = {**facts["mlflow"], "run": (runs or {}).get(record["fingerprint"])}
    stage, _, recipe = record["artifact"].partition("/")
    return {"artifact": record["artifact"], "stage": stage, "recipe": recipe, "missing": None, **facts}


def _missing_node(artifact: str, why: str, known: dict[str, Any]) -> dict[str, Any]:
    """An artifact without manifest, before its consumers tell its files; `known` is what the first recorded of it."""
    return node({"artifact": artifact, "inputs": {}, "fingerprint": known["fingerprint"]}) | {"missing": why}


class _Walk:
    """Artifacts upstream of a target, producers first, and what is wrong with them."""

    def __init__(self, root: Path, target: Target):
        self.root, self.target = root, target
        self.nodes: dict[str, dict[str, Any]] = {}
        self.edges: list[tuple[str, str]] = []  # consumer, producer
        self.problems: list[dict[str, str]] = []
        self._visited: set[str] = set()
        self._runs = _runs(root, target.scale)
        self._files: dict[str, tuple[str | None, str]] = {}

    def visit(self, artifact: str, known: dict[str, Any]) -> None:
        """Collect an artifact after all that it was made from; `known` is what its first consumer recorded of it."""
        if artifact in self._visited:
            return
        self._visited.add(artifact)
        record, why = read(self.root, self.target.scale, artifact)
        if record is None:
            self.problems.append(_problem(artifact, manifests.NAME, why))
            self.nodes[artifact] = _missing_node(artifact, why, known)
            return
        found = node(record, self._runs)
        cell = self.target.cell
        if cell and artifact == cell.table:
            found["inputs"] = {name: entry for name, entry in found["inputs"].items() if name in cell.artifacts}
        for producer, entry in found["inputs"].items():
            self.edges.append((artifact, producer))
            self.visit(producer, entry)
        self.nodes[artifact] = found

    def compare(self, consumer: str, producer: str) -> None:
        """What a consumer recorded of its producer against what the producer (or another consumer) says of it."""
        entry, made = self.nodes[consumer]["inputs"][producer], self.nodes[producer]
        if entry["fingerprint"] != made["fingerprint"]:
            other = "others were made from" if made["missing"] else "is there"
            versions = f"({entry['fingerprint']}) than {other} ({made['fingerprint']})"
            what = f"was made from another version of {producer} {versions}"
            self.problems.append(_problem(consumer, producer, what))
            return
        files = [
            file for file in entry["files"] if not file["path"].endswith(f"/{manifests.NAME}")
        ]  # it is not an output
        written = {file["path"]: file["sha256"] for file in made["outputs"]}
        if made["missing"]:
            made["outputs"] += [dict(file) for file in files if file["path"] not in written]
            return
        for file in files:
            if written.get(file["path"]) != file["sha256"]:
                says = f"{producer} says that it wrote {(written.get(file['path']) or 'no such file')[:16]}"
                self.problems.append(_problem(consumer, file["path"], f"was read as {file['sha256'][:16]}, but {says}"))

    def compare_cell(self, cell: Cell) -> None:
        """A cell's number against the metrics it was read from, in their files and in their manifests."""
        self.problems += [_problem(cell.table, f"{cell.row}, {cell.column}", text) for text in cell.problems]
        for artifact, number in zip(cell.artifacts, cell.numbers, strict=True):
            recorded = (self.nodes.get(artifact, {}).get("metrics") or {}).get(cell.value)
            if None not in (recorded, number, cell.measured) and recorded != number:
                what = f"{cell.value} is {recorded} in the manifest, but {number} in metrics.json"
                self.problems.append(_problem(artifact, manifests.NAME, what))

    def verify(self, artifact: str) -> None:
        """Read the files of an artifact again, and see whether its fingerprint follows from its parts."""
        found = self.nodes[artifact]
        self._look(artifact, found["outputs"], "output")
        self._look(artifact, found["sources"], "source")
        self._look_at_weights(artifact, found["weights"])
        for producer, entry in found["inputs"].items():
            written = {file["path"]: file["sha256"] for file in self.nodes[producer]["outputs"]}
            self._look(artifact, entry["files"], "input", said=written)
        if found["missing"] is None and found["engine"] is not None:
            self._follows(artifact)

    def _look(self, artifact: str, files: list[dict[str, Any]], kind: str, said: dict[str, str] | None = None) -> None:
        """Hash files; what their producer recorded alike (`said`) is reported there, not here."""
        for file in files:
            now, since = self._present(file["path"])
            file["found"] = "missing" if now is None else "same" if now == file["sha256"] else "changed"
            if file["found"] == "same" or (said or {}).get(file["path"]) == file["sha256"]:
                continue
            what = f"{CHANGED[kind]}: {now[:16]} instead of {file['sha256'][:16]}, written {since}" if now else GONE
            self.problems.append(_problem(artifact, file["path"], what))

    def _look_at_weights(self, artifact: str, weights: dict[str, Any] | None) -> None:
        """Hash the published weights that an artifact took, if they are on this machine."""
        if weights is None:
            return
        file = foreign.weights_file(weights["file"])
        now = hashes.sha256(file) if file else None
        weights["found"] = AWAY if now is None else "same" if now == weights["sha256"] else "changed"
        if weights["found"] == "changed":
            what = f"the published weights in {file} are not those that were taken: {now[:16]} instead of "
            self.problems.append(_problem(artifact, weights["file"], what + weights["sha256"][:16]))

    def _present(self, path: str) -> tuple[str | None, str]:
        """Digest of a file as it is now, and since when; None if there is none. Each file is read once."""
        if path not in self._files:
            file = self.root / path
            self._files[path] = (hashes.sha256(file), _modified(file)) if file.is_file() else (None, "")
        return self._files[path]

    def _follows(self, artifact: str) -> None:
        record = self.nodes[artifact]
        full = record_of(self.root, self.target.scale, artifact)  # a cell's table is shown with one producer only
        files = {entry["path"]: entry["sha256"] for entry in record["sources"]}
        own = fingerprint.own_digest(
            record["modules"], record["equivalents"] or {}, record["spec"], files, record["engine"]
        )
        producers = [entry["fingerprint"] for entry in full["inputs"].values()]
        if fingerprint.chain(own, producers) != record["fingerprint"]:
            what = "the fingerprint does not follow from code, spec, sources and inputs: the manifest was edited"
            self.problems.append(_problem(artifact, manifests.NAME, what))


def _problem(artifact: str, where: str, what: str) -> dict[str, str]:
    return {"artifact": artifact, "where": where, "what": what}


def _modified(file: Path) -> str:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _runs(root: Path, scale: str) -> dict[str, Any]:
    """Runs of MLflow by fingerprint, {} where nothing was exported: a trace needs no store."""
    try:
        known = json.loads((root / RUNS.format(scale=scale)).read_text(encoding="utf-8"))
        return {name: {"store": known["store"], **run} for name, run in known["runs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
