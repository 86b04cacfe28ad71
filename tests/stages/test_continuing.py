"""A training that goes on from another one, through the stage: what it takes, what is new, how it is resumed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tesserae.controls.patches import fit_components
from tesserae.data.floats import float_images
from tesserae.stages import tokenizer
from tesserae.training import loop, weights
from tests.stages.test_first_stage import CRITIC, MODEL
from tests.stages.works import work
from tests.training.together import TRAINING

MODULE = "tesserae.tokenizers.comptok"
COMPONENTS = {"patch": 2, "components": 4}
NONE = {"information": 0.0, "swapped_information": 0.0, "adversarial": 0.0}
PLAIN = MODEL | {
    "first_stage": COMPONENTS,
    "loss_weights": MODEL["loss_weights"] | NONE,
    "recogniser": None,
    "critic": None,
    "auxiliary_start_step": None,
}
BASE = {"module": MODULE, "model": PLAIN, "training": TRAINING | {"steps": 3, "batch": 4}}
FULL = {
    "module": MODULE,
    "model": MODEL | {"first_stage": COMPONENTS, "auxiliary_start_step": 0},
    "training": TRAINING | {"steps": 3, "batch": 4, "groups": {"critic": CRITIC}},
}


@pytest.fixture(autouse=True)
def images(monkeypatch):
    """Seven pictures of noise."""
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3)).astype(np.uint8)
    data = SimpleNamespace(images=images, labels=np.arange(7) % 3)
    monkeypatch.setattr(tokenizer, "open_cache", lambda folder, split: data)
    return images


def trained(folder, spec, **inputs):
    folder.mkdir(exist_ok=True)
    job = work("tokenizer", folder, spec, inputs={"dataset": folder, **inputs})
    tokenizer.run(job)
    return job.out, load_file(job.out / "weights.safetensors")


def test_components_are_those_of_the_training_images(tmp_path, images):
    out, found = trained(tmp_path, BASE)
    fitted = fit_components(images, 8, 4)
    torch.testing.assert_close(found["first_stage.basis"], fitted.basis)
    model, seen = weights.load(out / "weights.safetensors"), float_images(images, torch.device("cpu"))
    rebuilt = model.images(model.latents(seen))
    error = (rebuilt - seen).square().sum() / (7 * 64)  # of a patch
    assert error.item() == pytest.approx(fitted.discarded, rel=1e-3)
    assert model.latents(seen).var().item() == pytest.approx(1.0, rel=0.02)


def test_a_training_goes_on_with_new_losses(tmp_path):
    base, before = trained(tmp_path / "base", BASE)
    _, still = trained(tmp_path / "still", FULL | {"training": FULL["training"] | {"lr": 1e-30}}, continued=base)
    assert still.keys() > before.keys()
    assert {name.split(".")[0] for name in still.keys() - before.keys()} == {"composing"}
    assert all(torch.allclose(still[name], before[name], rtol=0, atol=1e-20) for name in before)
    _, after = trained(tmp_path / "full", FULL, continued=base)
    moved = {name.split(".")[0] for name in before if not torch.equal(after[name], before[name])}
    assert moved == {"encoder", "encoder2slot", "dit"}
    _, anew = trained(tmp_path / "anew", FULL)
    assert not torch.equal(anew["encoder2slot.weight"], after["encoder2slot.weight"])


def test_an_interrupted_one_does_not_start_from_the_base_again(tmp_path, monkeypatch):
    base, _ = trained(tmp_path / "base", BASE)
    _, straight = trained(tmp_path / "straight", FULL, continued=base)
    asked = loop.StopRequest
    monkeypatch.setattr(loop, "StopRequest", lambda: SimpleNamespace(requested=1.0, agreed=75, agree=lambda sum: None))
    with pytest.raises(loop.Interrupted):
        trained(tmp_path / "resumed", FULL, continued=base)
    monkeypatch.setattr(loop, "StopRequest", asked)
    _, resumed = trained(tmp_path / "resumed", FULL, continued=base)
    assert resumed.keys() == straight.keys()
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)


def test_only_what_losses_add_may_be_missing(tmp_path):
    base, _ = trained(tmp_path / "base", BASE)
    deeper = FULL | {"model": FULL["model"] | {"decoder": MODEL["decoder"] | {"blocks": 2}}}
    with pytest.raises(ValueError, match=r"disagree on \['dit.blocks.1"):
        trained(tmp_path / "full", deeper, continued=base)
