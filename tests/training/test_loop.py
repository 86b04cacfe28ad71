"""Stopping changes nothing: killed and resumed runs end in the same bytes as straight ones."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tesserae.training import weights
from tesserae.training.loop import make_fabric, train
from tesserae.training.order import Order, seed_step
from tesserae.training.schedule import learning_rate
from tesserae.training.state import Checkpoints

TRAINING = {
    "steps": 40,
    "batch": 4,
    "rate": 1e-3,
    "warmup_steps": 4,
    "decay": "cosine",
    "betas": [0.9, 0.95],
    "weight_decay": 0.1,
    "clip": 1.0,
    "ema": 0.9,
    "precision": "fp32",
    "seed": 3,
}


class Tiny(torch.nn.Module):
    """Two optimizers, dropout and noise: everything whose state could be lost."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 6))
        self.critic = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))

    def losses(self, batch, step, rng):
        x = batch["x"] + 0.1 * torch.randn(batch["x"].shape, generator=rng)
        out = self.body(x)
        yield "body", {"mse": (out - batch["x"]).square().mean(), "adversarial": -0.01 * self.critic(out).mean()}
        self.critic.zero_grad()
        yield "critic", {"hinge": (1 + self.critic(out.detach())).relu().mean()}

    def parameter_groups(self):
        return {name: list(getattr(self, name).named_parameters()) for name in ("body", "critic")}

    def no_weight_decay(self, name, parameter):
        return parameter.ndim < 2


def fit(folder: Path, state: Path, slow: float = 0.0, **changes):
    training = {**TRAINING, **changes}
    data = torch.from_numpy(np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32))
    order = Order(len(data), training["batch"], training["seed"])

    def source(step, rng):
        time.sleep(slow)
        return {"x": data[order(step)]}

    torch.manual_seed(training["seed"])
    folder.mkdir(parents=True, exist_ok=True)
    trained = train(
        Tiny(),
        source,
        training,
        fabric=make_fabric("fp32", "cpu"),
        state=state,
        identity="same",
        curves=folder / "curves.jsonl",
        title="tiny",
    )
    weights.save(folder / "weights.safetensors", trained.weights, "none", {})
    return trained


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    fit(folder, folder / "state")
    return folder


@pytest.mark.parametrize("kind", ["kill", "terminate"])
@pytest.mark.parametrize("at", [3, 17, 31])
def test_interrupted_training_ends_in_the_same_bytes(straight, tmp_path, kind, at):
    """kill -9 (falls back to the last checkpoint) and SIGTERM (saves first) in mid-training, then run again."""
    code = (
        f"from tests.training.test_loop import fit; from pathlib import Path; "
        f"fit(Path({str(tmp_path)!r}), Path({str(tmp_path / 'state')!r}), slow=0.03)"
    )
    environment = {**os.environ, "TESSERAE_CHECKPOINT_SECONDS": "0.1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    saved = tmp_path / "state" / "same"
    deadline = time.monotonic() + 60
    while not any(int(file.stem) >= at for file in saved.glob("*.pt")):
        assert process.poll() is None and time.monotonic() < deadline, "ended before it could be interrupted"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
    assert process.wait(30) != 0
    assert not (tmp_path / "weights.safetensors").exists()
    fit(tmp_path, tmp_path / "state")
    for name in ("weights.safetensors", "curves.jsonl"):
        assert (tmp_path / name).read_bytes() == (straight / name).read_bytes()


def test_same_seed_same_bytes_and_another_seed_others(straight, tmp_path):
    fit(tmp_path / "a", tmp_path / "a" / "state")
    fit(tmp_path / "b", tmp_path / "b" / "state", seed=4)
    files = [folder / "weights.safetensors" for folder in (straight, tmp_path / "a", tmp_path / "b")]
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


def test_the_curve_has_one_line_per_step_and_names_the_terms(straight):
    lines = [json.loads(line) for line in (straight / "curves.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, TRAINING["steps"] + 1))
    assert {"mse", "adversarial", "hinge", "lr", "images"} <= set(lines[0])


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match="tiny: the loss is not finite at step"):
        fit(tmp_path, tmp_path / "state", rate=1e30, clip=None, warmup_steps=0)
    assert not (tmp_path / "curves.jsonl").exists()


def test_state_of_another_identity_is_not_resumed(tmp_path):
    Checkpoints(tmp_path, "old").save(5, {"x": torch.ones(1)})
    assert Checkpoints(tmp_path, "new").newest() is None
    assert not (tmp_path / "old").exists()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path, "a")
    for step in (1, 2, 3):
        checkpoints.save(step, {"x": torch.full((1000,), float(step))})
    assert len(list(checkpoints.folder.glob("*.pt"))) == 2
    newest = checkpoints.folder / "000000003.pt"
    newest.write_bytes(newest.read_bytes()[:500])
    with pytest.warns(UserWarning, match="falling back"):
        assert checkpoints.newest()["step"] == 2


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5), st.integers(1, 3))
def test_an_epoch_sees_every_sample_at_most_once(count, batch, seed, world):
    batch = min(batch, count)
    batch -= batch % world
    if batch == 0:
        return
    shares = [Order(count, batch, seed, rank=rank, world=world) for rank in range(world)]
    seen = np.concatenate([share(step) for step in range(count // batch) for share in shares])
    assert len(set(seen.tolist())) == len(seen) == count // batch * batch
    whole = Order(count, batch, seed)
    assert sorted(whole(0)) == sorted(np.concatenate([share(0) for share in shares]))


def test_impossible_batches_are_refused():
    with pytest.raises(ValueError, match="lower the batch"):
        Order(3, 4, 0)
    with pytest.raises(ValueError, match="cannot be shared"):
        Order(30, 4, 0, world=3)


def test_the_noise_of_a_step_depends_on_the_step_alone():
    draw = [
        torch.randn(3, generator=seed_step(0, rank, step, torch.device("cpu")))
        for rank, step in ((0, 5), (0, 6), (1, 5), (0, 5))
    ]
    assert torch.equal(draw[0], draw[3])
    assert not torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])


@given(st.integers(2, 1000), st.floats(0, 0.9))
def test_schedule_warms_up_and_ends_at_zero(steps, share):
    warmup = int(share * steps)
    rates = [learning_rate(s, rate=1.0, steps=steps, warmup_steps=warmup, decay="cosine") for s in range(steps + 1)]
    assert rates[-1] == pytest.approx(0, abs=1e-9) and max(rates) == pytest.approx(1, abs=1e-6)
    assert rates[:warmup] == sorted(rates[:warmup]) and rates[warmup:] == sorted(rates[warmup:], reverse=True)
    if warmup:
        assert rates[0] == 0
    assert learning_rate(steps, rate=1.0, steps=steps, warmup_steps=0, decay="constant") == 1
