"""VA-VAE: the network and the objective against official numbers, and what the alignment reaches."""

import pytest
import torch

from tesserae.tokenizers.first_stage import Reconstruction
from tesserae.tokenizers.kl_vae_weights import load_official
from tesserae.tokenizers.va_vae import build
from tests import golden
from tests.tokenizers.batches import all_losses, seeded, some_images
from tests.tokenizers.test_kl_vae import TINY as FIRST_STAGE
from tests.tokenizers.test_kl_vae import assert_official_numbers

TINY = FIRST_STAGE | {
    "latent_patch": 1,
    "decoder_attention": True,
    "foundation": "embedded",
    "alignment": {"weight": 0.1, "cosine_margin": 0.5, "distance_margin": 0.25},
}
PUBLISHED = {"image_size": 256, "channels": 128, "multipliers": [1, 1, 2, 2, 4], "res_blocks": 2, "latent_channels": 32}
GOLDEN = golden.load("va_vae")


def tiny(**changes):
    torch.manual_seed(0)
    return build(TINY | changes)


@pytest.fixture(scope="module")
def official():
    model = tiny(channels=128, latent_channels=4, gan_start_step=10, discriminator={"channels": 16, "layers": 2})
    state = golden.state_by_name(GOLDEN["keys"], GOLDEN["scale"])
    extra = {name: torch.zeros(1) for name in ("loss.logvar", "linear_proj.weight", "foundation_model.model.cls_token")}
    assert load_official(model, state | extra) == 3
    golden.fill_by_name(model.discriminator, 0.05)
    model.linear_proj.weight.data = golden.seeded_array("linear_proj.weight", (112, 4, 1, 1), 0.5)
    model.features = lambda network, images, grid: golden.seeded_array("features", (2, 112, grid, grid))
    return model.train()


@torch.no_grad()
def test_official_numbers(official):
    assert_official_numbers(official, GOLDEN)
    official.train()


@pytest.mark.parametrize(("key", "adversarial"), [("losses", False), ("adversarial_losses", True)])
def test_official_objective(official, key, adversarial):
    wanted = GOLDEN[key]
    images = golden.seeded_array("images", (2, 3, 16, 16), 0.5).clamp(-1, 1)
    posterior = official.posterior(images)
    output = Reconstruction(official.decode(posterior.mode()), posterior, posterior.mode())
    terms = official.terms(images, output, adversarial)
    assert set(terms) == set(wanted) - {"total", "hinge", "gradients"}
    for name, term in terms.items():
        assert term.item() == pytest.approx(wanted[name], rel=1e-4), name
    official.zero_grad()
    total = sum(terms.values())
    total.backward()
    assert total.item() == pytest.approx(wanted["total"], rel=1e-5)
    named = dict(official.named_parameters())
    for name, norm in wanted["gradients"].items():
        assert named[name].grad.norm().item() == pytest.approx(norm, rel=1e-3), name


def test_official_discriminator_loss(official):
    images = golden.seeded_array("images", (2, 3, 16, 16), 0.5).clamp(-1, 1)
    official.eval()  # no sampling; the discriminator normalises by its batch as ever
    official.discriminator.train()
    hinge = all_losses(official, images, step=10)["discriminator"]["hinge"]
    assert hinge.item() == pytest.approx(GOLDEN["adversarial_losses"]["hinge"], rel=1e-4)
    official.train()


def test_published_size():
    with torch.device("meta"):
        model = build(TINY | PUBLISHED | {"foundation": "dinov2"})
    used = {name: p for name, p in model.named_parameters() if not name.startswith(model.TRAINING_ONLY)}
    assert len(used) == 342
    assert sum(p.numel() for p in used.values()) == 69_836_067
    assert model.linear_proj.weight.shape == (1024, 32, 1, 1)
    assert (model.tokens, model.latent_channels) == (256, 32)


def test_alignment_reaches_encoder_and_map_but_not_the_decoder():
    model = tiny().train()
    terms = all_losses(model, some_images())["autoencoder"]
    assert set(terms) == {"reconstruction", "kl", "alignment"}
    terms["alignment"].backward()
    reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"encoder", "quant_conv", "linear_proj"}


def test_alignment_is_balanced_at_the_encoders_last_layer():
    terms, model = {}, tiny()
    terms = all_losses(model, some_images())["autoencoder"]
    last = model.encoder.conv_out.weight
    pulls = [
        torch.autograd.grad(terms[name], last, retain_graph=True)[0].norm() for name in ("reconstruction", "alignment")
    ]
    assert (pulls[1] / pulls[0]).item() == pytest.approx(0.1, rel=0.05)


def test_every_parameter_gets_a_gradient_at_every_step():
    model = tiny(gan_start_step=1).train()
    for step in (0, 1):
        model.zero_grad(set_to_none=True)
        for group, terms in model.losses({"images": some_images()}, step, seeded()):
            sum(terms.values()).backward()
            assert all(p.grad is not None for _, p in model.parameter_groups()[group])


def test_latents_are_aligned_before_they_are_corrupted():
    seen = []
    for gamma in (0.0, 3.0):
        model = tiny(gamma=gamma).train()
        model.linear_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
        all_losses(model, some_images())
    assert torch.equal(*seen)


def test_decoder_fine_tuning_aligns_nothing():
    model = tiny().train()
    model.freeze_encoder()
    assert "alignment" not in all_losses(model, some_images())["autoencoder"]
    assert {name.split(".")[0] for name, _ in model.parameter_groups()["autoencoder"]} == {"decoder", "post_quant_conv"}


def test_frozen_network_is_no_part_of_the_state():
    model = tiny()
    all_losses(model, some_images())
    extra = {name for name in model.state_dict() if name.startswith(model.TRAINING_ONLY)}
    assert extra == {"linear_proj.weight"}
    assert len(model.state_dict()) == len(GOLDEN["keys"]) + 1
    with pytest.raises(ValueError, match="clip"):
        tiny(foundation="clip")
