"""Stage `teacher_features`: parts are the whole, mirror images are those of mirrored images, and its cost."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tesserae.costs import networks
from tesserae.costs.assumed import STARTED
from tesserae.costs.calibration import Rates
from tesserae.costs.gpus import GPU
from tesserae.costs.stages import Task, need
from tesserae.encoders.teachers import CHANNELS
from tesserae.stages import teacher_features
from tests.stages.works import work

IMAGES = 5
COUNTED = Rates(GPU(1.0, 1.0, 1.0, 1.0, 1.0, "one FLOP/s"), 0.0, 1.0, 0.0)


@pytest.fixture
def corpus(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), np.uint8)
    images[1] = images[0, :, ::-1]  # its mirror image
    monkeypatch.setattr(teacher_features, "open_cache", lambda folder, split: SimpleNamespace(images=images))


def features(folder, shard=1, shards=1):
    folder.mkdir()
    spec = {"teacher": "lite2", "batch": 2, "shard": shard, "shards": shards}
    job = work("teacher_features", folder, spec, inputs={"dataset": folder})
    return job.out, teacher_features.run(job)


def test_parts_are_the_whole(corpus, tmp_path):
    out, said = features(tmp_path / "whole")
    whole = np.load(out / "features.npy")
    assert said == {"images": IMAGES, "patches": 16, "width": CHANNELS["lite2"]}
    assert whole.shape == (IMAGES, 2, 17, CHANNELS["lite2"]) and whole.dtype == np.float16
    np.testing.assert_allclose(whole[0, 1], whole[1, 0], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(whole[1, 1], whole[0, 0], rtol=2e-3, atol=2e-3)
    parts = [np.load(features(tmp_path / str(k), k, 2)[0] / "features.npy") for k in (1, 2)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=2e-3, atol=2e-3)

    data = Task("dataset/x", {"image_size": 32, "train_images": IMAGES, "val_images": 1}, (), {})
    spec = {"teacher": "lite2", "batch": 2, "shard": 1, "shards": 1}
    cost = need(Task("teacher_features/x", spec, (data,), {"gpus": 1}), COUNTED)
    assert cost.disk == whole.nbytes
    image = networks.teacher("lite2", 32, 2)["flops"]["fp32"]
    assert cost.seconds - STARTED == pytest.approx(2 * IMAGES * image)


def test_features_that_float16_cannot_hold_are_refused(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_features, "teacher_features", lambda *_: torch.full((2, 4, 3), 1e5))
    with pytest.raises(OverflowError, match="65504"):
        features(tmp_path / "large")
