"""Locks die with their holder; one process at a time makes an artifact, one run at a time a scale."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from tesserae.lineage import manifest as manifests
from tesserae.workflow import engine, locks, runs
from tests.waiting import until

DATASET = "results/smoke/dataset/emoji_few-32/index.json"
MAKE = ("tesserae.workflow.runner", "dataset", "emoji_few-32", "--scale", "smoke")
SNAKEMAKE = ("snakemake", DATASET, "--config", "scale=smoke")
GONE = f"{platform.node()}|999999999|long ago"  # a run, in the environment of its jobs


@pytest.fixture
def gated(toys):
    """Jobs of `dataset` wait for the test; what still waits when it ends goes on and ends."""
    toys.target = DATASET
    toys.gate("dataset")
    yield toys
    toys.open()


def held(file) -> subprocess.Popen:
    """Another process that holds a lock until it is killed."""
    code = (
        "import signal, sys, time; from pathlib import Path; from tesserae.workflow import locks\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever started the tests may ignore it
        "with locks.holding(Path(sys.argv[1]), locks.this_process(what='test')):\n"
        "    print('held', flush=True); time.sleep(999)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path):
    file = tmp_path / "folder" / "lock"
    process = held(file)
    holder = locks.holder_of(file)
    assert (holder.pid, holder.host, holder.about) == (process.pid, platform.node(), {"what": "test"}) and holder.runs
    with pytest.raises(locks.Occupied, match=f"process {process.pid} on "), locks.holding(file, locks.this_process()):
        pass
    process.kill()
    process.wait()
    assert locks.holder_of(file) is None and not holder.runs
    with locks.holding(file, locks.this_process()) as before:
        assert before == holder and locks.holder_of(file).pid == os.getpid()
    assert not file.exists()
    with locks.holding(file, locks.this_process()) as before:
        assert before is None


def test_who_waits_gets_the_lock_that_is_in_place(tmp_path):
    """The file goes with its holder: a lock on the file that was taken away is none."""
    file, asked = tmp_path / "lock", []
    process = held(file)

    def occupied(holder):
        asked.append(holder)
        process.send_signal(signal.SIGINT)  # ends it in an orderly way: it takes the file away
        process.wait()

    with locks.holding(file, locks.this_process(), occupied) as before:
        assert before.pid == process.pid == asked[0].pid and file.exists()
        assert locks.holder_of(file).pid == os.getpid()


def test_a_process_number_that_was_given_again_is_another_process():
    us = locks.this_process()
    assert us.runs and not locks.Holder(us.host, us.pid, "earlier", us.since).runs
    assert not locks.Holder("elsewhere", us.pid, us.started, us.since).runs


def test_a_run_that_another_host_did_not_end_is_named_until_it_is_forgotten(tmp_path):
    file = runs.lock_file(tmp_path, "smoke")
    file.parent.mkdir()
    file.write_text(json.dumps({"host": "elsewhere", "pid": 7, "started": "x", "since": "2026-01-02T03:04:05+00:00"}))
    for attempt in (runs.verify_none, lambda *where: runs.alone(*where).__enter__()):
        with pytest.raises(runs.Running, match=r"process 7 on elsewhere.*reproduce --unlock"):
            attempt(tmp_path, "smoke")
    runs.forget(tmp_path, "smoke")
    runs.verify_none(tmp_path, "smoke")
    with runs.alone(tmp_path, "smoke"), pytest.raises(runs.Running, match=f"kill {os.getpid()}"):
        runs.forget(tmp_path, "smoke")


def test_a_second_job_takes_what_the_first_makes(gated):
    first = gated.start(*MAKE)
    until(gated.began, lambda: "the job does not begin")
    second = gated.start(*MAKE)
    assert f"is being made by process {first.pid} on" in second.stdout.readline()
    gated.open()
    assert first.wait() == 0 and second.wait() == 0
    assert f"taken as process {first.pid}" in second.stdout.read() and gated.began() == [first.pid]


def test_a_job_of_another_version_is_waited_for_or_stopped_if_its_run_is_gone(gated):
    orphan = gated.start(*MAKE, TESSERAE_RUN=GONE)
    until(gated.began, lambda: "the job does not begin")
    gated.version("dataset", 2)
    second = gated.start(*MAKE)
    assert "left by a run that is gone: stopping it" in second.stdout.readline()
    assert orphan.wait() == 143
    until(lambda: len(gated.began()) == 2, lambda: "the second job does not begin")
    gated.version("dataset", 3)
    third = gated.start(*MAKE)
    assert f"waiting until it ends (to stop it: kill {second.pid})" in third.stdout.readline()
    second.kill()
    gated.open()
    assert third.wait() == 0, third.stdout.read()
    assert gated.manifest("dataset/emoji_few-32")["metrics"] == {"version": 3}
    assert not [*(gated.root / "results/smoke/dataset").glob(".*")]  # what the killed one left


def test_a_run_names_one_that_is_under_way(gated):
    run = gated.start(*SNAKEMAKE)
    until(gated.began, lambda: "the run does not begin")
    named = f"a run at scale smoke is under way: process {run.pid} on {platform.node()}"
    for done in (gated.tesserae("reproduce", DATASET), gated.snakemake(), gated.snakemake("--unlock")):
        assert done.returncode == 1 and named in done.stdout + done.stderr
    gated.open()
    assert run.wait() == 0, run.stdout.read()


def test_a_killed_run_blocks_nothing_and_its_job_is_not_started_twice(gated):
    run = gated.start(*SNAKEMAKE)
    until(gated.began, lambda: "the run does not begin")
    run.kill()
    run.wait()
    again = gated.start("tesserae.cli.main", "--scale", "smoke", "reproduce", DATASET)
    log = gated.root / "results/smoke/dataset/emoji_few-32/stage.log"
    until(lambda: log.exists() and "waiting for its result" in log.read_text(), lambda: "the orphan is not seen")
    gated.open()
    said = again.communicate()[0]
    assert again.returncode == 0 and "Taking away the lock of a run that was killed" in said
    assert f"{DATASET} at scale smoke is up to date" in said and len(gated.began()) == 1


def test_snakemake_ends_when_it_is_asked_to_while_it_holds_its_own_lock():
    """A signal's handler runs in the thread that holds it."""
    scheduler = SimpleNamespace(_lock=threading.Lock(), _open_jobs=threading.Semaphore(0), _user_kill=None)
    with scheduler._lock:
        engine._exit_gracefully(scheduler, signal.SIGTERM, None)
        assert scheduler._user_kill is None
    assert scheduler._open_jobs.acquire(timeout=60) and scheduler._user_kill == "graceful"


