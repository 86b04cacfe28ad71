"""LlamaGen's tokenizer: parity with the official code's numbers, codes, losses, published weights, settings."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from tesserae.config.errors import ConfigError
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Tokens
from tesserae.config.systems import llamagen_vq as settings
from tesserae.losses import perceptual
from tesserae.quantizers.entropy import entropy_loss
from tesserae.quantizers.vector import squared_distances
from tesserae.tokenizers.llamagen_vq import build
from tesserae.tokenizers.llamagen_vq_weights import load_official, our_name, read_official
from tests import golden

TINY = {
    "image_size": 16,
    "channels": 8,
    "multipliers": [1, 2],
    "res_blocks": 1,
    "latent_channels": 6,
    "codebook_size": 32,
    "code_width": 4,
    "commitment": 0.25,
    "entropy_ratio": 0.0,
    "perceptual": "none",
    "loss_weights": {"reconstruction": 1.0, "perceptual": 1.0, "quantizer": 1.0, "gan": 0.5},
    "adaptive_gan": False,
    "gan_start_step": None,
    "discriminator": {"channels": 8, "layers": 1},
}
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


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def tiny(**changes):
    torch.manual_seed(0)
    return build(TINY | changes)


def some_images(batch=4, side=16, seed=0):
    return 2 * torch.rand(batch, 3, side, side, generator=seeded(seed)) - 1


def all_losses(model, images, step=0):
    return {group: terms for group, terms, *_ in model.losses({"images": images}, step, seeded())}


# ---- parity -----------------------------------------------------------------------------------------------------


def official_state(keys):
    """Weights under official names, by the rule of golden.fill_by_name."""
    state = {}
    for name, shape in keys.items():
        noise = golden.seeded_array(name, tuple(shape), GOLDEN["scale"])
        state[name] = 1 + noise if len(shape) == 1 and name.endswith("weight") else noise
    return state


def official(**changes):
    """The model of the golden numbers, and the images they were measured on."""
    model = tiny(**OFFICIAL | changes)
    load_official(model, official_state(GOLDEN["keys"]))
    golden.fill_by_name(model.discriminator, 0.05)
    return model, golden.seeded_array("images", (2, 3, 16, 16), 0.5).clamp(-1, 1)


def assert_golden(tensor, wanted, tolerance=2e-5):
    flat = tensor.detach().flatten().double()
    chosen = flat[torch.linspace(0, len(flat) - 1, 32).long()]
    torch.testing.assert_close(chosen, torch.tensor(wanted["values"], dtype=torch.float64), atol=tolerance, rtol=1e-4)
    assert flat.mean().item() == pytest.approx(wanted["mean"], abs=tolerance)
    assert flat.std().item() == pytest.approx(wanted["std"], rel=1e-4)


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


@pytest.mark.parametrize(("side", "multipliers"), [(16, [1, 2]), (24, [1, 1, 2]), (8, [2])])
@torch.no_grad()
def test_shapes(side, multipliers):
    model = tiny(image_size=side, multipliers=multipliers)
    grid = side // 2 ** (len(multipliers) - 1)
    codes = model.encode(some_images(2, side))
    assert codes.shape == (2, grid**2) == (2, model.tokens) and codes.dtype == torch.int64
    assert model.decode(codes).shape == (2, 3, side, side)


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


@torch.no_grad()
def test_encoding_is_the_same_in_either_mode_and_needs_no_text():
    model, images = tiny().train(), some_images()
    codes = model.encode(images)
    assert torch.equal(codes, model.eval().encode(images))
    assert torch.equal(codes, model.encode(images, text=torch.ones(4, 3, 5), rng=seeded()))


def test_initial_codebook_has_unit_length_and_every_direction():
    codebook = tiny(codebook_size=2048).quantize.embedding.weight
    torch.testing.assert_close(codebook.norm(dim=1), torch.ones(2048))
    assert codebook.mean(dim=0).abs().max() < 0.05


def test_unusable_settings_are_refused():
    for changes in ({"image_size": 17}, {"perceptual": "vgg"}, {"gan_start_step": 0, "discriminator": None}):
        with pytest.raises(ValueError):
            tiny(**changes)


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


def test_codes_are_watched():
    model, images = tiny(), some_images()
    watched = next(model.losses({"images": images}, 0, seeded()))[2]
    assert watched["usage"].item() == pytest.approx(len(model.encode(images).unique()) / 32)
    assert 1 < watched["perplexity"] <= 32
    assert all(value.ndim == 0 and not value.requires_grad for value in watched.values())


def test_perceptual_network_is_read_at_first_use(monkeypatch):
    assert "perceptual" not in all_losses(tiny(), some_images())["autoencoder"]
    assert tiny(perceptual="lite2").perceptual_loss is perceptual.lite2_distance
    model = tiny(perceptual="lpips")
    assert model.perceptual_loss is perceptual.pretrained_lpips and set(model.state_dict()) == set(tiny().state_dict())
    weightless = TINY["loss_weights"] | {"perceptual": 0.0}
    assert tiny(perceptual="lpips", loss_weights=weightless).perceptual_loss is None
    monkeypatch.delenv(perceptual.FOLDER_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=r"vgg\.pth"):
        all_losses(model, some_images())


def test_gan_waits_for_its_step_and_each_update_moves_its_own_half():
    model, images = tiny(gan_start_step=5).train(), some_images()
    early = all_losses(model, images, step=4)
    assert list(early) == ["autoencoder"] and "gan" not in early["autoencoder"]
    groups, reached = model.parameter_groups(), {}
    for group, terms, *_ in model.losses({"images": images}, 5, seeded()):
        model.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        reached[group] = {name for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {group: {name for name, _ in named} for group, named in groups.items()}  # all, at every step
    assert set.union(*reached.values()) == {name for name, _ in model.named_parameters()}
    assert all(p.requires_grad for p in model.discriminator.parameters())


def test_adaptive_weight_makes_both_losses_pull_equally_at_the_last_layer():
    model = tiny(gan_start_step=0, adaptive_gan=True)
    terms = all_losses(model, some_images())["autoencoder"]
    last = model.decoder.conv_out.weight
    pulls = [torch.autograd.grad(terms[name], last, retain_graph=True)[0].norm() for name in ("reconstruction", "gan")]
    assert (pulls[1] / pulls[0]).item() == pytest.approx(0.5, rel=1e-2)
    plain = tiny(gan_start_step=0).eval()
    wanted = -0.5 * plain.discriminator(plain(some_images()).images).mean().item()
    assert all_losses(plain, some_images())["autoencoder"]["gan"].item() == pytest.approx(wanted, rel=1e-4)


def test_losses_are_float32_under_autocast():
    model, dtypes = tiny(gan_start_step=0, entropy_ratio=0.1).train(), set()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for terms in all_losses(model, some_images()).values():
            dtypes |= {term.dtype for term in terms.values()}
            sum(terms.values()).backward()
    assert dtypes == {torch.float32}
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_decoder_fine_tuning_trains_the_decoder_only():
    model, images = tiny(gan_start_step=0).train(), some_images()
    model.freeze_encoder()
    names = {name for name, _ in model.parameter_groups()["autoencoder"]}
    assert {name.split(".")[0] for name in names} == {"decoder", "post_quant_conv"}
    sum(all_losses(model, images)["autoencoder"].values()).backward()
    assert names == {name for name, p in model.named_parameters() if p.grad is not None and "discrim" not in name}


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


def test_what_training_alone_needs_is_named():
    model = tiny(gan_start_step=0)
    kept = {name for name in model.state_dict() if not name.startswith(model.TRAINING_ONLY)}
    assert kept == set(tiny().state_dict())
    assert all(model.no_weight_decay(name, p) == (p.ndim == 1) for name, p in model.named_parameters())


# ---- published weights ------------------------------------------------------------------------------------------


def test_published_files_load_strictly(tmp_path):
    model, state = tiny(**OFFICIAL), official_state(GOLDEN["keys"])
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
    model, state = tiny(**OFFICIAL), official_state(GOLDEN["keys"])
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
