"""MLflow as an export: what a sync makes of manifests, who may write, what a training shows while it runs.

Making a database takes MLflow seconds, so the tests share one and keep apart by the names of their scales.
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from mlflow.tracking import MlflowClient
from mlflow.utils.validation import path_not_unique, validate_param_and_metric_name

from tesserae.tracking import follow as following
from tesserae.tracking import runs as tracking_runs
from tesserae.tracking import store as tracking_store
from tesserae.tracking import sync as tracking
from tesserae.tracking.follow import Curves, follow, start_follower, stop
from tesserae.tracking.store import Store, StoreError
from tesserae.tracking.sync import sync, sync_if_new, up_to_date
from tests.conftest import ROOT
from tests.waiting import runs, until
from tests.workflow.tracked import Written, curve, lines

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A store with nothing in it but tables."""
    root = tmp_path_factory.mktemp("store")
    store = Store(root, f"sqlite:///{root / 'mlflow.db'}")
    with store.writing():
        store.client()
    return root / "mlflow.db"


@pytest.fixture
def written(tmp_path, database, monkeypatch):
    """An empty project that uses the shared store, at a scale of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    return Written(tmp_path, f"scale{next(NUMBERS)}")


def found(written, status: str | None = None) -> list:
    """The runs of a scale, oldest first."""
    client = MlflowClient(Store(written.root).uri)
    every = client.search_experiments(filter_string=f"tags.`tesserae.scale` = '{written.scale}'")
    runs = client.search_runs([one.experiment_id for one in every], order_by=["attributes.start_time"])
    return [run for run in runs if status in (None, run.info.status)]


def run_of(written, artifact: str):
    (run,) = [run for run in found(written) if run.data.tags["tesserae.artifact"] == artifact]
    return run


def steps(written, run, name: str = "train/mse") -> list[int]:
    history = MlflowClient(Store(written.root).uri).get_metric_history(run.info.run_id, name)
    return sorted(entry.step for entry in history)


# ---- what a sync makes of manifests -----------------------------------------------------------------------------


def test_one_run_per_artifact_named_and_nested_as_a_reader_looks_for_it(written):
    count = written.road()
    assert sync(written.root, written.scale) == (count, 0)
    client = MlflowClient(Store(written.root).uri)
    runs = {run.data.tags["tesserae.artifact"]: run for run in found(written)}
    names = {artifact: run.info.run_name for artifact, run in runs.items()}
    assert names == {
        "dataset/emoji-32": "emoji-32 · dataset",
        "tokenizer/sb": "sb",
        "reconstruction/sb": "sb · reconstruction",
        "tokens/sb": "sb · tokens",
        "generator/sit": "sit",
        "samples/sit-cfg": "sit-cfg · samples",
        "metrics/sit-cfg": "sit-cfg · metrics",
        "table/detok_table_1": "detok_table_1",
        "figure/detok_a1": "detok_a1",
    }
    parents = {names[name]: run.data.tags.get("mlflow.parentRunId") for name, run in runs.items()}
    by_identity = {run.info.run_id: run.info.run_name for run in runs.values()}
    assert {name: by_identity.get(parent) for name, parent in parents.items()} == {
        "emoji-32 · dataset": None,
        "sb": None,
        "sb · reconstruction": "sb",
        "sb · tokens": "sb",
        "sit": None,
        "sit-cfg · samples": "sit",
        "sit-cfg · metrics": "sit",
        "detok_table_1": None,
        "detok_a1": None,
    }
    places = {client.get_experiment(run.info.experiment_id).name for run in runs.values()}
    assert places == {f"detok/{written.scale}", f"shared/{written.scale}"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_a_run_says_what_its_manifest_says(written):
    written.road()
    sync(written.root, written.scale)
    record, run = written.records["generator/sit"], run_of(written, "generator/sit")
    assert run.data.params == {"model.width": "64", "model.blocks": "[1, 2]", "lr": "0.001"}
    assert run.data.metrics == {"fid": 3.5, "train/mse": pytest.approx(0.1), "train/lr": 0.01}
    assert steps(written, run) == list(range(1, 11))
    assert run.info.start_time == tracking_runs.milliseconds(record["started"])
    assert run.info.end_time == tracking_runs.milliseconds(record["ended"])
    tags = run.data.tags
    assert tags["tesserae.fingerprint"] == record["fingerprint"]
    assert tags["tesserae.manifest"] == f"results/{written.scale}/generator/sit/manifest.json"
    assert (written.root / tags["tesserae.manifest"]).is_file()
    assert tags["tesserae.upstream"] == written.records["tokens/sb"]["fingerprint"]
    assert (tags["tesserae.stage"], tags["tesserae.recipe"], tags["tesserae.scale"]) == (
        "generator",
        "sit",
        written.scale,
    )
    assert (tags["mlflow.source.git.commit"], tags["mlflow.source.git.dirty"]) == (record["git"]["commit"], "true")
    note = tags["mlflow.note.content"]
    assert tags["tesserae.manifest"] in note and f"tesserae --scale {written.scale} trace generator/sit" in note
    tokens = run_of(written, "tokens/sb").info
    assert f"[tokens/sb](#/experiments/{tokens.experiment_id}/runs/{tokens.run_id})" in note


def test_inputs_are_datasets_whose_digests_lead_on(written):
    written.road()
    sync(written.root, written.scale)
    client, inputs = (
        MlflowClient(Store(written.root).uri),
        run_of(written, "table/detok_table_1").inputs.dataset_inputs,
    )
    context = {one.dataset.name: one.tags[0].value for one in inputs}
    assert context == {
        "metrics/sit-cfg": "metrics",
        "reconstruction/sb": "reconstruction",
        "config/published/detok.csv": "source",
    }
    digest = {one.dataset.name: one.dataset.digest for one in inputs}["metrics/sit-cfg"]
    assert digest == run_of(written, "metrics/sit-cfg").data.tags["tesserae.fingerprint"]
    experiment = client.get_experiment_by_name(f"detok/{written.scale}").experiment_id
    users = client.search_runs([experiment], f"dataset.digest = '{digest}'")
    assert [run.info.run_name for run in users] == ["detok_table_1"]


def test_tables_figures_and_manifests_are_artifacts_beside_the_database(written, database):
    written.road()
    sync(written.root, written.scale)
    client, run = MlflowClient(Store(written.root).uri), run_of(written, "table/detok_table_1")
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
        "manifest.json",
        "table.csv",
        "table.html",
        "table.md",
    }
    place = client.get_experiment(run.info.experiment_id).artifact_location
    assert place == (database.parent / "mlruns" / "detok" / written.scale).as_uri()
    copied = database.parent / "mlruns" / "detok" / written.scale / run.info.run_id / "artifacts" / "manifest.json"
    assert json.loads(copied.read_text()) == written.records["table/detok_table_1"]


def test_a_second_sync_adds_nothing_and_a_new_artifact_one_run(written):
    count = written.road()
    before = written.hashes()
    assert sync(written.root, written.scale) == (count, 0)
    assert sync(written.root, written.scale) == (0, count)
    written.artifact("denoising/sb", "tokenizer/sb")
    assert sync(written.root, written.scale) == (1, count)
    assert len(found(written)) == count + 1
    assert before.items() <= written.hashes().items()


def test_the_index_names_runs_for_those_who_have_no_mlflow(written):
    written.road()
    sync(written.root, written.scale)
    index = json.loads((written.root / f".tesserae/mlflow-{written.scale}.json").read_text())
    assert index["store"] == Store(written.root).name
    expected = {
        run.data.tags["tesserae.fingerprint"]: {"run_id": run.info.run_id, "experiment_id": run.info.experiment_id}
        for run in found(written)
    }
    assert index["runs"] == expected and len(expected) == len(written.records)


def test_nothing_new_is_found_out_without_mlflow(written):
    written.road()
    assert sync_if_new(written.root, written.scale) == f"MLflow: {len(written.records)} runs added, 0 already there"
    code = (
        "import sys; from pathlib import Path; from tesserae.tracking.sync import sync_if_new;"
        f"print(sync_if_new(Path({str(written.root)!r}), {written.scale!r}), 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "MLflow: nothing new False", done.stderr


@pytest.mark.parametrize("change", ["artifact", "run deleted", "another store", "index lost", "training begun"])
def test_what_makes_a_sync_necessary(written, change, monkeypatch):
    written.road()
    sync(written.root, written.scale)
    assert up_to_date(written.root, written.scale)
    if change == "artifact":
        written.artifact("denoising/sb", "tokenizer/sb")
    elif change == "run deleted":
        MlflowClient(Store(written.root).uri).delete_run(found(written)[0].info.run_id)
    elif change == "another store":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/mlflow.db")
    elif change == "index lost":
        (written.root / f".tesserae/mlflow-{written.scale}.json").unlink()
    else:
        written.begin("tokenizer/other")
        written.log("tokenizer/other", 1)
    assert not up_to_date(written.root, written.scale)


def test_an_artifact_made_again_is_a_second_run_and_only_one_is_current(written):
    written.artifact("tokenizer/sb", outputs={"curves.jsonl": curve(3)})
    sync(written.root, written.scale)
    again = written.artifact("tokenizer/sb", started=1000, outputs={"curves.jsonl": curve(3)})
    assert sync(written.root, written.scale) == (1, 0)
    runs = found(written)
    assert {run.data.tags["tesserae.fingerprint"] for run in runs} == {again["fingerprint"]}
    assert [run.data.tags["tesserae.current"] for run in runs] == ["no", "yes"]
    assert [run.data.tags["tesserae.started"] for run in runs][1] == again["started"]


def test_a_parent_that_was_deleted_comes_back_and_takes_its_children(written):
    count = written.road()
    sync(written.root, written.scale)
    MlflowClient(Store(written.root).uri).delete_run(run_of(written, "generator/sit").info.run_id)
    assert sync(written.root, written.scale) == (1, count - 1)
    parent = run_of(written, "generator/sit").info.run_id
    assert run_of(written, "metrics/sit-cfg").data.tags["mlflow.parentRunId"] == parent


def test_a_child_keeps_the_parent_it_was_made_from(written):
    written.road()
    sync(written.root, written.scale)
    before = run_of(written, "generator/sit").info.run_id
    # The generator was trained again from other tokens; its old samples still lie there.
    written.artifact("tokens/sb", "tokenizer/sb", "dataset/emoji-32", started=100)
    written.artifact("generator/sit", "tokens/sb", started=110, outputs={"curves.jsonl": curve(10)})
    written.artifact("denoising/sit", "samples/sit-cfg", started=120)
    sync(written.root, written.scale)
    assert run_of(written, "denoising/sit").data.tags["mlflow.parentRunId"] == before


def test_what_is_not_what_its_manifest_says_is_left_out_until_it_is(written, capsys):
    written.road()
    table = written.root / written.place("table/detok_table_1") / "table.csv"
    content = table.read_bytes()
    table.write_bytes(b"a,b\n9,9\n")
    said = []
    assert sync(written.root, written.scale, say=said.append) == (len(written.records) - 1, 0)
    assert len(said) == 1 and "table/detok_table_1 left out" in said[0] and "table.csv is not what" in said[0]
    assert not up_to_date(written.root, written.scale)
    table.write_bytes(content)
    assert sync(written.root, written.scale) == (1, len(written.records) - 1)


def test_what_is_no_manifest_is_left_out_by_name(written):
    written.road()
    for name, content in (("table/detok_table_1", "{"), ("figure/detok_a1", '{"artifact": "figure/detok_a1"}')):
        (written.root / written.place(name) / "manifest.json").write_text(content)
    said = []
    assert sync(written.root, written.scale, say=said.append) == (len(written.records) - 2, 0)
    assert any("table/detok_table_1/manifest.json left out: it is not JSON" in text for text in said)
    assert any(
        "figure/detok_a1/manifest.json left out: it does not say manifest, stage, recipe" in text for text in said
    )


def test_every_name_becomes_one_that_mlflow_accepts(written):
    names = ["γ = 1", "γ = 2", "a//b", "../x", "/etc", "w/o CFG ↓ (FID)", "", ".", "x" * 400, "x" * 401, "a.b", "a:b"]
    cleaned = tracking_runs._names(names)
    assert len(set(cleaned)) == len(names)
    assert not [name for name in cleaned if len(name) > 250 or not name]
    assert all(validate_param_and_metric_name(name) and not path_not_unique(name) for name in cleaned)
    written.artifact("metrics/odd", metrics=dict.fromkeys(names, 1.0) | {"nan": float("nan"), "none": None})
    written.artifact("table/odd", spec=dict.fromkeys(names, "v" * 7000) | {"list": [["a", "b"]], "nothing": {}})
    assert sync(written.root, written.scale) == (2, 0)
    assert len(run_of(written, "metrics/odd").data.metrics) == len(names) + 1
    assert len(run_of(written, "table/odd").data.params) == len(names) + 2


# ---- one writer at a time -----------------------------------------------------------------------------------------


def _python(written, code: str, **environment: str) -> subprocess.Popen:
    imports = "import sys; from pathlib import Path; from tesserae.tracking.sync import sync;"
    return subprocess.Popen(
        [sys.executable, "-c", f"{imports} root, scale = Path({str(written.root)!r}), {written.scale!r}; {code}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_two_syncs_into_a_fresh_store_then_it_is_deleted_and_rebuilt(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir("/")  # nothing may depend on the caller's folder
    written = Written(tmp_path, "pocket")
    count = written.road()
    syncs = [_python(written, "print(*sync(root, scale))", MLFLOW_TRACKING_URI="") for _ in range(2)]
    outputs = [process.communicate() for process in syncs]
    assert [process.returncode for process in syncs] == [0, 0], outputs
    assert sorted(out.strip() for out, _ in outputs) == sorted([f"{count} 0", f"0 {count}"])
    assert len(found(written)) == count
    assert {path.name for path in tmp_path.iterdir()} == {
        ".tesserae",
        "mlflow.db",
        "mlflow.db.lock",
        "mlruns",
        "results",
    }
    shutil.rmtree(tmp_path / "mlruns")  # only the files: they come back
    assert sync(written.root, "pocket") == (0, count)
    assert len(list((tmp_path / "mlruns").rglob("manifest.json"))) == count
    (tmp_path / "mlflow.db").unlink()
    assert not up_to_date(tmp_path, "pocket")
    assert sync_if_new(tmp_path, "pocket") == f"MLflow: {count} runs added, 0 already there"
    assert len(found(written)) == count


def test_a_second_writer_waits_with_a_message_and_gives_up_with_a_remedy(written):
    written.road()
    said = []
    with Store(written.root).writing():
        with pytest.raises(
            StoreError, match=rf"process {os.getpid()} still writes.*wait for it.*`tesserae mlflow sync` tries again"
        ):
            sync(written.root, written.scale, patience=0.3, say=said.append)
    assert len(said) == 1 and "waiting up to 0 s" in said[0]
    assert sync(written.root, written.scale, patience=0) == (len(written.records), 0)


def test_syncs_and_a_follower_while_eight_jobs_run(written):
    """Eight processes train, write manifests and measure; a follower and syncs work all the while.

    None measures before the store has a finished run, whoever brought it there: so runs land while jobs run.
    """
    landed = written.root / "landed"
    job = (
        "from tests.workflow.tracked import Written, lines; import time, shutil;"
        "w = Written(root, scale); n = sys.argv[1]; name = f'tokenizer/t{n}';"
        "[(w.begin(name, started=int(n)), [(w.log(name, s), time.sleep(0.02)) for s in range(1, 41)],"
        "w.artifact(name, started=int(n), outputs={'curves.jsonl': lines(*range(1, 41)).encode()}),"
        "shutil.rmtree(w.state(name)), [time.sleep(0.02) for _ in range(3000) if not (root / 'landed').exists()],"
        "[w.artifact(f'metrics/t{n}-{k}', name, started=50 + k) for k in range(4)])]"
    )
    over = threading.Event()
    follower = threading.Thread(
        target=follow,
        args=(written.root, written.scale),
        kwargs={"every": 0.05, "sync_every": 0.5, "until": over.is_set},
    )
    follower.start()
    imports = f"from pathlib import Path; import sys; root, scale = Path({str(written.root)!r}), {written.scale!r};"
    jobs = [subprocess.Popen([sys.executable, "-c", imports + job, str(n)], cwd=ROOT) for n in range(8)]
    while any(process.poll() is None for process in jobs):
        sync(written.root, written.scale)
        if not landed.exists() and found(written, "FINISHED"):
            landed.touch()
    over.set()
    follower.join()
    assert landed.exists() and [process.returncode for process in jobs] == [0] * 8
    sync(written.root, written.scale)
    runs = found(written)
    assert Counter(run.data.tags["tesserae.artifact"] for run in runs) == Counter(
        [*(f"tokenizer/t{n}" for n in range(8)), *(f"metrics/t{n}-{k}" for n in range(8) for k in range(4))]
    )
    assert {run.info.status for run in runs} == {"FINISHED"}
    trained = [run for run in runs if run.data.tags["tesserae.stage"] == "tokenizer"]
    assert [steps(written, run) for run in trained] == [list(range(1, 41))] * 8


# ---- a store that cannot be used ----------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(tracking_store, "REACH", 0.2)


def test_a_locked_database_is_named(written, database, impatient):
    written.road()
    before = written.hashes()
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"mlflow.db: database is locked; end the program"):
            sync(written.root, written.scale)
    assert written.hashes() == before
    assert sync(written.root, written.scale) == (len(written.records), 0)


def test_a_server_that_is_not_there_is_named_at_once(written, monkeypatch):
    written.road()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"no answer.*start the server.*Results are complete without it"):
            sync(written.root, written.scale)
    assert time.monotonic() - began < 60  # MLflow's own tries go on for minutes


def test_a_password_is_neither_shown_nor_kept(written):
    store = Store(written.root, "postgresql://someone:secret@127.0.0.1:1/runs")
    assert store.name == "postgresql://127.0.0.1:1/runs"
    with pytest.raises(StoreError, match="unset MLFLOW_TRACKING_URI") as raised:
        with store.writing(), store.explained():
            raise ImportError(f"no driver for {store.uri}")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be read as one" * 100, None])
def test_a_damaged_or_impossible_database_is_named(written, tmp_path, monkeypatch, content):
    file = tmp_path / "mlflow.db" if content else tmp_path / "results" / "file" / "mlflow.db"
    written.road()
    if content:
        file.write_bytes(content)
    else:
        file.parent.write_bytes(b"a file where a folder should be")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    with pytest.raises(StoreError, match=rf"{file}.*(delete|check)"):
        sync(written.root, written.scale)


def test_a_project_that_was_moved_is_told_what_to_delete(written, database, tmp_path_factory, monkeypatch):
    written.road()
    sync(written.root, written.scale)
    elsewhere = tmp_path_factory.mktemp("moved") / "mlflow.db"
    shutil.copy(database, elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
    with pytest.raises(StoreError, match=rf"moved or copied\?\); delete {elsewhere}"):
        sync(written.root, written.scale)


# ---- trainings that run -------------------------------------------------------------------------------------------


def test_a_curve_appears_before_the_job_ends_and_each_point_is_there_once(written):
    written.begin("tokenizer/sb")
    written.log("tokenizer/sb", 1, 2)
    curves = Curves(written.root, written.scale)
    curves.look()
    (run,) = found(written, "RUNNING")
    assert (run.info.run_name, steps(written, run)) == ("sb", [1, 2])
    assert run.data.params["model.width"] == "64"
    written.log("tokenizer/sb", 3, 4)
    with open(written.state("tokenizer/sb") / "0123456789abcdef/curves.jsonl", "a") as half:
        half.write('{"step": 5, "im')
    curves.look()
    assert steps(written, run) == [1, 2, 3, 4]
    written.artifact("tokenizer/sb", outputs={"curves.jsonl": lines(*range(1, 9)).encode()})
    shutil.rmtree(written.state("tokenizer/sb"))
    curves.look()
    assert sync(written.root, written.scale) == (1, 0)
    (done,) = found(written)
    assert (done.info.run_id, done.info.status) == (run.info.run_id, "FINISHED")
    assert steps(written, done) == steps(written, done, "train/lr") == list(range(1, 9))
    assert done.data.metrics["fid"] == 3.5 and done.data.tags["tesserae.current"] == "yes"
    history = MlflowClient(Store(written.root).uri).get_metric_history(done.info.run_id, "train/mse")
    times = [entry.timestamp for entry in sorted(history, key=lambda entry: entry.step)]
    assert times == sorted(times)


def test_a_training_that_was_killed_and_resumed_goes_on_in_its_run(written):
    written.begin("tokenizer/sb")
    written.log("tokenizer/sb", 1, 2, 3, 4)
    Curves(written.root, written.scale).look()
    sync(written.root, written.scale)  # the end of a `reproduce` that was broken off
    (run,) = found(written)
    assert run.info.status == "RUNNING"
    written.begin("tokenizer/sb", started=500)
    resumed = Curves(written.root, written.scale)  # of the next `reproduce`
    resumed.look()
    written.log("tokenizer/sb", 1, 2, cut=True)  # back to the checkpoint
    resumed.look()
    text = written.log("tokenizer/sb", 3, 4, 5)
    resumed.look()
    assert steps(written, run) == [1, 2, 3, 4, 5]
    written.artifact("tokenizer/sb", started=500, outputs={"curves.jsonl": text.encode()})
    sync(written.root, written.scale)  # the state is still there: the runner removes it a moment after the manifest
    shutil.rmtree(written.state("tokenizer/sb"))
    sync(written.root, written.scale)
    (done,) = found(written)
    assert (done.info.run_id, done.info.status) == (run.info.run_id, "FINISHED")
    assert steps(written, done) == [1, 2, 3, 4, 5]


def test_a_training_that_ended_between_two_looks_opens_no_second_run(written):
    written.begin("tokenizer/sb")
    text = written.log("tokenizer/sb", 1, 2)
    curves = Curves(written.root, written.scale)
    curves.look()
    written.log("tokenizer/sb", 3)
    written.artifact("tokenizer/sb", outputs={"curves.jsonl": (text + lines(3)).encode()})
    sync(written.root, written.scale)
    curves.look()  # the state is still there, and its curve has grown
    (run,) = found(written)
    assert run.info.status == "FINISHED" and steps(written, run) == [1, 2, 3]


def test_a_training_that_ends_while_a_sync_looks_around_is_seen_as_done(written, monkeypatch):
    written.begin("tokenizer/sb")
    text = written.log("tokenizer/sb", 1, 2)
    Curves(written.root, written.scale).look()
    looked = itertools.count()

    def ending_in_between(look):
        def wrapped(*arguments):
            if next(looked) == 1:
                written.artifact("tokenizer/sb", outputs={"curves.jsonl": text.encode()})
                shutil.rmtree(written.state("tokenizer/sb"))
            return look(*arguments)

        return wrapped

    for name in ("unfinished", "_records"):
        monkeypatch.setattr(tracking, name, ending_in_between(getattr(tracking, name)))
    assert sync(written.root, written.scale) == (1, 0)
    (run,) = found(written)
    assert run.info.status == "FINISHED" and steps(written, run) == [1, 2]


def test_a_follower_notices_that_somebody_else_wrote(written):
    written.begin("tokenizer/sb")
    written.log("tokenizer/sb", 1, 2)
    curves = Curves(written.root, written.scale)
    curves.look()
    written.log("tokenizer/sb", 3)
    sync(written.root, written.scale)
    written.log("tokenizer/sb", 4)
    curves.look()
    (run,) = found(written)
    assert steps(written, run) == [1, 2, 3, 4]


def test_a_training_made_again_does_not_take_the_run_of_the_last_one(written):
    written.artifact("tokenizer/sb", outputs={"curves.jsonl": curve(3)})
    written.begin("tokenizer/sb", started=500)
    written.log("tokenizer/sb", 1)
    Curves(written.root, written.scale).look()
    assert sync(written.root, written.scale) == (1, 0)
    assert [run.info.status for run in found(written)] == ["FINISHED", "RUNNING"]


def test_points_that_are_not_of_the_finished_curve_end_in_a_run_of_their_own(written):
    written.begin("tokenizer/sb")
    written.log("tokenizer/sb", 1, 2)
    Curves(written.root, written.scale).look()
    shutil.rmtree(written.state("tokenizer/sb"))
    written.artifact("tokenizer/sb", started=500, outputs={"curves.jsonl": lines(1, 2, 3, value=7.0).encode()})
    assert sync(written.root, written.scale) == (1, 0)
    runs = found(written)
    assert [run.info.status for run in runs] == ["KILLED", "FINISHED"]
    assert runs[1].data.metrics["train/mse"] == pytest.approx(7 + 1 / 3)


def test_what_was_abandoned_is_ended_and_the_trainings_of_others_are_not(written, tmp_path_factory):
    other = Written(tmp_path_factory.mktemp("other"), written.scale)
    for project in (written, other):
        project.begin("tokenizer/sb")
        project.log("tokenizer/sb", 1)
        Curves(project.root, project.scale).look()
    assert [run.info.status for run in found(written)] == ["RUNNING", "RUNNING"]
    written.begin("tokenizer/sb", fingerprint="edited-edited")  # a line of its code was changed, and it began anew
    written.log("tokenizer/sb", 1, cut=True)
    sync(written.root, written.scale)
    status = {
        (run.data.tags["tesserae.fingerprint"] == "edited-edited", run.info.status): run.data.tags["tesserae.checkout"]
        for run in found(written)
    }
    mine, theirs = ((project.root / ".tesserae/checkout").read_text() for project in (written, other))
    assert status == {(False, "KILLED"): mine, (True, "RUNNING"): mine, (False, "RUNNING"): theirs}


def test_a_curve_of_another_identity_is_not_taken_for_the_new_one(written):
    written.begin("tokenizer/sb")
    written.log("tokenizer/sb", 1, 2)
    time.sleep(0.02)
    written.begin("tokenizer/sb", fingerprint="edited-edited")  # the old curve goes when the stage has loaded its data
    Curves(written.root, written.scale).look()
    assert found(written) == []


def test_a_follower_goes_on_after_its_store_was_deleted(tmp_path, database, monkeypatch, impatient):
    file = tmp_path / "mlflow.db"
    shutil.copy(database, file)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    written = Written(tmp_path, "pocket")
    written.begin("tokenizer/sb")
    written.log("tokenizer/sb", 1)
    curves = Curves(written.root, written.scale)
    curves.look()
    file.unlink()
    shutil.copy(database, file)
    written.log("tokenizer/sb", 2)
    with pytest.raises(StoreError):
        curves.look()
    curves.look()
    (run,) = found(written)
    assert steps(written, run) == [1, 2]


def test_whatever_goes_wrong_a_follower_only_says_so(written, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setattr(following, "PAUSE_AFTER_ERROR", 0.01)
    written.begin("tokenizer/sb")
    written.log("tokenizer/sb", 1)
    looks = iter([False] * 20 + [True] * 100)
    follow(written.root, written.scale, every=0.01, until=lambda: next(looks))
    assert "StoreError" in capsys.readouterr().out


def test_a_follower_process_shows_a_curve_and_ends_with_its_starter(written):
    written.begin("tokenizer/sb")
    written.log("tokenizer/sb", 1)
    follower = start_follower(written.root, written.scale)
    try:
        # A run stands there before its first point.
        def shown() -> list[int]:
            return [step for run in found(written, "RUNNING")[:1] for step in steps(written, run)]

        until(shown, lambda: "the follower shows nothing")
        assert shown() == [1]
        assert follower.poll() is None
    finally:
        stop(follower)
    assert follower.returncode == 0
    code = "from tesserae.tracking.follow import start_follower; print(start_follower(root, scale).pid)"
    orphan = int(_python(written, code).communicate()[0])  # its starter is gone
    try:
        until(lambda: not runs(orphan), lambda: "the follower outlived its starter")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(orphan, signal.SIGKILL)
