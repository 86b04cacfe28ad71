"""Numbers of reconstructed images, of a tokenizer that loses nothing and of one that halves the contrast."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tesserae.lineage.measures.images import Images
from tesserae.lineage.measures.registry import problem
from tesserae.metrics.fidelity import statistics
from tesserae.stages import reconstruction
from tesserae.stages.shared.common import read_json
from tesserae.stages.shared.scoring import scored
from tests.stages.works import work

COUNT = 12
SPEC = {"extractor": "plain", "layer": "1", "splits": 2, "batch": 5, "rounding": "round", "shown": 3}


class Faded(nn.Module):
    """Tokens are the image itself, decoded with less contrast."""

    def __init__(self, contrast: float):
        super().__init__()
        self.contrast = contrast

    def encode(self, images):
        return images

    def decode(self, tokens):
        return self.contrast * tokens


def features_of(images):
    pixels = torch.from_numpy(np.asarray(images, dtype=np.float64)).flatten(1, 2)
    return torch.cat([pixels.mean(1), pixels.std(1)], dim=1)


@pytest.fixture
def job(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3)).astype(np.uint8)
    data = SimpleNamespace(images=images, labels=np.arange(COUNT) % 3)
    statistics(features_of(images)).save(tmp_path / "val.npz")
    monkeypatch.setattr(reconstruction, "open_cache", lambda folder, split: data)
    monkeypatch.setattr(
        reconstruction,
        "score",
        lambda images, spec, device: scored(features_of(images), features_of(images), spec["splits"]),
    )
    inputs = {"dataset": tmp_path / "few-8", "tokenizer": tmp_path, "reference": tmp_path}
    return work("reconstruction", tmp_path, SPEC, inputs=inputs)


@pytest.mark.parametrize("contrast", [1.0, 0.5])
def test_numbers_and_how_they_were_measured_are_written(job, monkeypatch, contrast):
    monkeypatch.setattr(reconstruction.weights, "load", lambda file: Faded(contrast))
    values = reconstruction.run(job)
    written = read_json(job.out / "metrics.json")
    assert written["values"] == values and set(written["deviation"]) == {"ris", "rfid"}
    assert (values["rfid"] < 1e-3) == (contrast == 1.0) == (values["psnr"] > 90)
    measure = {"extractor": "plain", "layer": "1", "reference": "few-8 val", "samples": COUNT, "splits": 2}
    measure |= {"rounding": "round", "weights": "averaged", "latents": "posterior mean"}
    assert written["measure"] == {"kind": "images", **measure} and problem(written["measure"]) == ""
    assert written["measure_id"] == Images(**measure).identity and written["selection"] is None
    assert np.load(job.out / "images.npz")["reconstructions"].shape == (3, 8, 8, 3)
