"""MLflow as an export: one writer at a time turns manifests and curves into runs; nothing depends on the store.

A run is one execution of one job, found again by artifact, fingerprint and start. What was made again under the same
fingerprint is therefore a second run, with its own times and hashes; the tag `tesserae.current` says which of them lies
in results/ as of the last sync. The open run of a training (tracking_live.py) is completed from its manifest; when its
state has gone without one, because of an edit or a change of mind, it is ended as KILLED.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tesserae.lineage import fingerprint
from tesserae.lineage import manifest as manifests
from tesserae.tracking import runs
from tesserae.tracking.live import CHECKOUT, Begun, Trainings, checkout, log, logged, unfinished
from tesserae.tracking.store import PATIENCE, Store

Record = dict[str, Any]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def sync(
    root: Path,
    scale: str,
    uri: str | None = None,
    *,
    patience: float = PATIENCE,
    say: Callable[[str], None] = _tell,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[int, int]:
    """Export all artifacts of a scale; returns (runs added, runs that were there).

    Raises StoreError, with the remedy in its message, if the store cannot be used or another process writes to it for
    more than `patience` seconds. `say` is told what is waited for and what is left out; `stop` may break it off between
    two runs.
    """
    store = Store(root, uri)
    with store.writing(patience, say), store.explained():
        # First what has begun, then what is done: a training that ends in between is seen as done, never as lost.
        begun = unfinished(root, scale)
        records, left_out = _records(root, scale)
        done = {runs.key(record) for record in records.values()}
        begun = {name: training for name, training in begun.items() if runs.key(training.record) not in done}
        export = _Export(store.client(), store, root, scale, records, begun)
        for record in records.values():
            if stop():
                return export.added, export.present
            export.artifact(record)
        export.trainings()
        export.end_abandoned()
        export.mark_current()
        left_out |= export.left_out
        seen = None if left_out else _seen(records, begun)
        index = {"store": store.name, "runs": export.entries, "seen": seen, "curves": _lengths(begun)}
        manifests.write(index_file(root, scale), index)
    for name, reason in left_out.items():
        say(f"MLflow: {name} left out: {reason}; `tesserae audit` says more")
    return export.added, export.present


def sync_if_new(root: Path, scale: str) -> str:
    """`sync`, unless the last one saw the very same artifacts and its runs are still there; says what was done."""
    if up_to_date(root, scale):
        return "MLflow: nothing new"
    added, present = sync(root, scale)
    return f"MLflow: {added} runs added, {present} already there"


def up_to_date(root: Path, scale: str, uri: str | None = None, *, curves: bool = True) -> bool:
    """Whether the last sync saw the present artifacts (and curves of this length) and its runs are there; no MLflow."""
    store, begun = Store(root, uri), unfinished(root, scale)
    records, left_out = _records(root, scale)
    try:
        index = json.loads(index_file(root, scale).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no sync yet, or its note was lost: only where nothing is there, nothing is to do
        return not (records or begun or left_out)
    return (
        not left_out
        and index.get("store") == store.name
        and index.get("seen") == _seen(records, begun)
        and (not curves or index.get("curves") == _lengths(begun))
        and store.holds({entry["run_id"] for entry in index["runs"].values()})
    )


def index_file(root: Path, scale: str) -> Path:
    """Names the run of each fingerprint, so that `tesserae trace` can without MLflow; left by each sync."""
    return root / ".tesserae" / f"mlflow-{scale}.json"


def _seen(records: dict[str, Record], begun: dict[tuple[str, str], Begun]) -> str:
    return fingerprint.digest([sorted(map(runs.key, records.values())), sorted(begun)])


def _lengths(begun: dict[tuple[str, str], Begun]) -> dict[str, int]:
    return {name: training.length() for (_, name), training in begun.items()}


def _records(root: Path, scale: str) -> tuple[dict[str, Record], dict[str, str]]:
    """Manifests by artifact, producers first; and, by path, what is wrong with files that are none.

    Jobs may be at work: what vanishes meanwhile comes with a later sync.
    """
    found, wrong = {}, {}
    for file in manifests.files(root, scale):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except ValueError as error:
            wrong[str(file.relative_to(root))] = f"it is not JSON ({error})"
            continue
        if missing := manifests.missing(record):
            wrong[str(file.relative_to(root))] = f"it does not say {', '.join(missing)}"
        else:
            found[record["artifact"]] = record
    return {name: found[name] for name in manifests.upstream(found, found)}, wrong


class _Export:
    """One sync: what the store has, and what it gets."""

    def __init__(
        self,
        client: Any,
        store: Store,
        root: Path,
        scale: str,
        records: dict[str, Record],
        begun: dict[tuple[str, str], Begun],
    ):
        self.client, self.store, self.root = client, store, root
        self.records, self.begun = records, begun
        self.added = self.present = 0
        self.left_out: dict[str, str] = {}  # artifact -> reason
        self.entries: dict[str, dict[str, str]] = {}  # fingerprint -> its run, for the index
        self.checkout = checkout(root)
        names = {record["mlflow"]["experiment"] for record in records.values()}
        self.experiments = experiments(
            client, store, scale, names | {training.experiment for training in begun.values()}
        )
        there = _runs(client, list(self.experiments.values()))
        self.finished = {_key(run): run for run in there if run.info.status == "FINISHED"}
        self.open = {
            _key(run)[:2]: run
            for run in there
            if run.info.status == "RUNNING" and run.data.tags.get(CHECKOUT) == self.checkout
        }
        # Lineage by fingerprint, never by name: what lies on disk may come from different versions.
        self.known = {_key(run).fingerprint: runs.made_from_tags(run.data.tags) for run in self.finished.values()}
        self.known |= {record["fingerprint"]: runs.made(record) for record in records.values()}
        self.trained = {record["stage"] for record in records.values() if runs.is_trained(record)}
        self.where = {_key(run).fingerprint: _entry(run) for run in self.finished.values()}

    def artifact(self, record: Record) -> None:
        """See that an artifact has its run, with its files and the right parent."""
        key = runs.key(record)
        run = self.finished.get(key)
        try:
            if run is None:
                self.finished[key] = run = self._add(record, runs.files(record, self.root))
                self.added += 1
            else:
                if not self._files_are_there(run):
                    self._log_files(run.info.run_id, record, runs.files(record, self.root))
                self.present += 1
        except runs.Changed as changed:
            self.left_out[record["artifact"]] = str(changed)
            return
        self.where[key.fingerprint] = self.entries[key.fingerprint] = _entry(run)
        parent = self._parent(record)
        if parent and run.data.tags.get(runs.PARENT) != parent:  # it was deleted and came back as another run
            self.client.set_tag(run.info.run_id, runs.PARENT, parent)

    def trainings(self) -> None:
        """Bring the open runs of unfinished trainings up to date."""
        trainings = Trainings(self.root)
        for (_, name), training in self.begun.items():
            experiment = self.experiments[training.experiment]
            run = trainings.append(self.client, experiment, training)
            if run:
                self.entries.setdefault(name, {"run_id": run, "experiment_id": experiment})

    def end_abandoned(self) -> None:
        """End the open runs whose state has gone and that no manifest completes."""
        on_disk = {runs.key(record)[:2] for record in self.records.values()}
        for name, run in self.open.items():
            if name not in self.begun and name not in on_disk:
                self._kill(run)

    def mark_current(self) -> None:
        """Say of each finished run of this checkout whether it is what lies in results/."""
        on_disk = {runs.key(record) for record in self.records.values()}
        for key, run in self.finished.items():
            wanted = "yes" if key in on_disk else "no"
            if run.data.tags.get(CHECKOUT) == self.checkout and run.data.tags.get(runs.CURRENT) != wanted:
                self.client.set_tag(run.info.run_id, runs.CURRENT, wanted)

    def _add(self, record: Record, files: dict[str, bytes]) -> Any:
        """A finished run for an artifact: the open one of its training, or a new one."""
        from mlflow.entities import RunTag

        points = runs.curve(files.get(runs.CURVES, b"").decode())
        run, there = self._take_open(record, points)
        tags = self._tags(record)
        if run is None:
            title = runs.title(record, trained=runs.is_trained(record))
            started = runs.milliseconds(record["started"])
            run = self.client.create_run(self.experiments[record["mlflow"]["experiment"]], started, tags, title)
        else:
            self.client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in tags.items()])
            run.data.tags.update(tags)
        identity, ended = run.info.run_id, runs.milliseconds(record["ended"])
        numbers = [runs.Point(name, 0, value) for name, value in runs.metrics(record).items()]
        new = [(number, ended) for number in numbers if number.name not in run.data.metrics]
        times = _times(points, record, there)
        new += [(point, at) for point, at in zip(points, times, strict=True) if point[:2] not in there]
        log(self.client, identity, record, new)
        self._log_inputs(identity, record)
        self._log_files(identity, record, files)
        self.client.set_terminated(identity, "FINISHED", ended)  # last: until then, a next sync goes on here
        return run

    def _take_open(self, record: Record, points: list[runs.Point]) -> tuple[Any, dict]:
        """The open run that an artifact's manifest completes, and what it has of the curve; (None, {}) if none."""
        name = runs.key(record)[:2]
        if name in self.begun or name not in self.open:  # in training again: the open run is not of this one
            return None, {}
        run = self.open.pop(name)
        there = logged(self.client, run.info.run_id, {point.name for point in points})
        expected = {(point.name, point.step): point.value for point in points}
        if all(at in expected and runs.same(value, expected[at]) for at, (value, _) in there.items()):
            return run, there
        self._kill(run)  # it was resumed to another end, on another machine: those points belong to no artifact
        return None, {}

    def _kill(self, run: Any) -> None:
        self.client.set_tag(run.info.run_id, runs.CURRENT, "no")
        self.client.set_terminated(run.info.run_id, "KILLED")

    def _tags(self, record: Record) -> dict[str, str]:
        links = {
            name: f"#/experiments/{entry['experiment_id']}/runs/{entry['run_id']}" for name, entry in self.where.items()
        }
        tags = runs.tags(record) | {CHECKOUT: self.checkout, runs.CURRENT: "yes"}
        tags["mlflow.note.content"] = runs.note(record, links)
        parent = self._parent(record)
        return tags | {runs.PARENT: parent} if parent else tags

    def _parent(self, record: Record) -> str | None:
        """The run of the trained thing that an artifact derives from."""
        origin = runs.trained_origin(record["fingerprint"], self.known, self.trained)
        return self.where[origin]["run_id"] if origin in self.where else None

    def _log_inputs(self, run: str, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        found = [
            DatasetInput(
                Dataset(entry["name"], entry["digest"], "local", entry["source"], profile=entry["profile"]),
                [InputTag("mlflow.data.context", entry["context"])],
            )
            for entry in runs.datasets(record)
        ]
        if found:
            self.client.log_inputs(run, found)

    def _log_files(self, run: str, record: Record, files: dict[str, bytes]) -> None:
        """Copy the manifest and what MLflow can show; from a copy, for a job may be replacing them just now."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                if name != runs.CURVES:
                    (Path(folder) / name).write_bytes(content)
            manifests.write(Path(folder) / manifests.NAME, record)
            self.client.log_artifacts(run, folder)

    def _files_are_there(self, run: Any) -> bool:
        """Whether the files of a run were not deleted beside its database; a server is trusted."""
        place = None if self.store.served else self.store.local(run.info.artifact_uri)
        return place is None or place.exists()


def experiments(client: Any, store: Store, scale: str, names: set[str]) -> dict[str, str]:
    """Ids of the experiments of a scale, those of `names` made or restored where they are missing."""
    from mlflow.entities import ViewType
    from mlflow.exceptions import MlflowException

    mine = f"tags.`tesserae.scale` = '{scale}'"
    found = {one.name: one for one in client.search_experiments(ViewType.ALL, filter_string=mine)}
    for name in sorted(names - found.keys()):
        paper = name.partition("/")[0]
        shown = "What papers share" if paper == "shared" else f"Paper {paper}"
        tags = {
            "tesserae.scale": scale,
            "mlflow.note.content": f"{shown}, scale {scale}. Exported from `results/{scale}`; runs with "
            "`tesserae.current` = `yes` lie there now, the others are its past.",
        }
        try:
            client.create_experiment(name, store.artifacts(name), tags)
        except MlflowException:  # another project may use the same server, or have made it by hand
            if client.get_experiment_by_name(name) is None:
                raise
        found[name] = client.get_experiment_by_name(name)
    for name in names:
        if found[name].lifecycle_stage == "deleted":
            client.restore_experiment(found[name].experiment_id)
        store.check_place(found[name])
    return {name: one.experiment_id for name, one in found.items() if name in names or one.lifecycle_stage == "active"}


def _runs(client: Any, identities: list[str]) -> list[Any]:
    """All runs of the experiments that this module, or one of its kind, wrote."""
    found, token = [], None
    while identities:
        page = client.search_runs(identities, max_results=1000, page_token=token)
        found += [run for run in page if runs.FINGERPRINT in run.data.tags]
        token = page.token
        if not token:
            break
    return found


def _key(run: Any) -> runs.Key:
    return runs.Key(*(run.data.tags.get(tag, "") for tag in (runs.ARTIFACT, runs.FINGERPRINT, runs.STARTED)))


def _entry(run: Any) -> dict[str, str]:
    return {"run_id": run.info.run_id, "experiment_id": run.info.experiment_id}


def _times(points: list[runs.Point], record: Record, there: dict) -> list[int]:
    """When the points of a curve came about, in ms, spread evenly over the run: curves carry no times. Points that
    nobody saw in time come after those that were seen."""
    if not points:
        return []
    started, ended = runs.milliseconds(record["started"]), runs.milliseconds(record["ended"])
    last = max((at for _, at in there.values()), default=started)
    steps = points[-1].step
    return [max(started + (ended - started) * point.step // steps, last) for point in points]
