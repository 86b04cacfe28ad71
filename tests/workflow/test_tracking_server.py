"""The export to a real MLflow server on loopback: runs, files and a curve that grows, over HTTP."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tesserae.tracking.follow import Curves
from tesserae.tracking.store import StoreError
from tesserae.tracking.sync import sync, sync_if_new
from tests.waiting import until
from tests.workflow.tracked import Written, curve


@dataclass
class Server:
    """A running `mlflow server`."""

    address: str
    process: subprocess.Popen

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        """End it and its workers, which are a process group of their own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def server(tmp_path):
    """An `mlflow server` with a database and a folder for files of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = tmp_path / "server"
    place.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{place / 'mlflow.db'}",
        "--artifacts-destination",
        str(place / "files"),
    ]
    with open(place / "log", "w") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=place,
            start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )

    def said() -> str:
        return (place / "log").read_text()[-3000:]

    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        until(lambda: server.answers() or process.poll() is not None, said)
        assert process.poll() is None, said()
        yield server
    finally:
        server.stop()


def test_a_server_gets_all_runs_once_and_may_go_away(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    written = Written(tmp_path / "project", "pocket")
    count = written.road()
    before = written.hashes()
    assert sync(written.root, "pocket") == (count, 0)
    assert sync(written.root, "pocket") == (0, count)
    assert sync_if_new(written.root, "pocket") == "MLflow: nothing new"
    assert written.hashes() == before
    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name("detok/pocket")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert len(runs) == count - 1
    table = runs["detok_table_1"].info.run_id
    assert {file.path for file in client.list_artifacts(table)} == {
        "manifest.json",
        "table.csv",
        "table.html",
        "table.md",
    }
    assert Path(client.download_artifacts(table, "table.csv", str(tmp_path))).read_text() == "a,b\n1,2\n"
    assert len(client.get_metric_history(runs["sit"].info.run_id, "train/mse")) == 10
    assert runs["sit-cfg · metrics"].data.tags["mlflow.parentRunId"] == runs["sit"].info.run_id

    written.begin("tokenizer/bb")
    written.log("tokenizer/bb", 1, 2, 3)
    curves = Curves(written.root, "pocket")
    curves.look()
    (live,) = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    assert len(client.get_metric_history(live.info.run_id, "train/mse")) == 3
    written.log("tokenizer/bb", 4)
    curves.look()
    written.artifact("tokenizer/bb", outputs={"curves.jsonl": curve(5)})
    shutil.rmtree(written.state("tokenizer/bb"))
    assert sync(written.root, "pocket") == (1, count)
    done = client.get_run(live.info.run_id)
    assert done.info.status == "FINISHED"
    history = client.get_metric_history(live.info.run_id, "train/mse")
    assert sorted(entry.step for entry in history) == [1, 2, 3, 4, 5]

    written.artifact("denoising/sb", "tokenizer/sb", started=100)
    before = written.hashes()

    def take_away() -> bool:
        """Asked before each run, when the sync has seen what the server has."""
        server.stop()
        return False

    with pytest.raises(StoreError, match="Results are complete without it"):
        sync(written.root, "pocket", stop=take_away)
    assert written.hashes() == before
