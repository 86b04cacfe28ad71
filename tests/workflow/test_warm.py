"""A job is the same job in a child of the warm parent and in an interpreter of its own."""

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tesserae.config.stages import STAGES
from tesserae.workflow import client, warm
from tests.waiting import runs, until
from tests.workflow.test_runner import FOLDER, STAGE, with_body

CLIENT = "src/tesserae/workflow/client.py"


@pytest.fixture
def toy(copy):
    (copy.root / "src/tesserae/stages/dataset.py").write_text(STAGE)
    return copy


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """A warm parent that preloads little, so that the test is quick; the mechanism is the same."""
    started = warm.start(tmp_path / "warm.log", preload=("numpy", "json"))
    yield os.environ["TESSERAE_WARM"]
    warm.stop(started)


def ready(parent: str) -> None:
    until(lambda: not os.path.exists(parent + ".starting"), lambda: "the parent does not get ready")
    assert os.path.exists(parent)


def ask(toy, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-I", "-S", CLIENT, *arguments],
        cwd=toy.root,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(toy.root / "src"), **environment},
    )


def test_warm_and_cold_runs_leave_the_same_bytes(toy, parent):
    ready(parent)
    contents = []
    for path in (parent, ""):
        done = ask(toy, "dataset", "emoji-32", TESSERAE_WARM=path)
        assert done.returncode == 0, done.stderr
        files = (toy.root / FOLDER).iterdir()
        contents.append({file.name: file.read_bytes() for file in files if file.name != "manifest.json"})
    assert len(contents[0]) == 6 and contents[0] == contents[1]


def test_a_failing_job_gives_its_message_and_code(toy, parent):
    with_body(toy, "raise RuntimeError('the disk is full')")
    ready(parent)
    done = ask(toy, "dataset", "emoji-32", TESSERAE_WARM=parent)
    assert done.returncode == 1 and "the disk is full" in done.stderr


def test_a_job_ends_with_its_client(toy, parent):
    with_body(toy, "import time, pathlib; pathlib.Path('started').touch(); time.sleep(3600)")
    ready(parent)
    client = subprocess.Popen(
        [sys.executable, "-I", "-S", CLIENT, "dataset", "emoji-32"],
        cwd=toy.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(toy.root / "src")},
    )
    until((toy.root / "started").exists, lambda: "the job does not start")
    client.kill()
    client.wait()
    until(lambda: not _working_in(toy.root), lambda: "the job outlived its client")
    assert not (toy.root / FOLDER / "manifest.json").exists()


def test_a_job_ends_with_the_process_that_waits_beside_it(toy, parent):
    with_body(
        toy,
        "import os, time, pathlib; pathlib.Path('aside').write_text(str(os.getppid())); "
        "os.rename('aside', 'started'); time.sleep(3600)",
    )
    ready(parent)
    client = subprocess.Popen(
        [sys.executable, "-I", "-S", CLIENT, "dataset", "emoji-32"],
        cwd=toy.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(toy.root / "src")},
    )
    until((toy.root / "started").exists, lambda: "the job does not start")
    os.kill(int((toy.root / "started").read_text()), signal.SIGKILL)
    assert client.wait() != 0
    until(lambda: not _working_in(toy.root), lambda: "the job is left alone")
    assert not list((toy.root / FOLDER.parent).glob(".*"))  # it was asked to end, and cleaned up


def _working_in(folder) -> list[str]:
    """Processes whose working folder is `folder`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/cwd") == str(folder):
                found.append(pid)
    return found


def test_a_parent_that_starts_is_waited_for_by_stages_that_need_torch(tmp_path):
    path = str(tmp_path / "warm")
    starting = Path(path + ".starting")
    starting.write_text("dataset\ntable")
    assert client._connect(path, "table") is None  # at once
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client._connect, path, "tables")
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        starting.unlink()  # it gave up
        assert waiting.result(10) is None


def test_a_parent_says_which_stages_need_no_torch(tmp_path, monkeypatch):
    monkeypatch.setattr(warm.subprocess, "Popen", lambda *_, **__: None)  # it never comes
    monkeypatch.setattr(warm.tempfile, "tempdir", str(tmp_path))  # nor takes its folder away
    monkeypatch.setenv("TESSERAE_WARM", "")
    warm.start(tmp_path / "warm.log")
    path = os.environ["TESSERAE_WARM"]
    assert set(Path(path + ".starting").read_text().split()) == {
        name for name, stage in STAGES.items() if not stage.torch
    }
    assert client._connect(path, "report") is None


def test_the_parent_ends_with_its_starter(tmp_path):
    code = (
        "from tesserae.workflow import warm; from pathlib import Path; "
        f"print(warm.start(Path({str(tmp_path / 'log')!r}), preload=('json',)).pid)"
    )
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    until(lambda: not runs(pid), lambda: "the parent outlived its starter")


def test_a_system_that_cannot_watch_its_jobs_has_no_warm_parent(monkeypatch):
    monkeypatch.delenv("TESSERAE_WARM", raising=False)
    assert warm.wanted() == hasattr(os, "pidfd_open")
    monkeypatch.delattr(os, "pidfd_open", raising=False)  # macOS
    assert not warm.wanted()
