"""Stopping changes nothing: killed and resumed runs end in the same bytes as straight ones."""

import json
import random
import signal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tesserae.training.order import Order, Stream
from tesserae.training.running import Running
from tesserae.training.schedule import learning_rate
from tests.training.together import TRAINING, ended, fit, same, start, wait_for


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    fit(folder)
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("at", [3, 17, 31])
def test_interrupted_training_ends_in_the_same_bytes(straight, tmp_path, number, at):
    """kill -9 (falls back to the last checkpoint) and SIGTERM (saves first) in mid-training, then run again."""
    processes = start(1, tmp_path / "log", fit, tmp_path, slow=0.03, save_every=0.1)
    wait_for(tmp_path / "state", at, processes)
    processes[0].kill() if number == signal.SIGKILL else processes[0].terminate()
    assert ended(processes) == [-signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM]
    assert not (tmp_path / "weights.safetensors").exists()
    fit(tmp_path)
    assert same(tmp_path, straight)


def test_same_seed_same_bytes_and_another_seed_others(straight, tmp_path):
    fit(tmp_path / "a")
    fit(tmp_path / "b", seed=4)
    assert same(straight, tmp_path / "a") and not same(straight, tmp_path / "b")


def test_the_curve_has_one_line_per_step_and_names_the_terms(straight):
    lines = [json.loads(line) for line in (straight / "curves.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, TRAINING["steps"] + 1))
    assert {"mse", "adversarial", "hinge", "lr", "images"} <= set(lines[0])


# ---- what is fitted to averaged weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("microbatches", [1, 2])
def test_a_model_settles_with_averaged_weights_on_the_first_batches(tmp_path, microbatches):
    plain = fit(tmp_path / "plain", "plain", microbatches=microbatches)
    found = fit(tmp_path / "settling", "settling", microbatches=microbatches)
    assert all(torch.equal(found.weights[name], plain.weights[name]) for name in plain.weights)
    order, data = Order(30, 4, TRAINING["seed"], microbatches), np.random.default_rng(0).standard_normal((30, 6))
    parts = [(step, part) for step in range(3) for part in range(microbatches)][:3]
    samples = torch.from_numpy(data[np.concatenate([order(*one) for one in parts])][:10]).float()
    wanted = (samples @ found.weights["weight"].T + found.weights["bias"]).mean().item()
    assert found.weights["said"].item() == found.numbers["said"] == pytest.approx(wanted, abs=1e-6)
    assert set(found.numbers) - set(plain.numbers) == {"said"}


def test_a_budget_survives_an_interruption(tmp_path):
    straight = fit(tmp_path / "a", "tatok", steps=6)
    with pytest.raises(OSError, match="unreadable"):
        fit(tmp_path / "b", "tatok", steps=6, breaks_at=3, save_every=0.0)
    resumed = fit(tmp_path / "b", "tatok", steps=6)
    assert same(tmp_path / "a", tmp_path / "b") and straight.numbers.keys() == resumed.numbers.keys()
    assert resumed.numbers["settled_tokens"] == pytest.approx(9.0, abs=0.05)
    assert resumed.weights["epsilon"].item() == resumed.numbers["settled_epsilon"]


# ---- microbatches of a batch, one after another ---------------------------------------------------------------------


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path):
    whole = fit(tmp_path / "1", "plain", batch=8).weights
    cut = fit(tmp_path / "4", "plain", batch=8, microbatches=4).weights
    assert all(torch.allclose(whole[name], cut[name], rtol=0, atol=1e-6) for name in whole)
    curves = [[json.loads(x)["mse"] for x in (tmp_path / f"{n}/curves.jsonl").read_text().splitlines()] for n in (1, 4)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-5) and curves[0][0] > curves[0][-1]


def test_running_statistics_of_shares_are_their_mean():
    """One pass over each microbatch from the same start, averaged; not one after another."""
    norm = torch.nn.BatchNorm1d(2)
    microbatches, running = torch.randn(3, 5, 2), Running(norm, 3)
    for microbatch in microbatches:
        with running.microbatch():
            norm(microbatch)
    running.settle()
    assert torch.allclose(norm.running_mean, 0.1 * microbatches.mean((0, 1)), atol=1e-6)
    assert torch.allclose(norm.running_var, 0.9 + 0.1 * microbatches.var(1).mean(0), atol=1e-6)
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("kind", ["tiny", "detok"])
def test_batches_prepared_ahead_change_nothing(tmp_path, kind):
    for ahead in (0, 3):
        fit(tmp_path / str(ahead), kind, microbatches=2, steps=8, ahead=ahead)
    assert same(tmp_path / "0", tmp_path / "3")


@pytest.mark.parametrize("ahead", [0, 3])
def test_an_unreadable_sample_stops_the_run_at_its_step(tmp_path, ahead):
    with pytest.raises(OSError, match="unreadable"):
        fit(tmp_path, breaks_at=7, ahead=ahead)
    assert len((tmp_path / "state/same/curves.jsonl").read_text().splitlines()) == 7


# ---- losses that are not finite -------------------------------------------------------------------------------


def test_a_loss_that_blows_up_stops_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match=r"tiny: the loss is not finite at step \d+, group"):
        fit(tmp_path, lr=1e30, clip=None, warmup_steps=0)
    assert not (tmp_path / "curves.jsonl").exists()