def test_a_lost_terminal_leaves_nothing_that_must_be_unlocked(gated):
    run = gated.start(*SNAKEMAKE)
    until(gated.began, lambda: "the run does not begin")
    os.killpg(run.pid, signal.SIGHUP)
    run.wait()
    gated.open()
    done = gated.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [*(gated.root / "results/smoke/dataset").glob(".*")]


RUN = ("tesserae.cli.main", "--scale", "smoke", "reproduce", DATASET)
HOLD = "(root / 'at').touch() or [__import__('time').sleep(1) for _ in iter((root / 'gate').exists, True)]\n"
# Moments, each with a command, a file of the project's code and a line of it before or after which the moment is.
MOMENTS = {
    "the run is about to begin": (RUN, "launch.py", "", "    last_run.begin(plan, statuses, names)\n"),
    "one file of an artifact is in its place": (
        MAKE,
        "runner.py",
        "",
        "            os.replace(making / name, folder / name)\n",
    ),
    "the files are there, and no manifest": (MAKE, "runner.py", "    manifests.write(folder / manifests.NAME", ""),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_same_command_goes_on_after_a_death_at_any_moment(toys, moment):
    """`kill -9` of all of it."""
    command, file, before, after = MOMENTS[moment]
    line = before or after
    indent = " " * (len(line) - len(line.lstrip()))
    hold = indent + (HOLD.replace("root", "plan.project.root") if file == "launch.py" else HOLD)
    toys.edit(f"src/tesserae/workflow/{file}", line, f"{after}{hold}{before}")
    killed = toys.start(*command)
    until(lambda: (toys.root / "at").exists(), lambda: "the moment does not come")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    toys.open()
    again = toys.python("-m", *command, TESSERAE_WARM="off")
    assert again.returncode == 0, again.stdout + again.stderr
    for entry in toys.manifest("dataset/emoji_few-32")["outputs"]:
        assert manifests.describe(toys.root / entry["path"], toys.root) == entry
    assert not [*(toys.root / "results/smoke/dataset").glob(".*")]
    assert "is stale" in toys.tesserae("stale", DATASET).stdout
