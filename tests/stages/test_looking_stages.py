"""Stages that look at tokenizers of crops, on one that draws what it saw, and grey where it did not look."""

import json
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from tesserae import sweeps
from tesserae.lineage.measures.registry import problem
from tesserae.metrics.fidelity import statistics
from tesserae.metrics.reconstruction import psnr
from tesserae.stages import drawing_sweep, looks
from tesserae.stages.shared import recoding
from tesserae.stages.shared.scoring import scored
from tesserae.tokenizers import comit_looking as looking
from tests.stages.test_filtering_stages import features_of
from tests.stages.works import work

COUNT, SIDE, CROP = 7, 16, 6  # crops begin at 0, 5 and 10: neighbours share a pixel
EVALUATION = {"extractor": "plain", "layer": "1", "splits": 2, "batch": 3, "rounding": "round"}
SWEEP = EVALUATION | {"steps": [1, 2, 5, 20], "guidance": [1.0, 3.0, 9.0], "at_steps": 10, "at_guidance": 4.0}


class Told(NamedTuple):
    vectors: torch.Tensor
    offsets: torch.Tensor


class Window(nn.Module):
    """Its message is the image where it looked, and grey elsewhere. More steps and a guidance of 4 draw better."""

    image_size, crop, vocabulary = SIDE, CROP, 256
    sampling = {"steps": 10, "guidance": 4.0, "solver": "euler"}

    def told(self, images, policy):
        looking.checked(policy, SIDE, CROP)
        seen, place = torch.zeros_like(images), None
        if policy.whole:
            seen, place = images.clone(), images.new_zeros(len(images), 2)
        for cells in looking.fixed_cells(images, policy).unbind(1) if policy.order != "global" else ():
            starts = looking.corners(SIDE, CROP)[cells]
            for image, (left, top) in enumerate(starts.tolist()):
                area = np.s_[image, :, top : top + CROP, left : left + CROP]
                seen[area] = images[area]
            place = looking.places_of(starts, SIDE, CROP)
        return Told(seen, -place)

    def drawn(self, told, *, steps, guidance):
        return told.vectors + 0.2 / steps + 0.02 * abs(guidance - 4)

    def encode(self, images, *, rng=None):
        return ((images + 1) * 127.5).round().long().flatten(1)

    def decode_by(self, codes, steps, guidance):
        images = codes.unflatten(1, (3, SIDE, SIDE)) / 127.5 - 1
        return self.drawn(Told(images, None), steps=steps, guidance=guidance)


@pytest.fixture
def job(monkeypatch, tmp_path):
    images = np.random.default_rng(0).integers(0, 200, (COUNT, SIDE, SIDE, 3)).astype(np.uint8)
    monkeypatch.setattr(recoding, "open_cache", lambda folder, split: SimpleNamespace(images=images))
    monkeypatch.setattr(recoding.weights, "load", lambda file: Window())
    plain = lambda images, spec, device: scored(features_of(images), features_of(images), spec["splits"])
    monkeypatch.setattr(recoding, "score", plain)
    statistics(features_of(images)).save(tmp_path / "val.npz")
    inputs = {"dataset": tmp_path / "noise-16", "tokenizer": tmp_path, "reference": tmp_path}

    def made(stage: str, spec: dict):
        return SimpleNamespace(work=work(stage, tmp_path, spec, inputs=inputs), images=images)

    return made


def written(job) -> dict:
    found = json.loads((job.out / "metrics.json").read_text())
    assert problem(found["measure"]) == ""
    return found


# ---- looks --------------------------------------------------------------------------------------------------------


def asked(job, order: str, crops: int, whole: bool):
    policy = {"order": order, "crops": crops, "whole": whole}
    made = job("looks", EVALUATION | {"shown": 3, "policy": policy})
    values = looks.run(made.work)
    assert values == written(made.work)["values"]
    return made.images, values, np.load(made.work.out / "looks.npz")