def test_a_bad_sample_is_named_with_its_share_and_terms(tmp_path):
    order = Order(30, 4, TRAINING["seed"], 2)
    bad = int(order(5, 1)[0])
    step = next(step for step in range(6) if bad in order(step, 0) or bad in order(step, 1))
    microbatch = 0 if bad in order(step, 0) else 1
    with pytest.raises(FloatingPointError) as raised:
        fit(tmp_path, microbatches=2, poisoned=bad)
    report = json.loads((tmp_path / "state/nonfinite.json").read_text())
    assert (report["step"], report["group"]) == (step, "body") and "mse" in report["not_finite"]
    (found,) = report["microbatches"]
    assert found["microbatch"] == microbatch and found["ids"] == order(step, microbatch).tolist()
    assert found["terms"]["mse"] in ("inf", "nan")
    for part in (f"step {step}", "mse", str(bad), "nonfinite.json", "lower the learning rate"):
        assert part in str(raised.value)
    fit(tmp_path, microbatches=2)
    assert not (tmp_path / "state/nonfinite.json").exists()


def test_a_gradient_that_is_not_finite_is_named(tmp_path):
    with pytest.raises(FloatingPointError, match=r"steep: the gradient is not finite at step 0.*norm nan, bias"):
        fit(tmp_path, "steep")
    report = json.loads((tmp_path / "state/nonfinite.json").read_text())
    assert report["gradients"] == ["bias"] and report["gradient_norm"] == "nan" and report["not_finite"] == []


# ---- order, noise, learning rate --------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5), st.integers(1, 3))
def test_an_epoch_sees_every_sample_at_most_once(count, batch, seed, microbatches):
    batch = min(batch, count)
    batch -= batch % microbatches
    if batch == 0:
        return
    order, whole = Order(count, batch, seed, microbatches), Order(count, batch, seed, 1)
    seen = np.concatenate(
        [order(step, microbatch) for step in range(count // batch) for microbatch in range(microbatches)]
    )
    assert len(set(seen.tolist())) == len(seen) == count // batch * batch
    assert sorted(whole(0, 0)) == sorted(np.concatenate([order(0, microbatch) for microbatch in range(microbatches)]))


def test_impossible_batches_are_refused():
    with pytest.raises(ValueError, match="lower the batch"):
        Order(3, 4, 0, 1)
    with pytest.raises(ValueError, match=r"training\.microbatches: a batch of 4 has no 3 equal micro-batches"):
        Order(30, 4, 0, 3)


def draws(stream: Stream, count: int) -> list[float]:
    """From the stream's own generator and from the three global ones."""
    with stream:
        numpys = np.random.random(count).tolist()  # noqa: NPY002
        return (
            torch.rand(count, generator=stream.rng).tolist() + torch.rand(count).tolist() + numpys + [random.random()]
        )


def test_the_noise_of_a_share_depends_on_step_and_share_alone():
    streams = [
        Stream(0, microbatch, step, torch.device("cpu")) for microbatch, step in ((0, 5), (0, 6), (1, 5), (0, 5))
    ]
    first, *others, again = [draws(stream, 3) for stream in streams]
    assert first == again
    assert not any(set(first) & set(other) for other in others)


def test_shares_take_turns_without_disturbing_each_other():
    alone, mine, other = (Stream(0, microbatch, 5, torch.device("cpu")) for microbatch in (0, 0, 1))
    straight = [draws(alone, 2), draws(alone, 2)]
    turns = []
    for _ in range(2):
        turns.append(draws(mine, 2))
        draws(other, 3)
    assert turns == straight


@given(st.integers(2, 1000), st.floats(0, 0.9))
def test_schedule_warms_up_and_ends_at_zero(steps, microbatch):
    warmup = int(microbatch * steps)
    rates = [learning_rate(s, lr=1.0, steps=steps, warmup_steps=warmup, decay="cosine") for s in range(steps + 1)]
    assert rates[-1] == pytest.approx(0, abs=1e-9) and max(rates) == pytest.approx(1, abs=1e-6)
    assert rates[:warmup] == sorted(rates[:warmup]) and rates[warmup:] == sorted(rates[warmup:], reverse=True)
    if warmup:
        assert rates[0] == 0
    assert learning_rate(steps, lr=1.0, steps=steps, warmup_steps=0, decay="constant") == 1
