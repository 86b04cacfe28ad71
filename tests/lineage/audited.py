"""Small results of a made-up scale with true manifests, to be tampered with.

The road: dataset -> reference, tokenizers a and b, two seeds each -> samples -> metrics, and what these are worth
(generation_control) -> table, figure and claims -> notebook -> page. The table also has numbers of a third row's, which
was not run, and of a cited one. Row a's FID does not beat its control.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tesserae.audit import numbers as tables
from tesserae.audit.audit import audit
from tesserae.audit.evidence import Planned
from tesserae.audit.findings import Report
from tesserae.config.types import Equivalent
from tesserae.lineage import code, fingerprint
from tesserae.lineage import manifest as manifests
from tesserae.lineage.work import Work
from tesserae.reporting import published
from tesserae.reporting.table_files import fragment_of
from tesserae.stages import claims, table

SCALE = "smoke"
TOP = f"results/{SCALE}"
PUBLISHED = "config/published/paper.csv"
CORPUS = "data/corpus.npz"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROWS = {"a": "Row A", "b": "Row B", "c": "Row C"}
CITED = "Row D"
COLUMNS = [
    {"name": "MAR-B FID", "direction": "lower", "value": "fid", "artifact": "metrics/{row}"},
    {"name": "MAR-B IS", "direction": "higher", "value": "is", "artifact": "metrics/{row}", "rows": ["a", "b"]},
    # one row has another artifact and another name of the number
    {"name": "#params", "direction": "none", "value": "parameters", "artifact": "sizes/{row}", "rows": ["a"],
     "artifacts": {"a": "sizes/small"}, "values": {"a": "decoder_parameters"}},
]  # fmt: skip
SEEDS = [1, 2]
FID = {"a": (45.0, 46.0), "b": (40.0, 40.25)}  # of each seed
CONTROL = {"a": (44.0, 44.5), "b": (50.0, 51.0)}  # what stands beside them
MISSING = [{"row": "c", "column": "MAR-B FID", "reason": "omitted: too dear"}]
READ = [f"metrics/{row}{seed}" for row in FID for seed in ("", ".seed2")]  # what the table reads of them
CONTROLS = {f"metrics/{row}": f"generation_control/{row}" for row in FID}
BESIDE = [name.replace("metrics", "generation_control") for name in READ]
WEIGHTS = {"file": "official.pth", "sha256": hashlib.sha256(b"published").hexdigest(), "bytes": 9}
DRAW = {"table": table.run, "claims": claims.run}
MODULE = "tesserae.config.errors"  # what all stages but the table pretend to consist of: small


@dataclass
class Results:
    """A project folder with results, and what the plan would say about them."""

    root: Path
    planned: dict[str, Planned] = field(default_factory=dict)

    def folder(self, artifact: str) -> Path:
        return self.root / TOP / ("" if artifact.startswith("report/") else artifact)

    def manifest(self, artifact: str) -> Path:
        return self.folder(artifact) / manifests.NAME

    def read(self, artifact: str) -> dict[str, Any]:
        return manifests.read(self.folder(artifact))

    def write(self, artifact: str, record: dict[str, Any]) -> None:
        manifests.write(self.manifest(artifact), record)

    def change(self, artifact: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Edit a manifest."""
        record = self.read(artifact)
        change(record)
        self.write(artifact, record)

    def swap(self, artifact: str, name: str, old: str, new: str) -> None:
        """Edit a text output."""
        file = self.folder(artifact) / name
        text = file.read_bytes().decode()
        assert old in text, f"{file} has no {old!r}"
        file.write_bytes(text.replace(old, new).encode())

    def rehash(self, *artifacts: str) -> None:
        """Make manifests say what their files and inputs are now, and what fingerprint that gives; producers first."""
        for artifact in artifacts:
            record = self.read(artifact)
            for name in record["inputs"]:
                fingerprint_, paths = (
                    self.read(name)["fingerprint"],
                    [it["path"] for it in record["inputs"][name]["files"]],
                )
                files = [manifests.describe(self.root / path, self.root) for path in paths]
                record["inputs"][name] = {"fingerprint": fingerprint_, "files": files}
            record["outputs"] = [manifests.describe(self.root / it["path"], self.root) for it in record["outputs"]]
            sign(record)
            self.write(artifact, record)

    def draw(self, artifact: str) -> None:
        """Draw a table or claims from what is there now."""
        record = self.read(artifact)
        inputs = {name: self.folder(name) for name in record["inputs"]}
        files, record["metrics"] = _drawn(self.root, artifact, record["spec"], inputs)
        for name, content in files.items():
            (self.folder(artifact) / name).write_bytes(content)
        self.write(artifact, record)

    def agree(self) -> None:
        """Take the results as what the present code and configuration would make."""
        for name, record in manifests.collect(self.root, SCALE).items():
            self.planned[name] = replace(self.planned[name], fingerprint=record["fingerprint"])

    def replan(self, changed: str) -> None:
        """Take the code of one artifact as changed since: it and what was made from it would get new fingerprints."""
        for name, record in manifests.collect(self.root, SCALE).items():
            own = "f" * 16 if name == changed else record["fingerprint"].split("-")[0]
            chained = fingerprint.chain(own, [self.planned[producer].fingerprint for producer in record["inputs"]])
            self.planned[name] = replace(self.planned[name], fingerprint=chained)

    def share(self) -> None:
        """Write the index of what is shared."""
        store = self.root / TOP / code.FOLDER
        index = {
            "version": 1,
            "scale": SCALE,
            "artifacts": {
                name: {
                    "fingerprint": record["fingerprint"],
                    "manifest": sha256(self.manifest(name)),
                    "outputs": {Path(it["path"]).name: it["sha256"] for it in record["outputs"]},
                }
                for name, record in manifests.collect(self.root, SCALE).items()
            },
            "code": {
                file.relative_to(store).as_posix(): sha256(file) for file in sorted(store.rglob("*")) if file.is_file()
            },
        }
        (self.root / "lineage").mkdir(exist_ok=True)
        (self.root / f"lineage/{SCALE}.json").write_text(json.dumps(index))

    def audit(self, equivalents: list[Equivalent] | None = None, **more: Any) -> Report:
        given = {
            "planned": self.planned,
            "equivalents": equivalents or [],
            "further": [tables.check(DRAW)],
        }
        return audit(self.root, SCALE, **given | more, progress=False)

    def copy(self, root: Path) -> "Results":
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Results(root, dict(self.planned))


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def sign(record: dict[str, Any]) -> None:
    """Give a record the fingerprint that its parts have."""
    sources = {it["path"]: it["sha256"] for it in record["sources"]}
    own = fingerprint.own_digest(record["modules"], record["equivalents"], record["spec"], sources, record["engine"])
    record["fingerprint"] = fingerprint.chain(own, [read["fingerprint"] for read in record["inputs"].values()])
    record["mlflow"]["tag"]["tesserae.fingerprint"] = record["fingerprint"]


