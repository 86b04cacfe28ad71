"""MAETok: parity with the official code's numbers, masking, auxiliary targets, losses, weights, settings."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tesserae.config.errors import ConfigError
from tesserae.config.parts import Size
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Tokens
from tesserae.config.systems import maetok as settings
from tesserae.losses import auxiliary, perceptual
from tesserae.nn.rope import apply_rope
from tesserae.tokenizers import maetok
from tesserae.tokenizers.maetok import build
from tesserae.tokenizers.maetok_weights import WITHOUT_EFFECT, load_official, our_name, read_official
from tests import golden
from tests.tokenizers import batches
from tests.tokenizers.batches import all_losses, seeded

GOLDEN = golden.load("maetok")
AUXILIARY = {"width": 16, "blocks": 1, "heads": 2}
TINY = {
    "image_size": 32,
    "patch_size": 4,
    "latent_tokens": 6,
    "latent_channels": 4,
    "encoder": {"width": 32, "blocks": 2, "heads": 2},
    "decoder": {"width": 48, "blocks": 1, "heads": 3},
    "modulated_decoder": True,
    "auxiliary": [{"target": "hog", **AUXILIARY}],
    "mask_ratio_min": 0.4,
    "mask_ratio_max": 0.6,
    "perceptual": "none",
    "loss_weights": {"mse": 1.0, "perceptual": 1.0, "gan": 0.4, "auxiliary": 1.0},
    "gan_start_step": None,
    "discriminator": {"channels": 8, "layers": 2},
    "adaptive_gan": True,
}
GAN = {"gan_start_step": 0, "auxiliary": []}


def some_images(count=4, side=32, seed=0):
    return batches.some_images(count, side, seed)


def tiny(fill=True, **changes):
    """A model with weights large enough to matter: as initialised, latents do not reach the decoder's patches."""
    torch.manual_seed(0)
    model = build(TINY | changes)
    if fill:
        golden.fill_by_name(model, 0.2)
    return model


# ---- parity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["modulated", "plain"])
@torch.no_grad()
def test_official_numbers(decoder):
    wanted = GOLDEN[decoder]
    model = build(TINY | GOLDEN["model"] | {"modulated_decoder": decoder == "modulated"}).eval()
    load_official(model, golden.state_by_name(wanted["keys"], GOLDEN["fill_scale"]))
    images = golden.seeded_array("images", (2, 3, 16, 16), 0.5)
    tokens = model.encode(images)
    torch.testing.assert_close(tokens.flatten(), torch.tensor(wanted["tokens"]), atol=1e-5, rtol=1e-5)
    rebuilt = model(images).images
    torch.testing.assert_close(rebuilt.flatten(), torch.tensor(wanted["images"]), atol=2e-5, rtol=1e-5)
    assert torch.equal(rebuilt, model.decode(tokens))


