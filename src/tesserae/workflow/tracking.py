"""MLflow as an export: one writer turns manifests and curves into runs; nothing depends on the store.

Runs are found by the tag `tesserae.fingerprint`, so that a second sync adds nothing and a lost store is rebuilt.
"""

import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from tesserae.lineage import fingerprint
from tesserae.lineage import manifest as manifests

TAG = "tesserae.fingerprint"
_FORBIDDEN = re.compile(r"[^\w\-. :/]")  # in MLflow's names of metrics
CHUNK = 1000  # metrics per request; MLflow's own limit


def sync_if_new(root: Path, scale: str) -> str:
    """`sync`, unless the last one saw the very same artifacts and store; says what was done."""
    store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    there = not store.startswith("sqlite:///") or Path(store.removeprefix("sqlite:///")).exists()
    stamp = root / ".tesserae" / f"synced-{scale}"
    found = fingerprint.digest([store, [_read(file)["fingerprint"] for file in _manifests(root, scale)]])
    if there and stamp.exists() and stamp.read_text() == found:
        return "MLflow: nothing new"
    added, present = sync(root, scale)
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(found)
    return f"MLflow: {added} runs added, {present} already there"


def sync(root: Path, scale: str, uri: str | None = None) -> tuple[int, int]:
    """Export all artifacts of a scale; returns (runs added, runs that were there)."""
    from mlflow.tracking import MlflowClient

    store = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    client = MlflowClient(store)
    records = [_read(file) for file in _manifests(root, scale)]
    experiments = {name: _experiment(client, name) for name in {record["mlflow"]["experiment"] for record in records}}
    present = _present(client, list(experiments.values()))
    added = 0
    for record in sorted(records, key=lambda record: record["started"]):
        if record["fingerprint"] not in present:
            _export(client, experiments[record["mlflow"]["experiment"]], record, root)
            present.add(record["fingerprint"])
            added += 1
    return added, len(records) - added


def _manifests(root: Path, scale: str) -> list[Path]:
    return sorted((root / "results" / scale).rglob(manifests.NAME))


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name)


def _present(client: Any, experiments: list[str]) -> set[str]:
    found, token = set(), None
    while experiments:
        page = client.search_runs(experiments, "attributes.status = 'FINISHED'", max_results=1000, page_token=token)
        found |= {run.data.tags[TAG] for run in page if TAG in run.data.tags}
        token = page.token
        if not token:
            break
    return found


def _export(client: Any, experiment: str, record: dict[str, Any], root: Path) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    started, ended = _milliseconds(record["started"]), _milliseconds(record["ended"])
    tags = {
        TAG: record["fingerprint"],
        "tesserae.artifact": record["artifact"],
        "tesserae.stage": record["stage"],
        "tesserae.scale": record["scale"],
        "tesserae.manifest": str(_folder(record) / manifests.NAME),
        "tesserae.upstream": " ".join(entry["fingerprint"] for entry in record["inputs"].values()),
        "mlflow.source.git.commit": record["git"]["commit"] or "",
        "mlflow.source.name": "tesserae",
    }
    run = client.create_run(experiment, start_time=started, tags=tags, run_name=record["artifact"])
    params = [
        Param(key, text if len(text := _text(value)) <= 500 else text[:497] + "...")
        for key, value in _leaves(record["spec"])
    ]
    metrics = [
        Metric(_FORBIDDEN.sub("", key), float(value), ended, 0)
        for key, value in record["metrics"].items()
        if isinstance(value, int | float)
    ]
    metrics += _curves(root / _folder(record) / "curves.jsonl", started, ended)
    for at in range(0, max(len(metrics), len(params), 1), CHUNK):
        client.log_batch(run.info.run_id, metrics[at : at + CHUNK], params[at : at + CHUNK] if at < len(params) else [])
    client.log_inputs(
        run.info.run_id,
        [
            DatasetInput(
                Dataset(
                    name=file["path"],
                    digest=file["sha256"][:36],
                    source_type="local",
                    source=json.dumps({"uri": file["path"]}),
                ),
                [InputTag("mlflow.data.context", name)],
            )
            for name, entry in record["inputs"].items()
            for file in entry["files"]
        ],
    )
    client.set_terminated(run.info.run_id, "FINISHED", ended)


def _curves(file: Path, started: int, ended: int) -> list[Any]:
    """Curve points; their times are spread evenly over the run, for the curve itself carries none."""
    from mlflow.entities import Metric

    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    at = [started + (ended - started) * line["step"] // lines[-1]["step"] for line in lines]
    return [
        Metric(f"train.{name}", float(value), time, line["step"])
        for line, time in zip(lines, at, strict=True)
        for name, value in line.items()
        if name not in ("step", "images")
    ]


def _folder(record: dict[str, Any]) -> Path:
    return Path(record["outputs"][0]["path"]).parent


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _leaves(nested: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    return [
        leaf
        for key, value in nested.items()
        for leaf in (_leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)])
    ]