def build(root: Path) -> Results:
    """Results in which everything is in order."""
    results = Results(root)
    (root / CORPUS).parent.mkdir(parents=True)
    (root / CORPUS).write_bytes(bytes(range(64)))
    (root / PUBLISHED).parent.mkdir(parents=True)
    lines = [",".join(published.COLUMNS)]
    printed = [("3.31", "247.63", "7"), ("2.65", "", ""), ("2.70", "", ""), ("4.59", "186.7", "554")]
    for label, numbers in zip((*ROWS.values(), CITED), printed, strict=True):
        lines += [
            f"Table 1,g,{label},generator,{column['name']},{column['direction']},{number},a note"
            for column, number in zip(COLUMNS, numbers, strict=True)
        ]
    (root / PUBLISHED).write_text("\n".join(lines) + "\n")
    dataset, extracted = {"dataset/few-8": ["train.npy", "index.json"]}, {"extractor": "embedded", "layer": "320"}
    images = {"train.npy": b"images" * 9, "index.json": b"{}\n"}
    _make(results, "dataset/few-8", {"image_size": 8}, images, sources=[CORPUS])
    _make(results, "reference/few-8", extracted, {"train.npz": b"statistics"}, dataset)
    for row, numbers in FID.items():
        for seed, fid in enumerate(numbers):
            _seed(results, f"{row}.seed2" if seed else row, seed, fid, CONTROL[row][seed])
    counted = {"kind": "counted", "counted": "at the paper's sizes"}
    sizes = {"values": {"parameters": 9.0, "decoder_parameters": 7.0}, "deviation": {}, "measure": counted}
    sizes |= {"measure_id": fingerprint.digest(counted), "selection": None}
    _make(results, "sizes/small", {"size": 1}, {"metrics.json": _json(sizes)}, numbers=sizes["values"])
    _table(results)
    _claims(results)
    picture, reads = b"\x89PNG picture", {name: ["metrics.json", "preview.npy"] for name in READ}
    _make(results, "figure/paper_samples", {"scale": SCALE}, {"figure.png": picture}, reads)
    shown = {"table/paper_table_1": ["table.html", "table.csv", "metrics.json"], "figure/paper_samples": ["figure.png"]}
    fragment = fragment_of((results.folder("table/paper_table_1") / "table.html").read_text(), where="")
    cells = [{"outputs": [{"data": {"text/html": [fragment]}}]}, {"source": "1 + 1"}]
    notebook = {"notebook.ipynb": _json({"cells": cells}), "notebook.html": f"<html>{fragment}</html>".encode()}
    _make(results, "notebook/paper", {"scale": SCALE}, notebook, shown, papers=["paper"])
    # What a page says of an artifact's making stands in the manifest, so that this is what it reads.
    page = {"lineage.html": b"<html>few-8</html>"}
    _make(results, "lineage/index", {"scale": SCALE}, page, {"reference/few-8": ["manifest.json"]})
    page = {"index.html": f'<html>{fragment}<img src="figure/paper_samples/figure.png"></html>\n'.encode()}
    reads = {**shown, "notebook/paper": ["notebook.ipynb", "notebook.html"], "lineage/index": ["lineage.html"]}
    _make(results, "report/index", {"scale": SCALE}, page, reads)
    return results


