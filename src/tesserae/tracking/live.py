"""Trainings that have begun and not ended: their runs in MLflow are open, and their curves grow there.

A training's run is found by artifact and fingerprint, whatever was killed and resumed in between: its curve may go back
to the last checkpoint and repeat itself, a point goes to the store once.
"""

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tesserae.lineage import manifest as manifests
from tesserae.tracking import runs

CHECKOUT = "tesserae.checkout"  # which copy of the project wrote a run: the trainings of others are not ours to end
PARAMS, METRICS = 100, 800  # in one request; MLflow's limits are 100, and 1000 of all kinds

Name = tuple[str, str]  # artifact, fingerprint


@dataclass(frozen=True)
class Begun:
    """An unfinished training: what its begun.json says, and where its curve grows (None: not yet)."""

    record: dict[str, Any]
    curve: Path | None

    @property
    def experiment(self) -> str:
        return self.record["mlflow"]["experiment"]

    def length(self) -> int:
        """Bytes of the curve now; 0 if there is none."""
        try:
            return self.curve.stat().st_size if self.curve else 0
        except FileNotFoundError:
            return 0

    def points(self) -> list[runs.Point]:
        """Points of the curve now; none if there is none, or none any more."""
        try:
            return runs.curve(self.curve.read_text(encoding="utf-8")) if self.curve else []
        except FileNotFoundError:
            return []


def unfinished(root: Path, scale: str) -> dict[Name, Begun]:
    """All trainings of a scale that have begun and not ended, whether a process works on them or they wait for one."""
    found = {}
    for file in sorted((root / "results" / scale / ".state").glob(f"*/*/{manifests.BEGUN}")):
        with contextlib.suppress(FileNotFoundError):  # it may end while we look
            record = _read(file)
            if not _has_ended(record, root):
                found[record["artifact"], record["fingerprint"]] = Begun(record, _curve(file))
    return found


def _read(begun: Path) -> dict[str, Any]:
    try:
        return json.loads(begun.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{begun} is not JSON ({error}); delete its folder: the training starts anew") from None


def _has_ended(record: dict[str, Any], root: Path) -> bool:
    """Whether the manifest of this very execution is there: the runner writes it just before it removes the state."""
    try:
        done = json.loads((root / runs.folder(record) / manifests.NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return runs.key(done) == runs.key(record)


def _curve(begun: Path) -> Path | None:
    """The curve that grows beside a begun.json. An older one is that of another identity, about to be deleted."""
    curves = list(begun.parent.glob(f"*/{runs.CURVES}"))
    fresh = [file for file in curves if file.stat().st_mtime_ns >= begun.stat().st_mtime_ns]
    return fresh[0] if fresh else None


@dataclass
class _Open:
    """A run that is open, and which points of its curve (metric, step) are in the store."""

    run: str
    logged: set[tuple[str, int]] = field(default_factory=set)


class Trainings:
    """The open runs of trainings, as one writer knows them. To be used while writing (Store.writing)."""

    def __init__(self, root: Path):
        self.root = root
        self._open: dict[Name, _Open] = {}

    def forget(self) -> None:
        """Somebody else may have written: look everything up again."""
        self._open.clear()

    def append(self, client: Any, experiment: str, training: Begun) -> str | None:
        """Log the points that the training's run does not have yet; returns the run, None if there is no curve yet.

        Opens the run if there is none; the time of a point is that at which it was seen. `experiment`: its id.
        """
        name, points = (training.record["artifact"], training.record["fingerprint"]), training.points()
        if not points:
            return None
        if name not in self._open:
            self._open[name] = self._find(client, experiment, training, points) or self._begin(
                client, experiment, training
            )
        there = self._open[name]
        new = [point for point in points if (point.name, point.step) not in there.logged]
        now = int(time.time() * 1000)
        log(client, there.run, points=[(point, now) for point in new])
        there.logged |= {(point.name, point.step) for point in new}
        return there.run

    def _find(self, client: Any, experiment: str, training: Begun, points: list[runs.Point]) -> _Open | None:
        wanted = {
            runs.ARTIFACT: training.record["artifact"],
            runs.FINGERPRINT: training.record["fingerprint"],
            CHECKOUT: checkout(self.root),
        }
        conditions = ["attributes.status = 'RUNNING'", *(f"tags.`{tag}` = '{value}'" for tag, value in wanted.items())]
        for run in client.search_runs([experiment], " and ".join(conditions), max_results=1):
            return _Open(run.info.run_id, set(logged(client, run.info.run_id, {point.name for point in points})))
        return None

    def _begin(self, client: Any, experiment: str, training: Begun) -> _Open:
        record = training.record
        tags = runs.tags(record) | {CHECKOUT: checkout(self.root), "mlflow.note.content": runs.note(record, {})}
        started = runs.milliseconds(record["started"])
        run = client.create_run(experiment, started, tags, runs.title(record, trained=True)).info.run_id
        log(client, run, record)
        return _Open(run)


def log(
    client: Any, run: str, record: dict[str, Any] | None = None, points: Iterable[tuple[runs.Point, int]] = ()
) -> None:
    """Log the spec of `record` and points with their times in ms; parameters that are there already are left alone."""
    from mlflow.entities import Metric, Param

    params = [Param(name, value) for name, value in runs.params(record["spec"]).items()] if record else []
    metrics = [Metric(point.name, point.value, at, point.step) for point, at in points]
    for batch in range(max(-(-len(params) // PARAMS), -(-len(metrics) // METRICS))):
        part = metrics[batch * METRICS : (batch + 1) * METRICS]
        client.log_batch(run, part, params[batch * PARAMS : (batch + 1) * PARAMS])


def logged(client: Any, run: str, names: set[str]) -> dict[tuple[str, int], tuple[float, int]]:
    """What a run has of the metrics `names`: (metric, step) -> value, time in ms."""
    history = (entry for name in sorted(names) for entry in client.get_metric_history(run, name))
    return {(entry.key, entry.step): (entry.value, entry.timestamp) for entry in history}


def checkout(root: Path) -> str:
    """A name for this copy of the project, made once."""
    file = root / ".tesserae" / "checkout"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        aside = file.with_name(f".checkout.{os.getpid()}")
        aside.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
        with contextlib.suppress(FileExistsError):  # of two that make it at once, the first one wins
            os.link(aside, file)
        aside.unlink()
    return file.read_text(encoding="utf-8")
