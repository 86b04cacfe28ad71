"""Costs of the stages that look at tokenizers of crops: passes of the network, by hand."""

import pytest

from tesserae.costs import networks
from tesserae.costs.assumed import STARTED
from tesserae.costs.counts import count
from tesserae.costs.stages import Task, need
from tests.costs.test_concepts import ASKED, COUNTED
from tests.small import COMIT, FLEXTOK_LIKE

IMAGES = 6
MODULE = "tesserae.tokenizers.comit"
EVALUATION = {"extractor": "embedded", "layer": "320", "batch": 2, "shown": 2}


def seconds(stage: str, spec: dict) -> float:
    """At one FLOP a second, without what the extractor takes."""
    counts = {"train_images": 1, "val_images": IMAGES, "image_size": 32}
    dataset = Task("dataset/x", counts, (), ASKED)
    tokenizer = Task("tokenizer/x", {"module": MODULE, "model": COMIT}, (dataset,), ASKED)
    found = need(Task(f"{stage}/x", EVALUATION | spec, (dataset, tokenizer), ASKED), COUNTED)
    assert found.memory > 0 and found.disk > 0
    points = (
        len({*spec.get("steps", [])} | {3}) + len({*spec.get("guidance", [])} | {2.0}) - 1 if spec.get("steps") else 1
    )
    features = count("features", extractor="embedded", batch=2)["flops"]
    return found.seconds - STARTED - points * IMAGES * COUNTED.seconds(features)


@pytest.fixture(scope="module")
def coded() -> dict[str, float]:
    found = count("coding", MODULE, model=COMIT, batch=2)
    return {half: COUNTED.seconds(found[half]) for half in ("encode", "decode")}


@pytest.mark.parametrize(("order", "views"), [("raster", 1), ("adaptive", 4)])
def test_a_policy_encodes_each_crop_and_an_adaptive_one_draws_as_often(coded, order, views):
    found = seconds("looks", {"policy": {"order": order, "crops": 4, "whole": True}})
    passes = 2 * COMIT["sampling"]["steps"]  # with guidance each step is two
    one = 4 * coded["encode"] + coded["decode"] * (1 + views / passes)
    assert found == pytest.approx(IMAGES * one)


def test_a_point_of_a_sweep_costs_its_own_passes(coded):
    swept = {"steps": [1, 6], "guidance": [1.0, 4.0], "at_steps": 3, "at_guidance": 2.0, "curve_points": None}
    passes = (2 * 3) + (2 * 1) + (2 * 6) + (1 * 3) + (2 * 3)  # the recipe's own; steps; guidance, of which 1 is none
    one = coded["encode"] + coded["decode"] * passes / (2 * 3)
    assert seconds("drawing_sweep", swept) == pytest.approx(IMAGES * one)


def test_avgig_takes_four_decodes_of_few_steps_for_each_step_and_mc_one_for_each_point(coded):
    counts = {"train_images": 1, "val_images": IMAGES, "image_size": 32, "classes": 2}
    dataset = Task("dataset/x", counts, (), ASKED)
    own = Task("tokenizer/x", {"module": MODULE, "model": COMIT}, (dataset,), ASKED)
    critic = Task("tokenizer/a", {"module": MODULE, "model": COMIT | {"depth": 1}}, (dataset,), ASKED)
    pairs = Task("pairs/x", {"encoder": "embedded", "anchors": 3, "batch": 2}, (dataset,), ASKED)
    drawn = coded["decode"] * 10 / (2 * COMIT["sampling"]["steps"])
    told = {"batch": 2, "drawing_steps": 10}
    spec = told | {"images": 4, "steps": 5, "kinds": ["", "_enc"]}
    found = need(Task("information_gain/x", spec, (dataset, critic, own), ASKED), COUNTED)
    assert found.seconds - STARTED == pytest.approx(2 * 4 * 5 * 4 * drawn + 4 * coded["encode"])
    spec = told | {"points": 11, "encoder": "embedded"}
    found = need(Task("mode_connectivity/x", spec, (dataset, critic, pairs, own), ASKED), COUNTED)
    features = COUNTED.seconds(count("pooled", encoder="embedded", batch=2)["flops"])
    assert found.seconds - STARTED == pytest.approx(2 * 3 * (2 * coded["encode"] + 11 * (drawn + features)))
    assert need(pairs, COUNTED).seconds - STARTED == pytest.approx(IMAGES * features)


@pytest.mark.parametrize(
    ("module", "model", "drawn"),
    [(MODULE, COMIT, "sampling"), ("tesserae.tokenizers.flextok_like", FLEXTOK_LIKE, "flow")],
)
def test_steps_that_are_alike_are_counted_once(monkeypatch, module, model, drawn):
    model = model | {drawn: model[drawn] | {"steps": 6}}
    told = networks.coding(module, model, 2)
    monkeypatch.setattr(networks, "FEW", 6)
    each = networks.coding(module, model, 2)
    assert told["decode"] == pytest.approx(each["decode"])
    assert told["peak"] == pytest.approx(each["peak"], rel=1e-3)  # all times of a drawing are a few numbers more
