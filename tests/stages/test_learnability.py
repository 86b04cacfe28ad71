"""The stages of AvgIG and MC on a small CompTok: numbers, what is marked instead of one, what is refused, resuming."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tesserae.config.stages import STAGES
from tesserae.lineage.measures.registry import problem
from tesserae.reporting.seeds import over_seeds
from tesserae.stages import calibration, information_gain, mode_connectivity, pairs
from tesserae.stages.shared import moving
from tesserae.stages.shared.files import read_json
from tesserae.tokenizers import comptok
from tesserae.training import weights
from tests.stages.works import work
from tests.tokenizers.test_comptok import TINY, weighing

COUNT, CLASSES = 12, 3
MODULES = {"space": "tesserae.tokenizers.comptok_space", "judged_by": "tesserae.tokenizers.comptok_judge"}
GAIN = {
    "images": 5,
    "steps": 2,
    "rate": 1e-2,
    "batch": 3,
    "drawing_steps": 10,
    "calibration_images": 8,
    "kinds": ["", "_enc", "_raw"],
    **MODULES,
}
WALK = {"batch": 3, "points": 3, "drawing_steps": 10, "real_images": 5, "encoder": "embedded", **MODULES}
WALK |= {"critic": "full", "other_critic": "other", "roles": {"": "judge", "_other": "other_judge"}}


@pytest.fixture
def data(monkeypatch):
    rng = np.random.default_rng(0)
    found = SimpleNamespace(
        images=rng.integers(0, 256, (COUNT, 16, 16, 3)).astype(np.uint8), labels=np.arange(COUNT) % CLASSES
    )
    for stage in (calibration, information_gain, mode_connectivity, pairs):
        monkeypatch.setattr(stage, "open_cache", lambda folder, split: found)
    for stage in (mode_connectivity, pairs):
        monkeypatch.setattr(stage, "pooled_features", lambda encoder, images: images.flatten(1)[:, ::8].float() + 2)
    return found


def tiny(**changes):
    """With layers that are not zero, as some are before a training."""
    torch.manual_seed(0)
    model = comptok.build(TINY | changes)
    for name, p in model.named_parameters():
        if p.ndim > 1 and not name.startswith("first_stage."):
            nn.init.normal_(p, std=p[0].numel() ** -0.5)
    return model


def saved(folder, model, settings=TINY):
    folder.mkdir(parents=True, exist_ok=True)
    kept = weights.used(model, model.state_dict())
    weights.save(folder / "weights.safetensors", kept, "tesserae.tokenizers.comptok", settings)
    return folder


def job(stage, folder, spec, inputs):
    (folder / stage).mkdir(exist_ok=True)
    return work(stage, folder / stage, spec, inputs={"dataset": folder / "few-16", **inputs})


@pytest.fixture
def made(tmp_path, data):
    """A tokenizer with its calibration, and the pairs of the data set."""
    inputs = {"tokenizer": saved(tmp_path / "full", tiny())}
    told = job("calibration", tmp_path, {"images": 8, "seed": 0, "batch": 5, **MODULES}, inputs)
    assert calibration.run(told) | {"scale": 0} == {"tokens": 4, "channels": 3, "still": 0, "scale": 0}
    paired = job("pairs", tmp_path, {"encoder": "embedded", "anchors": 4, "classes": True, "batch": 5}, {})
    assert pairs.run(paired)["pairs"] == 8
    return tmp_path, inputs, {"calibration": told.out}, {"pairs": paired.out}


# ---- pairs ------------------------------------------------------------------------------------------------------


def test_pairs_are_within_and_across_classes(made, data):
    with np.load(made[3]["pairs"] / "pairs.npz") as found:
        first, second, same = (data.labels[found["first"]], data.labels[found["second"]], found["same_class"])
        assert found["first"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and found["cosines"].shape == (8,)
    assert ((first == second) == same).all() and same.tolist() == [True, False] * 4


@pytest.mark.parametrize("labels", [-1, 0])
def test_classes_that_are_needed_and_not_there(made, data, labels):
    data.labels = np.full(COUNT, labels)
    spec = {"encoder": "embedded", "anchors": 2, "batch": 5}
    with pytest.raises(ValueError, match=r"few-16 shows fewer than two classes.*measures.learnability.data"):
        pairs.run(job("pairs", made[0], spec | {"classes": True}, {}))
    again = job("pairs", made[0], spec | {"classes": False}, {})
    assert pairs.run(again)["pairs"] == 4 and "same_class" not in np.load(again.out / "pairs.npz")


# ---- AvgIG ------------------------------------------------------------------------------------------------------


def test_avgig_of_all_starts(made):
    told = job("information_gain", made[0], GAIN, made[1] | made[2])
    values = information_gain.run(told)
    written = read_json(told.out / "metrics.json")
    assert set(values) == set(STAGES["information_gain"].values) and "without" not in written
    assert problem(written["measure"]) == "" and values == written["values"]
    assert values["avgig"] > 0 and values["avgig_literal"] == pytest.approx(values["avgig"] * 768 / 2)
    with np.load(told.out / "descents.npz") as found:
        assert found["images"].tolist() == [0, 1, 2, 3, 4] and found["errors"].shape == (3, 5)
        assert (found["errors"][0] != found["errors_enc"][0]).all()
        np.testing.assert_allclose(found["errors"][0], found["errors_raw"][0], rtol=1e-5)  # the same start


def test_avgig_of_random_starts_alone(made):
    told = job("information_gain", made[0], GAIN | {"kinds": [""]}, made[1] | made[2])
    values = information_gain.run(told)
    assert set(values) == {"avgig", "avgig_literal", "worse", "error_start", "error_end"}
    assert set(np.load(told.out / "descents.npz")) == {"images", "errors"}


def test_an_interrupted_descent_goes_on_where_it_was(made, monkeypatch):
    whole = job("information_gain", made[0], GAIN, made[1] | made[2])
    information_gain.run(whole)
    other, count, descend = made[0] / "again", [], information_gain.descend
    other.mkdir()
    told = job("information_gain", other, GAIN, made[1] | made[2])

    def stopped(*arguments, **settings):
        count.append(1)
        if len(count) == 4:
            raise KeyboardInterrupt
        return descend(*arguments, **settings)

    monkeypatch.setattr(information_gain, "descend", stopped)
    with pytest.raises(KeyboardInterrupt):
        information_gain.run(told)
    information_gain.run(told)
    assert len(count) == 4 + 3  # of 3 starts with 2 batches each, 3 were finished
    assert (told.out / "metrics.json").read_bytes().replace(b"again/", b"") == (whole.out / "metrics.json").read_bytes()


def test_starts_are_not_the_noise_that_a_decoder_draws():
    plain = information_gain.Coordinates(torch.zeros(3), torch.ones(3))
    start = information_gain.random_starts([information_gain.APART + 7], (4, 3), plain, None)
    assert not torch.equal(start[0, 0], torch.randn(3, generator=torch.Generator().manual_seed(7)))


def test_a_descent_that_diverges_has_a_reason_and_no_number(made):
    told = job("information_gain", made[0], GAIN | {"rate": 1e30}, made[1] | made[2])
    values = information_gain.run(told)
    written = read_json(told.out / "metrics.json")
    assert "avgig" not in values and written["without"]["avgig"] == written["without"]["avgig_literal"]
    assert written["without"]["avgig"].startswith("diverged, of")
    assert values.keys() | written["without"].keys() == {*STAGES["information_gain"].values}
    joined = over_seeds([written, written | {"values": values | dict.fromkeys(written["without"], 1.0), "without": {}}])
    assert "avgig" not in joined["values"] and joined["without"] == written["without"]


def test_tokens_that_never_change_have_a_reason_and_no_number(made):
    model = tiny()
    nn.init.zeros_(model.encoder2slot.weight)
    inputs = {"tokenizer": saved(made[0] / "still", model)}
    told = job("calibration", made[0], {"images": 8, "seed": 0, "batch": 5, **MODULES}, inputs)
    assert calibration.run(told)["still"] == 3
    found = job("information_gain", made[0], GAIN, inputs | {"calibration": told.out})
    assert information_gain.run(found) == {}
    reasons = read_json(found.out / "metrics.json")["without"]
    assert reasons == dict.fromkeys(STAGES["information_gain"].values, "3 of 3 channels of its tokens never change")


def test_a_decoder_without_a_gradient_is_refused(made, monkeypatch):
    images_of = moving.Moving.images_of
    monkeypatch.setattr(moving.Moving, "images_of", lambda self, seeds: torch.no_grad()(images_of(self, seeds)))
    with pytest.raises(ValueError, match="no gradient comes from the images to the tokens"):
        information_gain.run(job("information_gain", made[0], GAIN, made[1] | made[2]))


def test_tokens_of_another_tokenizer_than_the_calibration_are_refused(made):
    model = tiny(concept_tokens=5)
    inputs = {"tokenizer": saved(made[0] / "longer", model, TINY | {"concept_tokens": 5})}
    with pytest.raises(ValueError, match=r"makes 5 tokens of 3 values.*calibration is of 4 tokens of 3"):
        information_gain.run(job("information_gain", made[0], GAIN, inputs | made[2]))


# ---- MC ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def walked(made):
    torch.manual_seed(1)
    other = tiny()
    for p in other.composing.critic.parameters():
        nn.init.normal_(p, std=0.3)
    return made[1] | made[3] | {"judge": made[1]["tokenizer"], "other_judge": saved(made[0] / "other", other)}


def test_mc_by_all_judges(made, walked):
    told = job("mode_connectivity", made[0], WALK, walked)
    values = mode_connectivity.run(told)
    assert set(values) == set(STAGES["mode_connectivity"].values)
    written = read_json(told.out / "metrics.json")
    assert problem(written["measure"]) == "" and written["measure"]["critic"] == "full"
    assert all(0 <= values[f"mc{kind}"] <= 1 for kind in ("", "_other", "_features"))
    assert values["mc"] != values["mc_other"] and values["mc"] == pytest.approx(
        (values["mc_same"] + values["mc_cross"]) / 2
    )
    with np.load(told.out / "paths.npz") as found:
        assert found["losses"].shape == found["losses_features"].shape == (8, 3)
        ends, worst = found["losses"][:, [0, -1]].min(1), found["losses"].max(1)
    assert values["mc"] == pytest.approx((ends / (worst + 1e-6)).mean(), rel=1e-5)


def test_a_tokenizer_may_be_its_own_judge(made, walked):
    spec = WALK | {"roles": {"": "tokenizer"}, "other_critic": None}
    told = job("mode_connectivity", made[0], spec, {name: walked[name] for name in ("tokenizer", "pairs")})
    assert "mc_other" not in mode_connectivity.run(told)


def test_judges_and_pairs_that_do_not_fit_are_refused(made, walked, data):
    without = weighing(adversarial=0.0)
    blind = saved(made[0] / "blind", tiny(**without), TINY | without)
    with pytest.raises(ValueError, match="trained without L_AFM"):
        mode_connectivity.run(job("mode_connectivity", made[0], WALK, walked | {"judge": blind}))
    data.images, data.labels = data.images[:-1], data.labels[:-1]
    with pytest.raises(ValueError, match=r"pairs of 12 images, and few-16 has 11"):
        mode_connectivity.run(job("mode_connectivity", made[0], WALK, walked))


def test_a_judge_that_is_not_finite_gives_a_reason(made, walked):
    lost = tiny()
    nn.init.constant_(next(iter(lost.composing.critic.parameters())), float("nan"))
    told = job("mode_connectivity", made[0], WALK, walked | {"other_judge": saved(made[0] / "lost", lost)})
    values = mode_connectivity.run(told)
    assert "mc_other" not in values and "mc" in values
    assert read_json(told.out / "metrics.json")["without"]["mc_other"].startswith("not finite")
