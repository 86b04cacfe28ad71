"""MaskGIT's tokenizer: parity with the official code's numbers, codes, losses, published weights, settings."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tesserae.config.errors import ConfigError
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Tokens
from tesserae.config.systems import maskgit_vqgan as settings
from tesserae.losses.non_saturating import discriminator_losses, generator_loss
from tesserae.nn.maskgit_autoencoder import MaskGITDecoder, MaskGITEncoder, ResidualBlock
from tesserae.quantizers.entropy import entropy_loss
from tesserae.quantizers.vector import squared_distances
from tesserae.tokenizers.maskgit_vqgan import build
from tesserae.tokenizers.maskgit_vqgan_weights import load_official, read_official
from tests import golden
from tests.golden import assert_golden
from tests.small import MASKGIT_VQGAN as TINY
from tests.tokenizers.batches import all_losses, seeded, some_images

WEIGHTS = TINY["loss_weights"]
GOLDEN = golden.load("maskgit_vqgan")
OFFICIAL = {"channels": 128, "multipliers": [1, 2, 2], "codebook_size": 32, "code_width": 16}


def tiny(**changes):
    torch.manual_seed(0)
    return build(TINY | changes)


def count(module):
    return sum(p.numel() for p in module.parameters())


# ---- parity -----------------------------------------------------------------------------------------------------


def official_state():
    """Weights under official names, by the rule of golden.fill_by_name."""
    state = golden.state_by_name(GOLDEN["keys"], GOLDEN["scale"])
    state["quantize.embedding.weight"] *= GOLDEN["codebook_factor"]
    return state


def official():
    """The model of the golden numbers, and the images they were measured on."""
    model = tiny(**OFFICIAL)
    load_official(model, official_state())
    return model, some_images(2)


@torch.no_grad()
def test_official_codes_and_images():
    model, images = official()
    assert_golden(model.latents(images), GOLDEN["latents"])
    assert model.encode(images).tolist() == GOLDEN["codes"]
    assert len({code for row in GOLDEN["codes"] for code in row}) > 6  # not all the same
    assert_golden(model(images).images, GOLDEN["reconstruction"])
    decoded = model.decode(torch.arange(32).view(2, 16))
    assert_golden(decoded * 0.5 + 0.5, GOLDEN["decoded"])  # theirs are in [0, 1]


def test_official_losses_and_gradients():
    model, images = official()
    terms = all_losses(model, images)["autoencoder"]
    assert terms["reconstruction"].item() == pytest.approx(GOLDEN["mse"], rel=1e-4)
    assert terms["codebook"].item() == pytest.approx(GOLDEN["distance"], rel=1e-4)
    assert terms["commitment"].item() == pytest.approx(0.25 * GOLDEN["distance"], rel=1e-4)
    terms["reconstruction"].backward()
    parameters = dict(model.named_parameters())
    for name, norm in GOLDEN["gradients"].items():
        assert parameters[name].grad.norm().item() == pytest.approx(norm, rel=1e-3)


def test_published_sizes():
    published = {"image_size": 256, "channels": 128, "multipliers": [1, 1, 2, 2, 4], "res_blocks": 2}
    with torch.device("meta"):
        model = build(TINY | published | {"codebook_size": 1024, "code_width": 256})
    parts = model.encoder, model.decoder, model.quantize, model
    assert [count(part) for part in parts] == [23_775_104, 30_478_339, 262_144, 54_515_587]
    assert (model.tokens, model.vocabulary) == (256, 1024)
    wide = {name for name, p in model.named_parameters() if "nin_shortcut" in name}
    assert wide == {f"{level}.block.0.nin_shortcut.weight" for level in ("encoder.down.2", "encoder.down.4")} | {
        f"{level}.block.0.nin_shortcut.weight" for level in ("decoder.up.1", "decoder.up.3")
    }


@torch.no_grad()
def test_shortcut_starts_from_the_branch_where_the_width_changes():
    torch.manual_seed(0)
    changing, x = ResidualBlock(8, 16), torch.randn(2, 8, 4, 4)
    nn.init.zeros_(changing.nin_shortcut.weight)
    branch = changing(x)
    nn.init.dirac_(changing.nin_shortcut.weight)
    torch.testing.assert_close(changing(x), 2 * branch)
    same = ResidualBlock(8, 8)
    nn.init.zeros_(same.conv2.weight)
    assert torch.equal(same(x), x)


# ---- codes ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_codes_stand_row_by_row_and_each_names_its_nearest_entry():
    model, images = tiny(), some_images()
    nn.init.normal_(model.quantize.embedding.weight)
    codes = model.encode(images)
    maps = model.encoder((images + 1) / 2)  # (B, W, G, G)
    entries = model.quantize.embedding.weight[None, :, :, None, None]
    distances = (maps[:, None] - entries).square().sum(dim=2)
    assert torch.equal(codes, distances.argmin(dim=1).flatten(1))
    assert len(codes.unique()) > 4 and torch.equal(codes, model(images).quantized.codes)
    torch.testing.assert_close(2 * model(images).images - 1, model.decode(codes))
    assert torch.equal(codes, model.encode(images, text=torch.ones(4, 3, 5), rng=seeded()))


@torch.no_grad()
def test_halves_stand_alone():
    """As the pixel decoder and the proxies of other tokenizers."""
    encoder, decoder = MaskGITEncoder(8, [1, 2, 2], 1, 5), MaskGITDecoder(8, [1, 2, 2], 1, 5)
    maps = encoder(some_images(2, 32))
    assert maps.shape == (2, 5, 8, 8) and decoder(maps).shape == (2, 3, 32, 32)


def test_entries_start_as_far_apart_as_in_the_authors_code():
    """LeCun's uniform distribution with the number of entries as inputs."""
    entries = tiny(codebook_size=1024).quantize.embedding.weight
    limit = math.sqrt(3 / 1024)
    assert 0.99 * limit < entries.abs().max() <= limit and entries.std().item() == pytest.approx(1024**-0.5, rel=0.05)


