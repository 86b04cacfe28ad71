"""Several processes train what one trains: real processes, connected by gloo."""

import json
import os
import signal

import pytest
import torch

from tesserae.training.order import Order
from tesserae.training.processes import make_fabric
from tests.training.together import TRAINING, ended, fit, same, start, wait_for

TWINS = {  # kind -> what to train of it
    "tiny": {"batch": 8, "steps": 30},
    "detok": {"batch": 8, "steps": 8},
    "mar": {"batch": 8, "steps": 8},
}
REFUSED = {
    "microbatches": {"microbatches": 3, "batch": 6},
    "poisoned": {"microbatches": 4, "batch": 8, "poisoned": 7},
    "steep": {"kind": "steep", "microbatches": 2},
    "missing": {
        "kind": "forgetful",
        "microbatches": 2,
    },  # the last: whom it stops leaves the other waiting until it ends
}


def work(folder):
    """All that two processes can do in one go: importing torch and meeting each other takes longer than training."""
    rank = os.environ["RANK"]
    for kind, changes in TWINS.items():
        for microbatches in (2, 4):
            fit(folder / f"{kind}-{microbatches}", kind, microbatches=microbatches, **changes)
    for name, changes in ({"disagreeing": {"identity": rank, "microbatches": 2}} | REFUSED).items():
        try:
            fit(folder / name, **changes)
        except (ValueError, RuntimeError, FloatingPointError) as error:
            (folder / f"{name}.{rank}").write_text(f"{type(error).__name__}: {error}")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Where two processes did their work."""
    folder = tmp_path_factory.mktemp("two")
    processes = start(2, folder / "log", work, folder)
    assert ended(processes) == [0, 0], (folder / "log.0").read_text() + (folder / "log.1").read_text()
    return folder


def curve(folder):
    return [json.loads(line) for line in (folder / "curves.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", TWINS)
def test_two_processes_and_one_train_the_same(two, tmp_path, kind):
    """A microbatch each: the same bytes. Two microbatches each: sums in another order, so up to rounding."""
    for microbatches in (2, 4):
        fit(tmp_path / str(microbatches), kind, microbatches=microbatches, **TWINS[kind])
    assert same(two / f"{kind}-2", tmp_path / "2")
    ours, theirs = curve(tmp_path / "4"), curve(two / f"{kind}-4")
    assert len(ours) == TWINS[kind]["steps"] == len(theirs)
    for mine, other in zip(ours, theirs):
        assert mine == pytest.approx(other, rel=1e-4, abs=1e-6)
    other_noise = curve(tmp_path / "2")
    assert ours[-1] != pytest.approx(other_noise[-1], rel=1e-4, abs=1e-6)  # the tolerance can tell


def test_only_the_first_process_writes_and_reports(two):
    for kind in TWINS:
        assert {file.name for file in (two / f"{kind}-2").iterdir()} == {"state", "curves.jsonl", "weights.safetensors"}
    assert "tiny:" in (two / "log.0").read_text() and "tiny:" not in (two / "log.1").read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("microbatches", "ValueError: training.microbatches: 3 micro-batches cannot be divided by 2 processes"),
        ("disagreeing", "RuntimeError: process 1 of 2 differs from process 0 in: identity; start all from one"),
        ("steep", "FloatingPointError: steep: the gradient is not finite at step 0, group all (norm nan, bias)"),
    ],
)
def test_all_processes_refuse_alike(two, name, message):
    assert [(two / f"{name}.{rank}").read_text()[: len(message)] for rank in (0, 1)] == [message] * 2


def test_a_gradient_that_one_process_lacks_is_an_error(two):
    said = [(two / f"missing.{rank}").read_text() for rank in (0, 1) if (two / f"missing.{rank}").exists()]
    assert any("no gradient for bias; several processes need one for every parameter" in text for text in said)


def test_a_bad_sample_of_one_process_is_reported_by_all(two):
    order = Order(30, 8, TRAINING["seed"], 4)
    step, microbatch = next(
        (step, microbatch) for step in range(9) for microbatch in range(4) if 7 in order(step, microbatch)
    )
    said = [(two / f"poisoned.{rank}").read_text() for rank in (0, 1)]
    assert said[0] == said[1] and f"step {step}" in said[0] and f"micro-batch {microbatch} with" in said[0]
    report = json.loads((two / "poisoned/state/nonfinite.json").read_text())
    assert [found["microbatch"] for found in report["microbatches"]] == [microbatch]
    assert report["microbatches"][0]["ids"] == order(step, microbatch).tolist()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    fit(folder, microbatches=2)
    return folder


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_two_interrupted_processes_go_on_as_one_or_two(straight, tmp_path, number, world):
    """kill -9 of both, or SIGUSR1 to the second alone: all stop at one step, and nothing is lost."""
    processes = start(2, tmp_path / "log", fit, tmp_path, microbatches=2, slow=0.03, save_every=0.1)
    wait_for(tmp_path / "state", 11, processes)
    for process in processes if number == signal.SIGKILL else processes[1:]:
        os.kill(process.pid, number)
    assert ended(processes) == [-signal.SIGKILL if number == signal.SIGKILL else 75] * 2
    if number == signal.SIGUSR1:
        assert "asked to stop; saved step" in (tmp_path / "log.0").read_text()
    assert not (tmp_path / "weights.safetensors").exists()
    processes = start(world, tmp_path / "log", fit, tmp_path, microbatches=2)
    assert ended(processes) == [0] * world
    assert "resuming at step" in (tmp_path / "log.0").read_text()
    assert same(tmp_path, straight)


@pytest.mark.parametrize("dies", [0, 1])
def test_a_process_that_dies_leaves_no_other_waiting(tmp_path, dies):
    processes = start(2, tmp_path / "log", fit, tmp_path, microbatches=2, slow=0.03, save_every=0.1, steps=10_000)
    wait_for(tmp_path / "state", 5, processes)
    os.kill(processes[dies].pid, signal.SIGKILL)
    codes = ended(processes)
    assert codes[dies] == -signal.SIGKILL and codes[1 - dies] not in (0, 75)


def test_what_slurm_says_does_not_confuse_one_process(monkeypatch):
    for name, value in {"NTASKS": "4", "NTASKS_PER_NODE": "4", "PROCID": "2", "LOCALID": "2", "NODEID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_JOB_NAME", "tokenizer")
    fabric = make_fabric("fp32", "cpu")
    assert (fabric.world_size, fabric.global_rank, fabric.device) == (1, 0, torch.device("cpu"))