def test_official_histograms():
    wanted = GOLDEN["hog"]
    found = auxiliary.hog(golden.seeded_array("hog", tuple(wanted["shape"]), 0.5), 16)
    assert found.shape == (1, 256, 108)
    chosen = found[0, :: wanted["positions"], :: wanted["channels"]].flatten()
    torch.testing.assert_close(chosen, torch.tensor(wanted["values"]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("modulated", "decoder", "total"), [(True, 86_958_336, 173_052_704), (False, 85_798_656, 171_893_024)]
)
def test_published_size(modulated, decoder, total):
    base = {"width": 768, "blocks": 12, "heads": 12}
    shape = {"image_size": 256, "patch_size": 16, "latent_tokens": 128, "latent_channels": 32}
    with torch.device("meta"):
        model = build(TINY | shape | {"encoder": base, "decoder": base, "modulated_decoder": modulated})
    parts = {"encoder": model.encoder, "decoder": model.decoder}
    found = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    assert found == {"encoder": 86_094_368, "decoder": decoder}
    assert sum(found.values()) == total


# ---- official weights -------------------------------------------------------------------------------------------


def test_what_only_training_needs_is_left_out(tmp_path):
    model = build(TINY | GOLDEN["model"] | {"gan_start_step": 0})
    state = golden.state_by_name(GOLDEN["modulated"]["keys"], GOLDEN["fill_scale"])
    training = {name: torch.zeros(3) for name in GOLDEN["training_keys"]}  # of the class MaskAEModel
    torch.save({"model": state | training, "steps": 7}, tmp_path / "weights.pt")
    auxiliaries = {name: p.clone() for name, p in model.auxiliary.named_parameters()}
    load_official(model, read_official(tmp_path / "weights.pt"))
    torch.testing.assert_close(model.decoder.mask_token, state["decoder.mask_token"])
    assert all(torch.equal(p, auxiliaries[name]) for name, p in model.auxiliary.named_parameters())
    left = {our_name(name) for name in state if not name.startswith(WITHOUT_EFFECT)}
    assert left == {name for name in model.state_dict() if not name.startswith(model.TRAINING_ONLY)}


def test_weights_that_do_not_fit_are_explained():
    model = build(TINY | GOLDEN["model"])
    state = golden.state_by_name(GOLDEN["modulated"]["keys"], GOLDEN["fill_scale"])
    del state["quant_conv.bias"]
    state["decoder.model.cls_token"] = torch.zeros(1, 1, 48)
    state["post_quant_conv.bias"] = torch.zeros(7)
    before = model.encoder.head.weight.clone()
    with pytest.raises(ValueError) as error:
        load_official(model, state)
    for part in (
        "missing: encoder.head.bias",
        "unexpected: decoder.model.cls_token",
        "shape of post_quant_conv.bias: (7,) in the file, (48,) in the model",
    ):
        assert part in str(error.value)
    assert torch.equal(model.encoder.head.weight, before)


# ---- masking and positions --------------------------------------------------------------------------------------


def test_mask_ratios_are_the_lower_half_of_a_normal_distribution():
    rng = seeded()
    ratios = torch.tensor([maetok.draw_mask_ratio(0.4, 0.6, rng) for _ in range(4000)])
    assert ratios.min() >= 0.4 and ratios.max() <= 0.6
    assert ratios.mean().item() == pytest.approx(0.5056, abs=0.003)  # a uniform one's is 0.5
    assert maetok.draw_mask_ratio(0.3, 0.3, rng) == pytest.approx(0.3)


def test_each_image_hides_its_own_patches():
    hidden = maetok.draw_hidden(5, 64, 0.41, seeded(), torch.device("cpu"))
    assert hidden.dtype == torch.bool and hidden.shape == (5, 64)
    assert hidden.sum(dim=1).tolist() == [math.ceil(64 * 0.41)] * 5
    assert len({tuple(row.tolist()) for row in hidden}) == 5


@torch.no_grad()
def test_encoder_does_not_see_hidden_patches():
    model, images = tiny(), some_images(1)
    hidden = torch.zeros(1, 64, dtype=bool)
    hidden[0, 41] = True  # row 5, column 1
    changed = images.clone()
    changed[:, :, 20:24, 4:8] = 0
    assert torch.equal(model.encoder(images, hidden), model.encoder(changed, hidden))
    assert not torch.equal(model.encoder(images), model.encoder(changed))
    assert not torch.equal(model.encoder(images), model.encoder(images, hidden))


def test_only_training_hides():
    model, images = tiny(), some_images()
    output = model.train()(images, seeded(1))
    assert 26 <= output.hidden.sum(dim=1).unique().item() <= 39  # 40 to 60 % of 64
    assert torch.equal(output.tokens, model(images, seeded(1)).tokens)
    assert not torch.equal(output.tokens, model(images, seeded(2)).tokens)
    assert torch.equal(model.encode(images), model.eval()(images).tokens)
    assert model(images).hidden is None
    assert tiny(mask_ratio_min=0.0, mask_ratio_max=0.0).train()(images, seeded()).hidden is None


def test_rope_turns_patches_by_place_and_nothing_else():
    encoder = tiny(fill=False).encoder
    tables = encoder.rope_tables()
    assert tables.shape == (2, 1, 2, 1 + 64 + 6, 32)
    x = torch.randn(3, 2, 71, 16)
    turned = apply_rope(x, tables[0])
    assert torch.equal(turned[:, :, 0], x[:, :, 0]) and torch.equal(turned[:, :, -6:], x[:, :, -6:])
    torch.testing.assert_close(turned.norm(dim=3), x.norm(dim=3))  # a rotation
    across, down = encoder.freqs[:, 0].view(2, 2, 8)  # of the first block
    angles = 3 * across + 5 * down
    cos = tables[0, 0, :, 1 + 5 * 8 + 3, :16]  # row 5, column 3
    torch.testing.assert_close(cos, angles.cos().repeat_interleave(2, dim=1))
    magnitudes = encoder.freqs.pow(2).sum(dim=0).sqrt().view(2, 2, 2, 4)
    torch.testing.assert_close(magnitudes, (10.0 ** -(torch.arange(4) / 4)).expand(2, 2, 2, 4))


def test_latents_modulate_their_own_positions():
    x, shift, scale = torch.randn(2, 5, 3), torch.randn(2, 2, 3), torch.randn(2, 2, 3)
    changed = maetok.modulate_last(x, shift, scale)
    assert torch.equal(changed[:, :3], x[:, :3])
    torch.testing.assert_close(changed[:, 3:], x[:, 3:] * scale + shift)


# ---- the interface ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "patch", "tokens", "channels"), [(32, 4, 6, 4), (64, 8, 32, 16), (48, 16, 3, 1)])
def test_shapes(side, patch, tokens, channels):
    model = tiny(image_size=side, patch_size=patch, latent_tokens=tokens, latent_channels=channels)
    found = model.encode(some_images(2, side))
    assert found.shape == (2, tokens, channels) == (2, model.tokens, model.latent_channels)
    assert model.decode(found).shape == (2, 3, side, side)


def test_tokens_are_deterministic():
    model, images = tiny(), some_images()
    posterior = model.posterior(images)
    assert (posterior.logvar == -30).all()
    assert torch.equal(model.encode(images, rng=seeded()), posterior.mean)
    torch.testing.assert_close(posterior.sample(seeded()), posterior.mean, atol=5e-6, rtol=0)


@torch.no_grad()
def test_pixels_stand_where_their_patch_does():
    model = tiny()
    for p in (model.decoder.head.weight, model.decoder.head.bias):
        nn.init.zeros_(p)
    model.decoder.head.bias.view(4, 4, 3)[1, 2, 0] = 1.0  # row 1, column 2, red of every patch
    image = model.decode(torch.zeros(1, 6, 4))[0]
    assert image.sum() == 64 and image[0, 1::4, 2::4].sum() == 64


@pytest.mark.parametrize("modulated", [True, False])
def test_gradients_reach_every_parameter(modulated):
    model = tiny(modulated_decoder=modulated).train()
    (terms,) = all_losses(model, some_images()).values()
    sum(terms.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    silent = {name.split(".", 2)[-1] for name, p in model.named_parameters() if not p.grad.any()}
    assert silent == set()


def test_every_parameter_has_a_gradient_when_nothing_is_hidden():
    model = tiny(mask_ratio_min=0.0, mask_ratio_max=0.0).train()
    (terms,) = all_losses(model, some_images()).values()
    sum(terms.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert not model.encoder.mask_token.grad.any()


def test_initialisation():
    model = tiny(fill=False, encoder={"width": 256, "blocks": 1, "heads": 4})
    block = model.encoder.blocks[0]
    assert block.attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert (block.ls1.gamma == 1e-5).all()
    assert not any(p.any() for name, p in model.decoder.named_parameters() if "adaLN" in name)
    assert any(p.any() for p in model.decoder.blocks[0].mlp.parameters())


def test_unusable_settings_are_refused():
    for changes in (
        {"patch_size": 5},
        {"mask_ratio_min": 0.7},
        {"mask_ratio_max": 1.0},
        {"perceptual": "vgg"},
        {"auxiliary": [{"target": "depth", **AUXILIARY}]},
        {"auxiliary": TINY["auxiliary"] * 2},
        {"encoder": {"width": 36, "blocks": 1, "heads": 2}},
        {"gan_start_step": 0, "discriminator": None},
    ):
        with pytest.raises(ValueError):
            build(TINY | changes)


# ---- auxiliary targets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [4, 8, 16])
def test_histograms_of_a_ramp(patch):
    grid, side = 4, 4 * patch
    ramp = torch.linspace(-1, 1, side).expand(1, 3, side, side)
    for images, bin in ((ramp, 4), (ramp.mT, 0)):  # columns: a quarter turn, the middle of 9 bins
        cells = auxiliary.hog(images, grid).view(grid, grid, 3, 9, 2, 2)
        inner = cells[1:-1, 1:-1]  # at the border the reflection flattens the ramp
        assert torch.equal(inner, F.one_hot(torch.tensor(bin), 9).float().view(9, 1, 1).expand_as(inner))


def test_histograms_stand_where_their_patch_does():
    images = torch.zeros(1, 3, 32, 32)
    images[0, 2, 5, 13] = 1.0  # blue; row 1, column 3; cell (0, 0) and, through Sobel's reach, its neighbours
    cells = auxiliary.hog(images, 8).view(8, 8, 3, 9, 2, 2)
    touched = cells.sum(dim=3).nonzero().tolist()
    assert {place[2] for place in touched} == {2}
    assert [1, 3, 2, 0, 0] in touched and {tuple(place[:2]) for place in touched} <= {(1, 3), (1, 2), (0, 3), (0, 2)}
    with pytest.raises(ValueError, match="divisible"):
        auxiliary.hog(images, 32)


def test_embedded_features_are_one_per_patch():
    images = some_images(2)
    found = auxiliary.features("embedded", images, 8)
    assert found.shape == (2, 64, auxiliary.CHANNELS["embedded"]) and not found.requires_grad
    left = images.clone()
    left[..., 16:] = 0
    moved = (auxiliary.features("embedded", left, 8) - found).norm(dim=2).view(2, 8, 8)
    assert moved[..., 5:].mean() > moved[..., :3].mean()


@pytest.mark.parametrize("target", ["dinov2", "clip"])
def test_missing_networks_are_named(target, monkeypatch, tmp_path):
    monkeypatch.setenv(perceptual.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=auxiliary.TRANSFORMERS[target][1]):
        auxiliary.features(target, some_images(1), 8)


def test_transformer_features_are_normalised_patch_tokens(monkeypatch):
    class Network(nn.Module):
        num_prefix_tokens = 1

        def forward_features(self, x):
            return F.pad(F.avg_pool2d(x, 4).flatten(2).transpose(1, 2), (0, 0, 1, 0), value=99.0)

    monkeypatch.setattr(auxiliary, "read_transformer", lambda name, side, patch, device: Network())
    found = auxiliary.features("dinov2", torch.ones(1, 3, 32, 32), 8)
    wanted = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(found, wanted.expand(1, 64, 3))


def test_auxiliary_losses_count_chosen_positions(monkeypatch):
    images, counted = some_images(2), torch.zeros(2, 64, dtype=bool)
    counted[0, 3] = counted[1, 10] = True
    target = auxiliary.hog(images, 8)
    wrong = torch.where(counted.unsqueeze(2), target + 0.5, 7.0)
    assert auxiliary.auxiliary_loss("hog", wrong, images, counted).item() == pytest.approx(0.25, rel=1e-4)
    found = golden.seeded_array("features", (2, 64, 5))
    monkeypatch.setattr(auxiliary, "features", lambda name, images, grid: found)
    opposite = torch.where(counted.unsqueeze(2), -3 * found, found)
    assert auxiliary.auxiliary_loss("embedded", opposite, images, counted).item() == pytest.approx(2, rel=1e-5)
    assert auxiliary.auxiliary_loss("embedded", opposite, images, ~counted).item() == pytest.approx(0, abs=1e-5)


# ---- losses -----------------------------------------------------------------------------------------------------


def test_terms_are_weighted():
    targets = [{"target": name, **AUXILIARY} for name in ("hog", "embedded")]
    weights = {"mse": 2.0, "perceptual": 0.0, "gan": 0.0, "auxiliary": 0.5}
    model, images = tiny(auxiliary=targets, loss_weights=weights).train(), some_images()
    terms = all_losses(model, images)["autoencoder"]
    assert list(terms) == ["mse", "hog", "embedded"]
    output = model(images, seeded())
    assert terms["mse"].item() == pytest.approx(2 * (output.images - images).square().mean().item(), rel=1e-5)
    for name in ("hog", "embedded"):
        loss = auxiliary.auxiliary_loss(name, model.auxiliary[name](output.tokens), images, output.hidden)
        assert terms[name].item() == pytest.approx(0.5 * loss.item(), rel=1e-5)


def test_losses_are_float32_under_autocast():
    model = tiny(gan_start_step=0).train()
    dtypes = set()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for terms in all_losses(model, some_images()).values():
            dtypes |= {term.dtype for term in terms.values()}
            sum(terms.values()).backward()
    assert dtypes == {torch.float32}
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_gan_waits_for_its_step_and_each_update_moves_its_own_half():
    model, images = tiny(gan_start_step=5).train(), some_images()
    assert list(all_losses(model, images, step=4)) == ["autoencoder"]
    reached = {}
    for group, terms in model.losses({"images": images}, 5, seeded()):
        model.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        reached[group] = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {"autoencoder": {"encoder", "decoder", "auxiliary"}, "discriminator": {"discriminator"}}
    assert all(p.requires_grad for p in model.discriminator.parameters())


def test_gan_term_balances_the_last_layers_gradients():
    model, images = tiny(**GAN).eval(), some_images()
    terms = all_losses(model, images)["autoencoder"]
    norms = [
        torch.autograd.grad(term, model.decoder.head.weight, retain_graph=True)[0].norm() for term in terms.values()
    ]
    assert list(terms) == ["mse", "gan"]
    assert (norms[1] / norms[0]).item() == pytest.approx(0.4, rel=0.01)
    plain = tiny(**GAN, adaptive_gan=False).eval()
    score = -plain.discriminator(plain(images).images).mean()
    assert all_losses(plain, images)["autoencoder"]["gan"].item() == pytest.approx(0.4 * score.item(), rel=1e-4)


def test_perceptual_loss_sees_images_from_minus_one_to_one():
    model = tiny(perceptual="lpips", auxiliary=[])
    assert model.perceptual_loss is perceptual.pretrained_lpips
    assert tiny(perceptual="lite2").perceptual_loss is perceptual.lite2_distance
    seen, images = [], some_images()
    model.perceptual_loss = lambda *pair: seen.append(pair) or (pair[0] - pair[1]).abs().mean()
    terms = all_losses(model, images)["autoencoder"]
    assert torch.equal(seen[0][0], images)
    assert terms["perceptual"].item() == pytest.approx((seen[0][0] - seen[0][1]).abs().mean().item())
    assert tiny().perceptual_loss is None


# ---- optimizers -------------------------------------------------------------------------------------------------


def test_groups_and_what_is_saved():
    model = tiny(gan_start_step=0)
    groups = model.parameter_groups()
    assert list(groups) == ["autoencoder", "discriminator"]
    assert sum(map(len, groups.values())) == len(list(model.parameters()))
    kept = {name for name in model.state_dict() if not name.startswith(model.TRAINING_ONLY)}
    assert kept == set(tiny(auxiliary=[]).state_dict())
    assert list(tiny().parameter_groups()) == ["autoencoder"]
    spared = {name for name, p in model.named_parameters() if model.no_weight_decay(name, p)}
    assert "encoder.head.bias" in spared and "encoder.pos_embed" not in spared


def test_decoder_fine_tuning():
    model, images = tiny(gan_start_step=0).train(), some_images()
    model.freeze_encoder()
    names = [name for name, _ in model.parameter_groups()["autoencoder"]]
    assert names and all(name.startswith("decoder.") for name in names)
    groups = all_losses(model, images)
    assert list(groups["autoencoder"]) == ["mse", "gan"]
    assert model(images, seeded()).hidden is None
    for terms in groups.values():
        sum(terms.values()).backward()
    got = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert got == {"decoder", "discriminator"}


def test_a_short_training_learns():
    quiet = {"mask_ratio_min": 0.0, "mask_ratio_max": 0.0, "auxiliary": []}
    model, images = tiny(fill=False, **quiet).train(), some_images(8, side=1).expand(-1, -1, 32, 32)  # plain colours
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    for step in range(150):
        error = all_losses(model, images, step)["autoencoder"]["mse"]
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    alone = (images - images.mean(dim=0)).square().mean().item()  # what no decoder can do better than without tokens
    assert error.item() < 0.2 * alone


# ---- settings ---------------------------------------------------------------------------------------------------

RECIPE = {
    "image_size": 256,
    "encoder": "B",
    "decoder": "B",
    "modulated_decoder": True,
    "patch_size": 16,
    "latent_tokens": 128,
    "latent_channels": 32,
    "auxiliary": "tiny",
    "auxiliary_targets": ["hog", "dinov2", "clip"],
    "mask_ratio_min": 0.4,
    "mask_ratio_max": 0.6,
    "perceptual": "lpips",
    "adaptive_gan": True,
    "loss_weights.mse": 1.0,
    "loss_weights.perceptual": 1.0,
    "loss_weights.gan": 0.4,
    "loss_weights.auxiliary": 1.0,
}


def described(patch=4, **ours):
    """The spec of RECIPE at a small scale."""
    scale = SimpleNamespace(
        image_size={256: 32},
        patch_size={16: patch},
        latent_channels={32: 8},
        sizes={"maetok": {"B": Size(width=32, blocks=2, heads=2), "tiny": Size(**AUXILIARY)}},
        systems=SimpleNamespace(maetok=settings.Scaled(**ours)),
    )
    spec, leaves = Spec(), {key: Sourced(value, "here") for key, value in RECIPE.items()}
    settings.describe(
        spec, ResolvedRecipe("a", None, leaves, "paper.yaml", "tokenizers"), Context(scale, "scale", {}, "data")
    )
    return spec


def test_settings_build_the_model():
    spec = described(latent_tokens=6, auxiliary_targets=["hog", "embedded"], perceptual="none")
    model = build(spec.values["model"] | {"gan_start_step": None, "discriminator": None})
    assert list(model.auxiliary) == ["hog", "embedded"] and model.perceptual_loss is None
    assert model.encode(some_images(1)).shape == (1, 6, 8)
    assert settings.tokens(spec.values["model"]) == Tokens(6, 8, "sequence")
    assert spec.origins["model.latent_tokens"].endswith("systems.maetok.latent_tokens (the paper: 128)")
    unscaled = described().values["model"]
    assert unscaled["latent_tokens"] == 128 and unscaled["perceptual"] == "lpips"
    assert [part["target"] for part in unscaled["auxiliary"]] == RECIPE["auxiliary_targets"]
    with pytest.raises(ConfigError, match="even patch size"):
        described(patch=1)