def grey_but(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Images (K, S, S, 3), grey outside their boxes (C, K, 4)."""
    found = np.full(images.shape, 127.5)
    for crop in boxes:
        for image, (left, top, width, height) in enumerate(crop):
            area = np.s_[image, top : top + height, left : left + width]
            found[area] = images[area]
    return found


@pytest.mark.parametrize("order", ["raster", "random"])
def test_a_view_shows_what_was_seen_by_then(job, order):
    images, values, found = asked(job, order, 4, False)
    assert (found["originals"] == images[[0, 3, 6]]).all()
    boxes = found["boxes"]
    assert boxes.shape == (4, 3, 4) and (boxes[..., 2:] == CROP).all()
    assert len({tuple(box) for box in boxes[:, 0].tolist()}) == 4
    if order == "raster":
        assert boxes[:, 0, :2].tolist() == [[0, 0], [5, 0], [10, 0], [0, 5]]  # left before top
    for crops in range(1, 5):
        told = grey_but(found["originals"], boxes[:crops])
        shift = 127.5 * (0.2 + 0.02 * 3)  # what one step without guidance adds
        assert np.abs(found["views"][crops - 1] - (told + shift).clip(0, 255)).max() <= 1
    assert (np.diff(found["view_psnr"], axis=0) > 0).all()
    assert values["psnr"] > values["view_psnr"]
    assert found["reconstructions"].shape == (3, SIDE, SIDE, 3)


def test_the_first_crop_may_be_the_whole_image(job):
    images, values, found = asked(job, "raster", 3, True)
    assert found["boxes"][0].tolist() == [[0, 0, SIDE, SIDE]] * 3
    assert found["boxes"][1:, 0, :2].tolist() == [[0, 0], [5, 0]]
    assert np.abs(found["reconstructions"] - (images[[0, 3, 6]] + 127.5 * 0.02)).max() <= 1
    _, alone, _ = asked(job, "global", 1, True)
    assert alone["psnr"] == pytest.approx(values["psnr"]) and alone["rfid"] == pytest.approx(values["rfid"])


def test_what_a_policy_never_sees_lowers_both_numbers(job):
    _, few, _ = asked(job, "raster", 2, False)
    _, all_, _ = asked(job, "raster", 9, False)
    assert few["psnr"] < all_["psnr"] and few["rfid"] > all_["rfid"]


def test_a_policy_that_there_is_not_is_refused(job):
    with pytest.raises(ValueError, match=r"a policy of 10 crops .* there are from 1 to 9"):
        asked(job, "raster", 10, False)


# ---- sweeps -------------------------------------------------------------------------------------------------------


def test_one_setting_is_swept_while_the_other_is_the_recipes(job):
    made = job("drawing_sweep", SWEEP | {"curve_points": None})
    values, told = drawing_sweep.run(made.work), written(made.work)
    assert values == told["values"] and told["own"] == [10, 4.0]
    steps, guidance = told["curves"]["steps"], told["curves"]["guidance"]
    assert steps["at"] == [1, 2, 5, 10, 20] and guidance["at"] == [1.0, 3.0, 4.0, 9.0]
    own = made.images / 255 + 0.01
    assert values["psnr"] == pytest.approx(psnr(made.images, (2 * own - 1)).mean().item(), abs=0.01)
    assert steps["psnr"][3] == guidance["psnr"][2] == values["psnr"]
    assert sorted(steps["rfid"], reverse=True) == steps["rfid"] and sorted(steps["psnr"]) == steps["psnr"]
    assert (values["best_steps"], values["best_guidance"]) == (20, 4)
    assert values["rfid_best_steps"] == steps["rfid"][-1] and values["rfid_best_guidance"] == values["rfid"]


@pytest.mark.parametrize(
    ("points", "wanted"), [(None, [1, 2, 5, 10, 20]), (9, [1, 2, 5, 10, 20]), (2, [2, 10, 20]), (1, [5, 10]), (0, [10])]
)
def test_a_scale_sweeps_as_many_points_as_it_can_beside_the_recipes_own(points, wanted):
    assert sweeps.levels([1, 2, 5, 20, 10], 10, points) == wanted
    found = sweeps.points_of(SWEEP | {"curve_points": points})
    assert found[0] == (10, 4.0) and len(found) == len({*found})
    assert sorted(steps for steps, guidance in found if guidance == 4.0) == wanted