# ---- losses -----------------------------------------------------------------------------------------------------


def test_terms_are_weighted_means():
    model, images = tiny(), some_images()
    seen = []
    model.perceptual_loss = lambda *pair: seen.append(pair) or torch.tensor(0.25)
    model.loss_weights |= {"reconstruction": 2.0, "codebook": 3.0}
    terms = all_losses(model, images)["autoencoder"]
    assert list(terms) == ["reconstruction", "perceptual", "codebook", "commitment", "entropy"]
    output, target = model(images), (images + 1) / 2
    away = (output.latents - model.quantize.lookup(output.quantized.codes)).square().mean().item()
    entropy = entropy_loss(squared_distances(output.latents, model.quantize.entries())).item()
    wanted = [2 * (output.images - target).square().mean().item(), 0.025, 3 * away, 0.25 * away, 0.1 * entropy]
    assert [term.item() for term in terms.values()] == pytest.approx(wanted, rel=1e-4)
    torch.testing.assert_close(seen[0][0], images)  # in [-1, 1], target first
    torch.testing.assert_close(seen[0][1], 2 * output.images - 1)
    model.loss_weights["entropy"] = 0.0
    assert "entropy" not in all_losses(model, images)["autoencoder"]


class Slope(nn.Module):
    """D(x) = w * the mean of x, at each of four places."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, images):
        return self.slope * images.mean(dim=(1, 2, 3), keepdim=True).expand(-1, 1, 2, 2)


def test_adversarial_losses_of_a_discriminator_known_in_closed_form():
    real, fake = torch.full((3, 3, 4, 4), 0.5), torch.full((3, 3, 4, 4), -0.25, requires_grad=True)
    slope = Slope(2.0)
    loss, penalty = discriminator_losses(slope, real, fake)
    assert loss.item() == pytest.approx((F.softplus(torch.tensor(-1.0)) + F.softplus(torch.tensor(-0.5))).item())
    assert penalty.item() == pytest.approx(2.0**2 / 48)  # 48 values, each with the gradient 2 / 48
    penalty.backward()
    assert slope.slope.grad.item() == pytest.approx(4 / 48) and fake.grad is None
    slope.zero_grad()
    felt = generator_loss(slope, fake)
    felt.backward()
    assert felt.item() == pytest.approx(F.softplus(torch.tensor(0.5)).item())
    assert slope.slope.grad is None and slope.slope.requires_grad and (fake.grad < 0).all()


def test_a_short_training_learns():
    images = F.interpolate(some_images(8, side=2), scale_factor=8.0)  # blocks of one colour
    model = tiny(loss_weights=WEIGHTS | {"reconstruction": 20.0}).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(150):
        _, terms, watched = next(model.losses({"images": images}, step, seeded()))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    alone = (images - images.mean(dim=0)).square().mean().item() / 4  # what no decoder can do better without codes
    assert terms["reconstruction"].item() / 20 < 0.5 * alone and watched["perplexity"] > 2


# ---- published weights ------------------------------------------------------------------------------------------


def test_published_files_load_strictly(tmp_path):
    model, state = tiny(**OFFICIAL, gan_start_step=0), official_state()
    before = model.discriminator.block_in[0].weight.clone()
    torch.save(state, tmp_path / "weights.bin")
    load_official(model, read_official(tmp_path / "weights.bin"))
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in state.items())
    assert torch.equal(model.discriminator.block_in[0].weight, before)
    del state["decoder.norm_out.bias"]
    state["encoder.extra"] = state["encoder.conv_out.bias"] = torch.zeros(7)
    with pytest.raises(ValueError) as error:
        load_official(model, state)
    for part in ("missing: decoder.norm_out.bias", "unexpected: encoder.extra", "shape of encoder.conv_out.bias: (7,)"):
        assert part in str(error.value)


# ---- settings ---------------------------------------------------------------------------------------------------

RECIPE = {
    "image_size": 256,
    "network.channels": 128,
    "network.multipliers": [1, 1, 2, 2, 4],
    "network.res_blocks": 2,
    "codebook_size": 1024,
    "code_width": 256,
    "perceptual": "lpips",
    **{f"loss_weights.{name}": weight for name, weight in WEIGHTS.items()},
}


def described(side=32, **ours):
    """The spec of RECIPE at a small scale."""
    scale = SimpleNamespace(
        image_size={256: side}, systems=SimpleNamespace(maskgit_vqgan=settings.Scaled.model_validate(ours))
    )
    spec, leaves = Spec(), {key: Sourced(value, "here") for key, value in RECIPE.items()}
    settings.describe(
        spec, ResolvedRecipe("a", None, leaves, "paper.yaml", "tokenizers"), Context(scale, "scale", {}, "data")
    )
    return spec


def test_settings_build_the_model():
    small = {"channels": 8, "multipliers": [1, 2, 2], "res_blocks": 1}
    spec = described(network=small, codebook_size=64, code_width=4, loss_weights={"entropy": 0.0})
    model = build(spec.values["model"] | {"gan_start_step": None, "discriminator": None})
    assert model.encode(some_images(1, 32)).shape == (1, 64) and model.vocabulary == 64
    assert settings.tokens(spec.values["model"]) == Tokens(64, 4, "grid", 64)
    assert spec.values["model"]["loss_weights"] == WEIGHTS | {"entropy": 0.0}
    assert spec.origins["model.channels"].endswith("systems.maskgit_vqgan.network.channels (the paper: 128)")
    unscaled = described().values["model"]
    assert settings.tokens(unscaled) == Tokens(4, 256, "grid", 1024) and unscaled["loss_weights"] == WEIGHTS
    with pytest.raises(ConfigError, match="not divisible"):
        described(side=24)
