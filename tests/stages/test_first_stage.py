"""A tokenizer that draws in the latents of another one is given its network, and a group may have its own optimizer."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tesserae.nn.latent_autoencoder import LatentAutoencoder
from tesserae.stages import tokenizer
from tesserae.tokenizers import comptok
from tesserae.training import weights
from tesserae.training.loop import group_lr, learner_of, of_group
from tesserae.workflow.graph.tokenizers import tokenizer_spec_of
from tests.config.test_comptok import project, spec_of
from tests.stages.works import work
from tests.tokenizers.test_comptok import TINY
from tests.training.together import TRAINING

CRITIC = {
    "lr": 5e-4,
    "betas": [0.0, 0.9],
    "weight_decay": 0.01,
    "clip": 5.0,
    "decay": "constant",
    "warmup_steps": 0,
    "muon": None,
}
MODEL = TINY | {"auxiliary_start_step": 1, "loss_weights": TINY["loss_weights"] | {"representation": 0.0}}
SPEC = {
    "module": "tesserae.tokenizers.comptok",
    "model": MODEL,
    "training": TRAINING | {"steps": 3, "batch": 4, "groups": {"critic": CRITIC}},
}


@pytest.fixture(autouse=True)
def corpus(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3)).astype(np.uint8)
    data = SimpleNamespace(images=images, labels=np.arange(7) % 3)
    monkeypatch.setattr(tokenizer, "open_cache", lambda folder, split: data)


def test_the_first_stage_is_taken_and_never_trained(tmp_path):
    torch.manual_seed(3)
    stage = LatentAutoencoder(**MODEL["first_stage"])
    (tmp_path / "vae").mkdir()
    save_file(stage.state_dict(), tmp_path / "vae/weights.safetensors")
    job = work("tokenizer", tmp_path, SPEC, inputs={"dataset": tmp_path, "first_stage": tmp_path / "vae"})
    tokenizer.run(job)
    found = load_file(job.out / "weights.safetensors")
    for name, tensor in stage.state_dict().items():
        assert torch.equal(found[f"first_stage.{name}"], tensor)
    model = weights.load(job.out / "weights.safetensors")
    assert model.latent_scale != 1 and model.composing.adversarial_square > 0


def test_what_a_kl_vae_saves_is_what_is_taken():
    here = project("smoke")
    spec = tokenizer_spec_of(here, here.tokenizers["mar_vae"]).values
    vae = importlib.import_module(spec["module"]).build(spec["model"])
    model = comptok.build(spec_of("comptok", "smoke")["model"])
    images = 2 * torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 1
    with torch.no_grad():
        model.take_first_stage(weights.used(vae, vae.state_dict()), images)
        latents = model.latents(images)
        wanted = vae.to_maps(vae.encode(images))
        torch.testing.assert_close(model.maps(latents) / model.latent_scale, wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.images(latents), vae.decode(vae.encode(images)), rtol=1e-4, atol=1e-5)


def test_a_group_may_have_its_own_optimizer():
    training = SPEC["training"]
    learner = learner_of(comptok.build(MODEL), training)
    (critic,), (other,) = (learner.optimizers[group]._all for group in ("critic", "autoencoder"))
    assert critic.defaults["betas"] == (0.0, 0.9) and other.defaults["betas"] == tuple(training["betas"])
    assert [group["weight_decay"] for group in critic.param_groups] == [0.01]
    rates = [group_lr(of_group(training, "critic"), step, "critic") for step in range(3)]
    assert rates == [5e-4] * 3 and of_group(training, "autoencoder") == training
