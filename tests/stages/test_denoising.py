"""Figures A.1 and A.2: what is decoded from damaged latents, for any tokenizer."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tesserae.metrics.reconstruction import psnr
from tesserae.stages import denoising
from tesserae.stages.denoising import denoise_sweep
from tesserae.tokenizers import detok
from tesserae.training import weights
from tests.small import DETOK
from tests.stages.works import work
from tests.tokenizers.test_detok import some_images, tiny

TAUS, RATIOS = [0.0, 0.5, 1.0], [0.0, 0.9]


def test_noise_grows_with_tau_and_is_the_same_for_all():
    model, images = tiny().eval(), some_images(3)
    rebuilt = denoise_sweep(model, images, TAUS, 2.0, seed=7)
    assert rebuilt.shape == (3, 3, 3, 32, 32)
    torch.testing.assert_close(rebuilt[0], model.decode(model.encode(images)))
    assert torch.equal(rebuilt, denoise_sweep(model, images, TAUS, 2.0, seed=7))
    alone = denoise_sweep(model, images[1:], [0.5], 2.0, seed=8)
    torch.testing.assert_close(alone[0], rebuilt[1, 1:], atol=1e-5, rtol=1e-4)
    other = denoise_sweep(model, some_images(3, seed=1), [1.0], 2.0, seed=7)
    torch.testing.assert_close(other[0], rebuilt[2])  # at tau = 1 nothing of the image is left


def test_any_tokenizer_will_do():
    class Constant(nn.Module):
        def encode(self, images):
            return torch.full((len(images), 500, 4), 8.0)

        def decode(self, tokens):
            return tokens

    z = denoise_sweep(Constant(), some_images(2), [0.25, 0.5], 3.0, seed=0)
    assert z.mean(dim=(1, 2, 3)).tolist() == pytest.approx([6, 4], abs=0.15)
    assert z.std(dim=(1, 2, 3)).tolist() == pytest.approx([0.75, 1.5], rel=0.05)
    torch.testing.assert_close((z[1] - 4) / 2, z[0] - 6)  # one draw for all levels
    assert not torch.equal(z[0, 0], z[0, 1])


@pytest.fixture
def job(tmp_path, monkeypatch):
    """The stage on 5 images and a random tokenizer, of which 4 are measured and 2 shown."""
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    monkeypatch.setattr(denoising, "open_cache", lambda folder, split: SimpleNamespace(images=images))
    weights.save(tmp_path / "weights.safetensors", tiny().state_dict(), "tesserae.tokenizers.detok", DETOK)
    spec = {"taus": TAUS, "ratios": RATIOS, "gamma": 2.0, "shown": 2, "seed": 0, "batch": 4}
    spec["tokenizer"] = "tesserae.tokenizers.detok"
    return work("denoising", tmp_path, spec, inputs={"dataset": tmp_path, "tokenizer": tmp_path})


def test_the_stage_writes_pictures_and_their_psnr(job):
    numbers = denoising.run(job)
    found = np.load(job.out / "denoising.npz")
    shapes = {name: found[name].shape for name in found.files}
    assert shapes == {
        **{"taus": (3,), "images": (3, 2, 32, 32, 3), "psnr": (3,), "originals": (2, 32, 32, 3)},
        **{"ratios": (2,), "masked_images": (2, 2, 32, 32, 3), "masked_psnr": (2,), "gamma": (), "count": ()},
    }
    assert (found["gamma"], found["count"]) == (2.0, 4)
    assert numbers["psnr_tau_0.5"] == found["psnr"][1] and numbers["psnr_mask_0.9"] == found["masked_psnr"][1]
    assert found["psnr"][0] == pytest.approx(found["masked_psnr"][0], abs=1e-4)  # no noise and no mask are the same
    assert (found["images"][0] == found["masked_images"][0]).mean() > 0.99


def test_psnr_is_a_mean_over_all_images_and_not_only_those_shown(job):
    job.spec["shown"] = 4
    denoising.run(job)
    found = np.load(job.out / "denoising.npz")
    by_hand = [psnr(found["originals"], level).mean().item() for level in found["images"]]  # of rounded images
    assert found["psnr"] == pytest.approx(by_hand, abs=0.01)


def test_a_tokenizer_that_cannot_mask_has_no_masked_images(job, monkeypatch):
    monkeypatch.delattr(detok, "mask_sweep")
    numbers = denoising.run(job)
    assert set(np.load(job.out / "denoising.npz").files) == {"taus", "images", "psnr", "originals", "gamma", "count"}
    assert list(numbers) == ["psnr_tau_0.0", "psnr_tau_0.5", "psnr_tau_1.0"]