def _seed(results: Results, name: str, seed: int, fid: float, control: float) -> None:
    """A tokenizer, its samples, their metrics and control; row b's first tokenizer takes published weights."""
    dataset, reference = {"dataset/few-8": ["train.npy", "index.json"]}, {"reference/few-8": ["train.npz"]}
    extracted = {"extractor": "embedded", "layer": "320"}
    spec = {"gamma": 3.0 if name.startswith("a") else 1.5, "training": {"seed": seed, "steps": 4}}
    taken = WEIGHTS if name == "b" else None
    spec = {"gamma": 1.5, "official": {"file": WEIGHTS["file"]}} if taken else spec
    files = {"weights.safetensors": b"weights of " + name.encode(), "curves.jsonl": b'{"step": 1}\n'}
    _make(results, f"tokenizer/{name}", spec, files, dataset, papers=["paper"], numbers={"mse": 0.5}, weights=taken)
    index = {"samples": 64, "guidance": 3.0 + seed, "seed": 0, "selection": None}
    drawn = {"samples.npy": b"samples of " + name.encode(), "index.json": _json(index)}
    reads = {f"tokenizer/{name}": ["weights.safetensors", "curves.jsonl"]}
    _make(results, f"samples/{name}", {"samples": 64, "seed": 0}, drawn, reads, papers=["paper"])
    values = {"fid": fid, "is": 2.25 + seed}
    policy = {"kind": "images", **extracted, "reference": "few-8 train", "rounding": "truncate", "splits": 1}
    policy |= {"samples": 64, "seed": 0, "selection": None}
    metrics = {
        "values": values,
        "deviation": {"is": 0.125},
        "measure": {**policy, "guidance": 3.0 + seed},
        "measure_id": fingerprint.digest(policy),
        "selection": None,
    }
    reads = {f"samples/{name}": ["samples.npy", "index.json"], **reference}
    files = {"metrics.json": _json(metrics), "preview.npy": b"images"}
    _make(results, f"metrics/{name}", extracted, files, reads, papers=["paper"], numbers=values)
    values = {"fid": control, "is": 1.5}
    policy |= {"sampler": {"control": "of each class"}}
    metrics |= {"values": values, "measure": policy, "measure_id": fingerprint.digest(policy)}
    files = {"metrics.json": _json(metrics), "preview.npy": b"images"}
    _make(results, f"generation_control/{name}", extracted, files, reference, papers=["paper"], numbers=values)


def _table(results: Results) -> None:
    spec = {
        "paper": "paper",
        "scale": SCALE,
        "source": "Table 1",
        "title": "Effects",
        "rows": [list(row) for row in ROWS.items()],
        "published_rows": [CITED],
        "columns": COLUMNS,
        "seeds": SEEDS,
        "unseeded": ["sizes"],
        "missing": MISSING,
        "controls": CONTROLS,
        "note": None,
    }
    reads = {name: ["metrics.json", "preview.npy"] for name in READ} | {"sizes/small": ["metrics.json"]}
    reads |= {name: ["metrics.json"] for name in BESIDE}
    _show(results, "table/paper_table_1", spec, reads)


