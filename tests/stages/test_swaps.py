"""The stage of swapped tokens on a small CompTok: numbers and pictures, what there is not, resuming."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tesserae.config.stages import MISSED, STAGES
from tesserae.lineage.measures.registry import problem
from tesserae.stages import swaps
from tesserae.stages.shared.files import read_json
from tesserae.tokenizers import comptok, comptok_reading
from tesserae.training import weights
from tests.stages.works import work
from tests.tokenizers.batches import seeded
from tests.tokenizers.test_comptok import TINY, weighing

COUNT, PAIRS = 9, 6
SPEC = {
    "space": "tesserae.tokenizers.comptok_space",
    "judged_by": "tesserae.tokenizers.comptok_judge",
    "read_by": "tesserae.tokenizers.comptok_reading",
    "role": "tokenizer",
    "critic": "full",
    "encoder": "embedded",
    "columns": 5,
    "pairs": 4,
    "sensitivity_pairs": 2,
    "shown": 3,
    "seed": 0,
    "batch": 2,
    "drawing_steps": 10,
    "real_images": 4,
}


def tiny(**changes):
    """With layers that are not zero, as some are before a training."""
    torch.manual_seed(0)
    model = comptok.build(TINY | changes)
    for name, p in model.named_parameters():
        if p.ndim > 1 and not name.startswith("first_stage."):
            nn.init.normal_(p, std=p[0].numel() ** -0.5)
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("full"), tiny()
    kept = weights.used(model, model.state_dict())
    weights.save(folder / "weights.safetensors", kept, "tesserae.tokenizers.comptok", TINY)
    return folder


@pytest.fixture
def job(tmp_path, tokenizer, monkeypatch):
    """Makes a job of the stage, with its pairs."""
    rng = np.random.default_rng(0)
    data = SimpleNamespace(
        images=rng.integers(0, 256, (COUNT, 16, 16, 3)).astype(np.uint8), labels=np.arange(COUNT) % 3
    )
    monkeypatch.setattr(swaps, "open_cache", lambda folder, split: data)
    monkeypatch.setattr(swaps, "pooled_features", lambda encoder, images: images.flatten(1)[:, ::8])
    folder = tmp_path / "pairs"
    folder.mkdir()
    np.savez(folder / "pairs.npz", first=np.array([0, 0, 1, 1, 2, 2]), second=np.array([3, 4, 5, 6, 7, 8]))
    features = data.images.transpose(0, 3, 1, 2).reshape(COUNT, -1)[:, ::8] / 127.5 - 1
    np.save(folder / "features.npy", features.astype(np.float16))

    def made(name, **changes):
        (tmp_path / name).mkdir()
        inputs = {"dataset": tmp_path / "few-16", "tokenizer": tokenizer, "pairs": folder}
        return work("swaps", tmp_path / name, SPEC | changes, inputs=inputs)

    made.data = data
    return made


def test_rows_of_pictures_and_what_they_say(job):
    told = job("one")
    values = swaps.run(told)
    written = read_json(told.out / "metrics.json")
    assert set(values) == set(STAGES["swaps"].values) and values == written["values"]
    assert problem(written["measure"]) == "" and written["measure"]["samples"] == 4
    assert {path.name for path in told.out.iterdir()} == set(STAGES["swaps"].files)
    assert all(values[f"{name}{order}"] >= 0 for name in ("ratio", "worst", "turn") for order in ("", "_prefix"))
    assert values["ratio"] <= 1 and values["worst"] >= values["end"] and 0 <= values["neglected"] <= 100
    curves = written["curves"]
    assert set(curves) == {f"{name}{order}" for name in ("loss", "first", "second") for order in ("", "_prefix")} | {
        "missed",
        "missed_8bit",
    }
    assert all(len(curve) == 5 for curve in curves.values())
    assert curves["loss"][0] == curves["loss_prefix"][0] and curves["loss"][-1] == curves["loss_prefix"][-1]
    with np.load(told.out / "swaps.npz") as found:
        assert found["shares"].tolist() == [0, 0.25, 0.5, 0.75, 1] and found["sensitivities"].shape == (2, 4)
        # The first, the second and the fourth of six pairs, for four are asked for.
        assert np.array_equal(found["first"], job.data.images[[0, 0, 1]])
        assert np.array_equal(found["second"], job.data.images[[3, 4, 6]])
        for name in ("pictures", "pictures_prefix"):
            assert found[name].shape == (3, 5, 16, 16, 3)
        assert np.array_equal(found["pictures"][:, [0, -1]], found["pictures_prefix"][:, [0, -1]])
        assert not np.array_equal(found["pictures"], found["pictures_prefix"])


def test_pictures_do_not_depend_on_the_batch_and_an_interrupted_job_goes_on(job, monkeypatch):
    whole = job("whole")
    swaps.run(whole)
    told, calls, looked = job("again", batch=3), [], swaps.swapped

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 3:  # in the second batch
            raise KeyboardInterrupt
        return looked(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(swaps, "swapped", stopped)
        swaps.run(told)
    swaps.run(told)
    one, other = (read_json(each.out / "metrics.json") for each in (whole, told))
    assert one["values"] == pytest.approx(other["values"], rel=1e-3, abs=1e-5)
    with np.load(whole.out / "swaps.npz") as a, np.load(told.out / "swaps.npz") as b:
        assert all(np.abs(a[name].astype(float) - b[name]).max() <= 1 for name in ("pictures", "pictures_prefix"))


def test_what_is_not_finite_has_no_number(job, monkeypatch):
    monkeypatch.setattr(swaps, "critic_of", lambda *_: lambda images: images.flatten(1).mean(1) * torch.nan)
    told = job("nan", read_by=None)
    values = swaps.run(told)
    without = read_json(told.out / "metrics.json")["without"]
    assert set(values) == {"sensitivity", "neglected"}
    assert set(without) == set(STAGES["swaps"].values) - set(values) - set(MISSED)


def test_what_q_reads_in_a_picture():
    model, tokens = tiny().requires_grad_(False), torch.randn(3, 4, 3, generator=seeded())
    tokens = comptok.spread_of_one(tokens)
    before, after = comptok_reading.missed(model, tokens, seeds=[0, 1, 2], steps=10)
    alone = comptok_reading.missed(model, tokens[1:2], seeds=[1], steps=10)
    torch.testing.assert_close(torch.stack(alone), torch.stack((before, after))[:, 1:2], rtol=1e-2, atol=1e-3)
    assert (before != after).all()
    model.composing.recogniser.forward = lambda maps: torch.zeros(3, 4, 3)
    for missed in comptok_reading.missed(model, tokens, seeds=[0, 1, 2], steps=10):
        torch.testing.assert_close(missed, torch.ones(3))  # blind
    blind = comptok.build(TINY | weighing(information=0.0, swapped_information=0.0))
    with pytest.raises(ValueError, match="trained without L_MI"):
        comptok_reading.missed(blind, tokens, seeds=[0, 1, 2], steps=10)
