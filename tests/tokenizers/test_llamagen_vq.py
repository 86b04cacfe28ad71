"""LlamaGen's tokenizer: parity with the official code's numbers, codes, losses, published weights, settings."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from tesserae.config.errors import ConfigError
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Tokens
from tesserae.config.systems import llamagen_vq as settings
from tesserae.quantizers.entropy import entropy_loss
from tesserae.quantizers.vector import squared_distances
from tesserae.tokenizers.llamagen_vq import build
from tesserae.tokenizers.llamagen_vq_weights import load_official, our_name, read_official
from tests import golden
from tests.golden import assert_golden
from tests.small import LLAMAGEN_VQ as TINY
from tests.tokenizers.batches import all_losses, seeded, some_images

GOLDEN = golden.load("llamagen_vq")
OFFICIAL = {
    "channels": 128,
    "multipliers": [1, 1, 2],
    "latent_channels": 16,
    "codebook_size": 64,
    "code_width": 8,
    "entropy_ratio": 0.1,
    "gan_start_step": 5,
}


def tiny(**changes):
    torch.manual_seed(0)
    return build(TINY | changes)


# ---- parity -----------------------------------------------------------------------------------------------------


def official(**changes):
    """The model of the golden numbers, and the images they were measured on."""
    model = tiny(**OFFICIAL | changes)
    load_official(model, golden.state_by_name(GOLDEN["keys"], GOLDEN["scale"]))
    golden.fill_by_name(model.discriminator, 0.05)
    return model, golden.seeded_array("images", (2, 3, 16, 16), 0.5).clamp(-1, 1)


@torch.no_grad()
def test_official_codes_and_images():
    model, images = official()
    assert_golden(F.normalize(model.latents(images), dim=2), GOLDEN["latents"])
    assert model.encode(images).tolist() == GOLDEN["codes"]
    assert len({code for row in GOLDEN["codes"] for code in row}) > 8  # not all the same
    assert_golden(model.decode(2 * torch.arange(32).view(2, 16)), GOLDEN["decoded"])
    assert_golden(model(images).images, GOLDEN["reconstruction"])


@pytest.mark.parametrize(
    ("wanted", "step", "adaptive"), [("losses", 0, False), ("adversarial", 5, False), ("adaptive", 5, True)]
)
def test_official_losses_and_gradients(wanted, step, adaptive):
    wanted = GOLDEN[wanted]
    model, images = official(adaptive_gan=adaptive)
    model.train().perceptual_loss = lambda target, prediction: (target - prediction).abs().mean()
    groups = model.losses({"images": images}, step, seeded())
    _, terms, _ = next(groups)
    total = sum(terms.values())
    for name in ("reconstruction", "codebook", "commitment", "entropy"):
        assert terms[name].item() == pytest.approx(wanted[name], rel=1e-4)
    assert total.item() == pytest.approx(wanted["total"], rel=1e-4)
    total.backward()
    parameters = dict(model.named_parameters())
    for name, norm in wanted["gradients"].items():
        assert parameters[our_name(name, 3)].grad.norm().item() == pytest.approx(norm, rel=1e-3)
    if step:
        model.zero_grad()
        _, terms = next(groups)
        terms["hinge"].backward()
        assert terms["hinge"].item() == pytest.approx(wanted["hinge"], rel=1e-4)
        norm = model.discriminator.main[0].weight.grad.norm().item()
        assert norm == pytest.approx(wanted["discriminator_gradient"], rel=1e-3)


@pytest.mark.parametrize(
    ("multipliers", "grid", "parameters"), [([1, 1, 2, 2, 4], 16, 71_883_403), ([1, 2, 2, 4], 32, 70_109_835)]
)
def test_published_sizes(multipliers, grid, parameters):
    published = {"image_size": 256, "channels": 128, "res_blocks": 2, "latent_channels": 256}
    with torch.device("meta"):
        model = build(TINY | published | {"multipliers": multipliers, "codebook_size": 16384, "code_width": 8})
    assert sum(p.numel() for p in model.parameters()) == parameters  # printed: 72M and 70M
    assert (model.tokens, model.vocabulary) == (grid**2, 16384)


# ---- codes ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_codes_stand_row_by_row_and_each_names_its_nearest_direction():
    model, images = tiny(), some_images()
    model.quantize.embedding.weight.mul_(torch.linspace(0.1, 9, 32)[:, None])  # lengths do not matter
    codes = model.encode(images)
    maps = model.quant_conv(model.encoder(images))  # (B, W, G, G)
    entries = model.quantize.embedding.weight[None, :, :, None, None]
    cosine = F.cosine_similarity(maps[:, None], entries, dim=2)
    assert torch.equal(codes, cosine.argmax(dim=1).flatten(1))
    assert len(codes.unique()) > 4
    assert torch.equal(codes, model(images).quantized.codes)
    torch.testing.assert_close(model(images).images, model.decode(codes))


def test_initial_codebook_has_unit_length_and_every_direction():
    codebook = tiny(codebook_size=2048).quantize.embedding.weight
    torch.testing.assert_close(codebook.norm(dim=1), torch.ones(2048))
    assert codebook.mean(dim=0).abs().max() < 0.05


# ---- losses -----------------------------------------------------------------------------------------------------


def test_terms_are_weighted_means():
    weights = {"reconstruction": 2.0, "perceptual": 0.5, "quantizer": 3.0, "gan": 0.0}
    model, images = tiny(loss_weights=weights, entropy_ratio=0.1), some_images()
    seen = []
    model.perceptual_loss = lambda *pair: seen.append(pair) or torch.tensor(0.25)
    terms = all_losses(model, images)["autoencoder"]
    assert list(terms) == ["reconstruction", "perceptual", "codebook", "commitment", "entropy"]
    output = model(images)
    directions = F.normalize(output.latents, dim=2)
    away = (directions - model.quantize.lookup(output.quantized.codes)).square().mean().item()
    entropy = entropy_loss(squared_distances(directions, model.quantize.entries())).item()
    wanted = [2 * (output.images - images).square().mean().item(), 0.125, 3 * away, 0.75 * away, 0.3 * entropy]
    assert [term.item() for term in terms.values()] == pytest.approx(wanted, rel=1e-5)
    assert torch.equal(seen[0][0], images) and torch.equal(seen[0][1], output.images)  # in [-1, 1], target first
    assert "entropy" not in all_losses(tiny(), images)["autoencoder"]


def test_each_quantizer_loss_moves_its_own_side():
    model, images = tiny(), some_images()
    terms = all_losses(model, images)["autoencoder"]

    def reached(term):
        gradients = torch.autograd.grad(term, list(model.parameters()), retain_graph=True, allow_unused=True)
        pairs = zip(model.named_parameters(), gradients, strict=True)
        return {name.split(".")[0] for (name, _), gradient in pairs if gradient is not None}

    assert reached(terms["codebook"]) == {"quantize"}
    assert reached(terms["commitment"]) == {"encoder", "quant_conv"}
    assert reached(terms["reconstruction"]) == {"encoder", "quant_conv", "post_quant_conv", "decoder"}


def test_entropy_is_least_for_sure_choices_of_all_entries():
    sure = 100 * (1 - torch.eye(8))
    assert entropy_loss(sure).item() == pytest.approx(-math.log(8), abs=1e-3)
    assert entropy_loss(sure[:1].expand(8, -1)).item() == pytest.approx(0, abs=1e-3)  # always the same one
    assert entropy_loss(torch.ones(8, 8)).item() == pytest.approx(0, abs=1e-3)  # never sure


def test_adaptive_weight_makes_both_losses_pull_equally_at_the_last_layer():
    model = tiny(gan_start_step=0, adaptive_gan=True)
    terms = all_losses(model, some_images())["autoencoder"]
    last = model.decoder.conv_out.weight
    pulls = [torch.autograd.grad(terms[name], last, retain_graph=True)[0].norm() for name in ("reconstruction", "gan")]
    assert (pulls[1] / pulls[0]).item() == pytest.approx(0.5, rel=1e-2)
    plain = tiny(gan_start_step=0).eval()
    wanted = -0.5 * plain.discriminator(plain(some_images()).images).mean().item()
    assert all_losses(plain, some_images())["autoencoder"]["gan"].item() == pytest.approx(wanted, rel=1e-4)


def test_a_short_training_learns():
    model, images = tiny().train(), F.interpolate(some_images(8, side=2), scale_factor=8.0)  # blocks of one colour
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for step in range(60):
        _, terms, watched = next(model.losses({"images": images}, step, seeded()))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    alone = (images - images.mean(dim=0)).square().mean().item()  # what no decoder can do better than without codes
    assert terms["reconstruction"].item() < 0.5 * alone and watched["perplexity"] > 2


# ---- published weights ------------------------------------------------------------------------------------------


def test_published_files_load_strictly(tmp_path):
    model, state = tiny(**OFFICIAL), golden.state_by_name(GOLDEN["keys"], GOLDEN["scale"])
    assert state["quantize.codebook_used"].shape == (65536,)
    before = model.discriminator.main[0].weight.clone()
    torch.save({"model": state}, tmp_path / "weights.pt")
    load_official(model, read_official(tmp_path / "weights.pt"))
    assert torch.equal(model.quantize.embedding.weight, state["quantize.embedding.weight"])
    assert torch.equal(model.decoder.up[2].block[0].conv1.weight, state["decoder.conv_blocks.0.res.0.conv1.weight"])
    assert torch.equal(model.discriminator.main[0].weight, before)
    named = {our_name(name, 3) for name in state if name != "quantize.codebook_used"}
    assert named == {name for name in model.state_dict() if not name.startswith(model.TRAINING_ONLY)}
    again = tiny(**OFFICIAL)
    load_official(again, {name: p for name, p in state.items() if name != "quantize.codebook_used"})
    assert torch.equal(again.quantize.embedding.weight, model.quantize.embedding.weight)


def test_weights_that_do_not_fit_are_explained():
    model, state = tiny(**OFFICIAL), golden.state_by_name(GOLDEN["keys"], GOLDEN["scale"])
    before = model.encoder.conv_in.weight.clone()
    del state["decoder.norm_out.bias"]
    state["encoder.extra"] = state["post_quant_conv.bias"] = torch.zeros(7)
    with pytest.raises(ValueError) as error:
        load_official(model, state)
    for part in ("missing: decoder.norm_out.bias", "unexpected: encoder.extra", "shape of post_quant_conv.bias: (7,)"):
        assert part in str(error.value)
    assert torch.equal(model.encoder.conv_in.weight, before)


# ---- settings ---------------------------------------------------------------------------------------------------

RECIPE = {
    "image_size": 256,
    "network.channels": 128,
    "network.multipliers": [1, 1, 2, 2, 4],
    "network.res_blocks": 2,
    "latent_channels": 256,
    "codebook_size": 16384,
    "code_width": 8,
    "commitment": 0.25,
    "entropy_ratio": 0.0,
    "perceptual": "lpips",
    "adaptive_gan": False,
    "loss_weights.reconstruction": 1.0,
    "loss_weights.perceptual": 1.0,
    "loss_weights.quantizer": 1.0,
    "loss_weights.gan": 0.5,
}


def described(side=32, **ours):
    """The spec of RECIPE at a small scale."""
    scale = SimpleNamespace(
        image_size={256: side}, systems=SimpleNamespace(llamagen_vq=settings.Scaled.model_validate(ours))
    )
    spec, leaves = Spec(), {key: Sourced(value, "here") for key, value in RECIPE.items()}
    settings.describe(
        spec, ResolvedRecipe("a", None, leaves, "paper.yaml", "tokenizers"), Context(scale, "scale", {}, "data")
    )
    return spec


def test_settings_build_the_model():
    small = {"channels": 8, "multipliers": [1, 2, 2, 2], "res_blocks": 1}
    spec = described(network=small, latent_channels=8, codebook_size=64, code_width=4, perceptual="none")
    model = build(spec.values["model"] | {"gan_start_step": None, "discriminator": None})
    assert model.encode(some_images(1, 32)).shape == (1, 16) and model.vocabulary == 64
    assert settings.tokens(spec.values["model"]) == Tokens(16, 4, "grid", 64)
    assert spec.origins["model.channels"].endswith("systems.llamagen_vq.network.channels (the paper: 128)")
    unscaled = described().values["model"]
    assert settings.tokens(unscaled) == Tokens(4, 8, "grid", 16384) and unscaled["perceptual"] == "lpips"
    assert unscaled["loss_weights"] == {"reconstruction": 1.0, "perceptual": 1.0, "quantizer": 1.0, "gan": 0.5}
    with pytest.raises(ConfigError, match="not divisible"):
        described(side=24)