def _claims(results: Results) -> None:
    """One claim about the table: row a is above row b."""
    told = {"id": "a-b", "claim": "A is above B.", "where": "Table 1", "relation": "gt", "margin": 0.66}
    places = [["Table 1", ROWS[row], "MAR-B FID"] for row in FID]
    cells = [dict(zip(("table", "row", "column"), place, strict=True)) for place in places]
    for row, cell in zip(FID, cells, strict=True):
        cell |= {"artifacts": [f"metrics/{row}", f"metrics/{row}.seed2"], "value": "fid"}
    spec = {"paper": "paper", "title": "A paper", "scale": SCALE, "seeds": SEEDS, "cells": cells}
    spec["claims"] = [{**told, "holds_in_print": True, "cells": places}]
    _show(results, "claims/paper", spec, {name: ["metrics.json"] for name in READ})


def _show(results: Results, artifact: str, spec: dict[str, Any], reads: dict[str, list[str]]) -> None:
    files, numbers = _drawn(results.root, artifact, spec, {name: results.folder(name) for name in reads})
    roots = [DRAW[artifact.split("/")[0]].__module__]
    more = {"sources": [PUBLISHED], "papers": ["paper"], "numbers": numbers, "roots": roots}
    _make(results, artifact, spec, files, reads, **more)


def _drawn(
    root: Path, artifact: str, spec: dict[str, Any], inputs: dict[str, Path]
) -> tuple[dict[str, bytes], dict[str, float]]:
    """Files and numbers of a table or of claims, as the runner would have them made."""
    stage, recipe = artifact.split("/")
    out = root / "drawn"
    out.mkdir()
    work = Work(stage, recipe, spec, inputs, {"published": root / PUBLISHED}, out, out, "", (), root, None, "cpu")
    numbers = DRAW[stage](work)
    files = {file.name: file.read_bytes() for file in sorted(out.iterdir())}
    shutil.rmtree(out)
    return files, numbers


def _make(
    results: Results,
    artifact: str,
    spec: dict[str, Any],
    files: dict[str, bytes],
    inputs: dict[str, list[str]] | None = None,
    *,
    sources: list[str] | None = None,
    papers: list[str] | None = None,
    numbers: dict[str, float] | None = None,
    weights: dict[str, Any] | None = None,
    roots: list[str] | None = None,
) -> None:
    """Write an artifact with a true manifest, ten minutes after the one before."""
    root, folder = results.root, results.folder(artifact)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    started = START + timedelta(minutes=10 * len(results.planned))
    own = fingerprint.own(roots or [MODULE], spec, {path: Path(path) for path in sources or []}, root)
    code.keep(root / TOP, own.modules, own.sources, root)
    reads = {name: tuple(read) for name, read in (inputs or {}).items()}
    home = papers[0] if papers else "shared"
    record = {
        "manifest": manifests.VERSION,
        "artifact": artifact,
        "stage": artifact.split("/")[0],
        "recipe": artifact.split("/")[1],
        "scale": SCALE,
        "papers": papers or [],
        "engine": fingerprint.ENGINE,
        "spec": spec,
        "origins": dict.fromkeys(spec, "config/papers/paper.yaml"),
        "seed": spec.get("seed", spec.get("training", {}).get("seed")),
        "modules": own.modules,
        "equivalents": {},
        "inputs": {
            name: {
                "fingerprint": results.read(name)["fingerprint"],
                "files": [manifests.describe(results.folder(name) / file, root) for file in names],
            }
            for name, names in reads.items()
        },
        "sources": [manifests.describe(root / path, root) for path in sources or []],
        "weights": weights,
        "outputs": [manifests.describe(folder / name, root) for name in files],
        "environment": manifests.environment(),
        "hardware": {"host": "here", "processor": "some", "cores": 2, "gpu": None, "scheduler_job": None},
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "started": started.isoformat(timespec="milliseconds"),
        "ended": (started + timedelta(minutes=5)).isoformat(timespec="milliseconds"),
        "seconds": 299.5,
        "metrics": numbers or {},
        "peak_mb": 500,
        "mlflow": {"experiment": f"{home}/{SCALE}", "tag": {}},
    }
    sign(record)
    results.planned[artifact] = Planned(record["fingerprint"], tuple(files), reads, frozenset(record["modules"]))
    results.write(artifact, record)
    (folder / "stage.log").write_text("done\n")
    for file in folder.iterdir():
        if file.is_file():
            os.utime(file, (started.timestamp() + 300, started.timestamp() + 300))


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
