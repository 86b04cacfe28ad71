"""l-DeTok: parity with the official code's numbers, the two corruptions, the losses, the weights."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from tesserae.losses import perceptual
from tesserae.nn.rope import apply_rope, detok_rope_table
from tesserae.quantizers.gaussian import GaussianPosterior
from tesserae.tokenizers import detok
from tesserae.tokenizers.detok import build
from tesserae.tokenizers.detok_weights import load_official, our_name, read_official
from tests import golden
from tests.small import DETOK
from tests.tokenizers import batches
from tests.tokenizers.batches import all_losses, seeded

SIZES = {"S": (512, 8, 8), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}
GOLDEN = golden.load("detok")


def some_images(count=4, side=32, seed=0):
    return batches.some_images(count, side, seed)


def tiny(**changes):
    torch.manual_seed(0)
    return build(DETOK | changes)


# ---- parity -----------------------------------------------------------------------------------------------------


def assert_golden(tensor, name):
    golden.assert_golden(tensor, GOLDEN[name], 2e-6, relative=1e-5)


@pytest.fixture(scope="module")
def official():
    size = {"encoder": {"width": 64, "blocks": 2, "heads": 2}, "decoder": {"width": 96, "blocks": 3, "heads": 3}}
    model = build(DETOK | size)
    load_official(model, golden.state_by_name(GOLDEN["keys"], 0.05))
    return model.eval()


@pytest.fixture(scope="module")
def official_inputs():
    order = golden.seeded_array("mask noise", (2, 64)).argsort(dim=1)
    images = golden.seeded_array("images", (2, 3, 32, 32), 0.5).clamp(-1, 1)
    return images, golden.seeded_array("latents", (2, 64, 8)), order[:, : GOLDEN["kept"]]


@torch.no_grad()
def test_official_numbers(official, official_inputs):
    images, latents, kept = official_inputs
    assert_golden(official.encoder.rope, "rope")
    assert_golden(official.encoder(images), "moments")
    assert_golden(official.encoder(images, kept), "masked_moments")
    assert official.posterior(images).kl().tolist() == pytest.approx(GOLDEN["kl"], rel=1e-5)
    assert_golden(official.decode(latents), "decoded")
    assert_golden(official.decoder(latents[:, : kept.shape[1]], kept), "decoded_masked")
    assert_golden(official(images).images, "reconstruction")


@torch.no_grad()
def test_official_numbers_depend_on_the_rope_layout(official, official_inputs, monkeypatch):
    proper = detok_rope_table(32, 8).view(64, 2, 32)
    pairs = proper[..., ::2].repeat_interleave(2, dim=-1).flatten(1)  # both channels of a pair at one frequency
    monkeypatch.setattr(official.encoder, "rope", pairs)
    with pytest.raises(AssertionError):
        assert_golden(official.encoder(official_inputs[0]), "moments")


def test_rope_pairs_adjacent_channels():
    table = torch.tensor([[0.5, 0.25, 2.0, 3.0, 10.0, 20.0, 30.0, 40.0]])  # cos of 4 channels, then sin
    turned = apply_rope(torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]]), table)
    assert turned.flatten().tolist() == [0.5 - 20, 0.5 + 20, 6 - 120, 12 + 120]


def test_rope_with_a_table_per_sample():
    x, table = torch.randn(3, 2, 5, 8), torch.randn(3, 5, 16)
    rows = torch.cat([apply_rope(x[i : i + 1], table[i]) for i in range(3)])
    torch.testing.assert_close(apply_rope(x, table), rows)


def test_rope_carries_rows_then_columns():
    angles = detok_rope_table(16, 5).view(5, 5, 32)
    assert torch.equal(angles[2, :, :8], angles[2, :1, :8].expand(5, 8))  # cosines of the row: the same in all columns
    assert torch.equal(angles[:, 2, 8:16], angles[:1, 2, 8:16].expand(5, 8))
    with pytest.raises(ValueError, match="multiple of 4"):
        detok_rope_table(6, 4)


@pytest.mark.parametrize(
    ("encoder", "decoder", "counts"),
    [
        ("S", "B", (25_754_480, 85_850_964, 111_605_444)),
        ("B", "S", (85_861_664, 25_747_620, 111_609_284)),
        ("B", "B", (85_861_664, 85_850_964, 171_712_628)),
        ("L", "L", (303_328_256, 303_313_716, 606_641_972)),
        ("XL", "XL", (None, None, 895_033_076)),
    ],
)
def test_parameter_counts_of_table_a1(encoder, decoder, counts):
    size = {
        part: dict(zip(("width", "blocks", "heads"), SIZES[name], strict=True))
        for part, name in (("encoder", encoder), ("decoder", decoder))
    }
    with torch.device("meta"):
        model = build(DETOK | size | {"image_size": 256, "patch_size": 16, "latent_channels": 16})
    parts = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder, model)]
    assert all(count in (part, None) for part, count in zip(parts, counts, strict=True))


# ---- the posterior ----------------------------------------------------------------------------------------------


def test_posterior_is_clamped_float32_and_sums_its_kl():
    moments = torch.tensor([[[1.0, -2.0, 100.0, -100.0]]], dtype=torch.bfloat16).expand(3, 5, 4)
    posterior = GaussianPosterior.from_moments(moments)
    assert posterior.mean.dtype == posterior.logvar.dtype == torch.float32
    assert posterior.logvar[0, 0].tolist() == [20.0, -30.0]
    per_token = 0.5 * (1 + math.exp(20) - 1 - 20) + 0.5 * (4 + math.exp(-30) - 1 + 30)
    assert posterior.kl().tolist() == pytest.approx([5 * per_token] * 3)
    assert GaussianPosterior(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)).kl().tolist() == [0, 0]


def test_posterior_of_a_map_splits_channels():
    posterior = GaussianPosterior.from_moments(torch.arange(16.0).view(1, 4, 2, 2), dim=1)
    assert posterior.mode().shape == (1, 2, 2, 2)
    assert posterior.logvar.max() == 15


def test_posterior_samples_have_its_moments():
    z = GaussianPosterior(torch.full((1, 40_000), 3.0), torch.full((1, 40_000), math.log(4.0))).sample(seeded())
    assert z.mean().item() == pytest.approx(3, abs=0.05)
    assert z.std().item() == pytest.approx(2, rel=0.02)


# ---- corruptions ------------------------------------------------------------------------------------------------


def noised_latents(images, logvar=-30.0, **changes):
    """What the decoder gets when every posterior mean is 10."""
    model = tiny(**{"mask_ratio": 0.0, "latent_channels": 32} | changes).train()
    nn.init.zeros_(model.encoder.latent_head.weight)
    model.encoder.latent_head.bias.data = torch.tensor([10.0] * 32 + [logvar] * 32)
    seen = []
    model.decoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    model(images, seeded())
    return seen[0]


def test_interpolative_noise_has_one_level_per_image():
    z = noised_latents(some_images(16))
    tau = 1 - z.mean(dim=(1, 2)) / 10
    assert z.std(dim=(1, 2)).tolist() == pytest.approx((3 * tau).tolist(), rel=0.1, abs=0.03)
    assert tau.min() < 0.3 and tau.max() > 0.7
    levels = 1 - z.mean(dim=2) / 10  # per token: the same level, up to the noise of a mean over channels
    assert ((levels - tau[:, None]).std(dim=1) < 1.5 * 0.3 * tau / math.sqrt(32) + 1e-3).all()


def test_additive_noise_keeps_the_mean():
    images = some_images(16)
    additive, interpolative = noised_latents(images, noise="additive"), noised_latents(images)
    assert additive.mean(dim=(1, 2)).tolist() == pytest.approx([10] * 16, abs=0.3)
    tau = 1 - interpolative.mean(dim=(1, 2)) / 10
    assert additive.std(dim=(1, 2)).tolist() == pytest.approx((3 * tau).tolist(), rel=0.1, abs=0.03)


def test_gamma_zero_leaves_latents_alone():
    assert torch.allclose(noised_latents(some_images(), gamma=0.0), torch.tensor(10.0), atol=1e-4)


def test_training_samples_the_posterior():
    z = noised_latents(some_images(), logvar=math.log(4.0), gamma=0.0)
    assert (z.mean().item(), z.std().item()) == pytest.approx((10, 2), rel=0.05)


@pytest.mark.parametrize("largest", [0.3, 0.7, 0.9])
def test_random_mask_ratio_distribution(largest):
    rng, draws = seeded(), 4000
    ratios = torch.tensor([detok.draw_mask_ratio(largest, rng) for _ in range(draws)])
    none = 0.1 / (largest + 0.1)
    assert (ratios == 0).float().mean().item() == pytest.approx(none, abs=4 * math.sqrt(none * (1 - none) / draws))
    assert ratios.mean().item() == pytest.approx(largest**2 / (2 * (largest + 0.1)), abs=4 * 0.27 / math.sqrt(draws))
    assert 0.99 * largest < ratios.max() <= largest


def test_no_masking_at_ratio_zero():
    rng = seeded()
    assert all(detok.draw_mask_ratio(0.0, rng) == 0 for _ in range(50))
    assert detok.draw_visible(2, 16, 0.0, rng, torch.device("cpu")) is None


@given(tokens=st.integers(1, 64), ratio=st.floats(0, 0.95), seed=st.integers(0, 99))
def test_visible_tokens(tokens, ratio, seed):
    kept = detok.draw_visible(3, tokens, ratio, seeded(seed), torch.device("cpu"))
    wanted = math.ceil(tokens * (1 - ratio))
    if wanted == tokens:
        assert kept is None
    else:
        assert kept.shape == (3, wanted)
        assert all(len(set(row)) == wanted and set(row) <= set(range(tokens)) for row in kept.tolist())


def test_every_image_hides_its_own_patches_uniformly():
    kept = detok.draw_visible(2000, 8, 0.5, seeded(), torch.device("cpu"))
    assert len(kept.sort(dim=1).values.unique(dim=0)) == 70  # all subsets of 4 out of 8
    assert (kept.flatten().bincount() / 2000).tolist() == pytest.approx([0.5] * 8, abs=0.05)


def tokens_seen(model, count):
    return [model(some_images(), seeded(seed)).posterior.mean.shape[1] for seed in range(count)]


def test_ratio_is_drawn_per_batch_or_constant():
    assert len(set(tokens_seen(tiny().train(), 12))) > 5
    assert set(tokens_seen(tiny(mask_mode="constant").train(), 12)) == {math.ceil(64 * (1 - 0.7))}
    assert set(tokens_seen(tiny(mask_ratio=0.0).train(), 4)) == {64}


@torch.no_grad()
def test_encoder_sees_only_visible_patches():
    model, images = tiny(), some_images(1)
    kept = torch.tensor([[3, 0, 41]])
    changed = images.clone()
    changed[:, :, 20:24, 4:8] = 0  # patch 41 = row 5, column 1
    assert not torch.equal(model.encoder(images, kept), model.encoder(changed, kept))
    visible = torch.zeros(1, 1, 8, 8)
    visible.view(-1)[kept[0]] = 1
    masked = images * visible.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(model.encoder(images, kept), model.encoder(masked, kept))


@torch.no_grad()
def test_order_of_visible_tokens_does_not_matter():
    model, images = tiny(), some_images(3)
    order = torch.rand(3, 64, generator=seeded()).argsort(dim=1)
    moments = model.encoder(images)
    shuffled = model.encoder(images, order)
    torch.testing.assert_close(shuffled, moments.take_along_dim(order[..., None], dim=1), atol=1e-5, rtol=1e-4)
    z = moments[..., :8]
    torch.testing.assert_close(
        model.decoder(z.take_along_dim(order[..., None], 1), order), model.decoder(z), atol=1e-5, rtol=1e-4
    )


# ---- the interface ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "patch", "channels"), [(32, 4, 8), (32, 8, 8), (64, 8, 16), (48, 16, 4), (8, 1, 3)])
def test_shapes(side, patch, channels):
    model = tiny(image_size=side, patch_size=patch, latent_channels=channels)
    tokens = model.encode(some_images(2, side))
    assert tokens.shape == (2, (side // patch) ** 2, channels) == (2, model.tokens, model.latent_channels)
    assert model.decode(tokens).shape == (2, 3, side, side)


def test_encoding_is_deterministic_in_either_mode_and_sampled_on_request():
    model, images = tiny().train(), some_images()
    tokens = model.encode(images)
    assert torch.equal(tokens, model.encode(images))
    assert torch.equal(tokens, model.eval().encode(images))
    assert torch.equal(tokens, model.posterior(images).mean)
    sample = model.encode(images, rng=seeded(1))
    assert torch.equal(sample, model.encode(images, rng=seeded(1)))
    assert not torch.equal(sample, model.encode(images, rng=seeded(2)))
    assert (sample - tokens).std() > 0.1


def test_eval_corrupts_nothing():
    model, images = tiny().eval(), some_images()
    output = model(images)
    assert output.posterior.mean.shape == (4, 64, 8)
    assert torch.equal(output.images, model.decode(model.encode(images)))
    assert not torch.equal(output.images, model.train()(images, seeded()).images)


def test_training_is_a_function_of_the_generator():
    model, images = tiny().train(), some_images()
    first, again, other = (model(images, seeded(seed)).images for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gradients_reach_every_parameter():
    model = tiny(mask_mode="constant")
    (terms,) = all_losses(model, some_images()).values()
    sum(terms.values()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_mask_token_gets_a_zero_gradient_when_nothing_is_masked():
    model = tiny(gamma=0.0, mask_ratio=0.0)
    (terms,) = all_losses(model, some_images()).values()
    sum(terms.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert not model.decoder.mask_token.grad.any()


def test_unusable_settings_are_refused():
    for changes in (
        {"patch_size": 5},
        {"noise": "salt"},
        {"mask_mode": "often"},
        {"mask_ratio": 1.0},
        {"gamma": -1.0},
        {"perceptual": "vgg"},
        {"gan_start_step": 0, "discriminator": None},
    ):
        with pytest.raises(ValueError):
            tiny(**changes)


# ---- losses -----------------------------------------------------------------------------------------------------


def test_terms_are_weighted_and_on_unit_range():
    model, images = tiny(loss_weights={"mse": 2.0, "perceptual": 0.0, "kl": 1e-3, "gan": 0.1}).eval(), some_images()
    terms = all_losses(model, images)["autoencoder"]
    assert set(terms) == {"mse", "kl"}
    output = model(images)
    assert terms["mse"].item() == pytest.approx(2 * ((output.images - images) ** 2).mean().item() / 4, rel=1e-5)
    mean, logvar = output.posterior.mean, output.posterior.logvar
    summed = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(dim=(1, 2))
    assert terms["kl"].item() == pytest.approx(1e-3 * summed.mean().item(), rel=1e-5)


def test_losses_are_float32_under_autocast():
    model = tiny(gan_start_step=0, mask_mode="constant").train()
    model.discriminator.register_forward_pre_hook(lambda module, inputs: dtypes.append(inputs[0].dtype))
    model.discriminator.main[0].register_forward_hook(lambda module, inputs, out: dtypes.append(out.dtype))
    dtypes = []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for terms in all_losses(model, some_images()).values():
            dtypes += [term.dtype for term in terms.values()]
            sum(terms.values()).backward()
    assert set(dtypes) == {torch.float32}
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_gan_waits_for_its_step():
    model = tiny(gan_start_step=5)
    assert list(all_losses(model, some_images(), step=4)) == ["autoencoder"]
    assert "gan" not in all_losses(model, some_images(), step=4)["autoencoder"]
    late = all_losses(model, some_images(), step=5)
    assert list(late) == ["autoencoder", "discriminator"]
    assert "gan" in late["autoencoder"] and list(late["discriminator"]) == ["hinge"]


def test_without_gan_there_is_no_discriminator():
    assert not any(name.startswith("discriminator") for name in tiny().state_dict())
    assert list(tiny().parameter_groups()) == ["autoencoder"]
    model = tiny(gan_start_step=0)
    groups = model.parameter_groups()
    assert list(groups) == ["autoencoder", "discriminator"]
    assert sum(map(len, groups.values())) == len(list(model.parameters()))
    tokenizer = {name for name in model.state_dict() if not name.startswith("discriminator.")}
    assert tokenizer == set(tiny().state_dict())


def test_each_update_moves_its_own_half():
    model = tiny(gan_start_step=0).train()
    optimizers = {
        group: torch.optim.SGD([p for _, p in named], lr=0.1) for group, named in model.parameter_groups().items()
    }
    for group, terms in model.losses({"images": some_images()}, 0, seeded()):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        sum(terms.values()).backward()
        reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
        assert reached == ({"discriminator"} if group == "discriminator" else {"encoder", "decoder"})
        optimizers[group].step()
        model.zero_grad(set_to_none=True)
        moved = {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert moved == reached
    assert all(p.requires_grad for p in model.discriminator.parameters())


def test_gan_term_pushes_images_and_hinge_uses_both_sides():
    model = tiny(
        gan_start_step=0, gamma=0.0, mask_ratio=0.0, loss_weights={"mse": 0.0, "perceptual": 0.0, "kl": 0.0, "gan": 0.5}
    ).eval()
    images = some_images()
    groups = all_losses(model, images)
    fake, real = model(images).images * 0.5 + 0.5, images * 0.5 + 0.5
    on_fake, on_real = model.discriminator(fake), model.discriminator(real)
    assert groups["autoencoder"]["gan"].item() == pytest.approx(-0.5 * on_fake.mean().item(), rel=1e-4)
    hinge = 0.5 * ((1 - on_real).clamp(min=0).mean() + (1 + on_fake).clamp(min=0).mean())
    assert groups["discriminator"]["hinge"].item() == pytest.approx(hinge.item(), rel=1e-4)
    groups["autoencoder"]["gan"].backward()
    assert model.decoder.conv_out.weight.grad.any()


def test_perceptual_loss_is_weighted_outside_the_model_and_optional():
    model = tiny(perceptual="lpips+convnext", loss_weights={"mse": 1.0, "perceptual": 0.5, "kl": 0.0, "gan": 0.0})
    assert model.perceptual_loss is perceptual.pretrained_perceptual_loss
    assert tiny(perceptual="lite2").perceptual_loss is perceptual.lite2_distance
    assert set(model.state_dict()) == set(tiny().state_dict())
    seen = []

    def distance(target, prediction):
        seen.append((target, prediction))
        return (target - prediction).abs().mean()

    model.perceptual_loss, images = distance, some_images()
    terms = all_losses(model, images)["autoencoder"]
    ((target, prediction),) = seen
    assert torch.equal(target, images)  # in [-1, 1], unlike the squared error's
    assert terms["perceptual"].item() == pytest.approx(0.5 * (target - prediction).abs().mean().item())
    weightless = {"mse": 1.0, "perceptual": 0.0, "kl": 0.0, "gan": 0.0}
    assert tiny(perceptual="lpips+convnext", loss_weights=weightless).perceptual_loss is None


def test_missing_perceptual_weights_are_named(monkeypatch):
    monkeypatch.delenv(perceptual.FOLDER_VARIABLE, raising=False)
    model = tiny(perceptual="lpips+convnext")
    with pytest.raises(FileNotFoundError, match=r"vgg\.pth"):
        all_losses(model, some_images())


# ---- optimizers -------------------------------------------------------------------------------------------------


def test_weight_decay_spares_embeddings_tokens_and_vectors():
    model = tiny(gan_start_step=0)
    spared = {name for name, p in model.named_parameters() if model.no_weight_decay(name, p)}
    vectors = {name for name, p in model.named_parameters() if p.ndim < 2}
    assert spared - vectors == {
        "encoder.positional_embedding",
        "decoder.positional_embedding",
        "decoder.mask_token",
        "encoder.patch_embed.weight",
        "decoder.decoder_embed.weight",
    }
    assert vectors <= spared


def test_decoder_fine_tuning_trains_the_decoder_only():
    model = tiny(gan_start_step=0)
    model.freeze_encoder()
    names = [name for name, _ in model.parameter_groups()["autoencoder"]]
    assert names and all(name.startswith("decoder.") for name in names)
    for terms in all_losses(model, some_images()).values():
        sum(terms.values()).backward()
    assert all(p.grad is None for p in model.encoder.parameters())


def test_initialisation():
    model = tiny(encoder={"width": 256, "blocks": 1, "heads": 4})
    block = model.encoder.blocks[0]
    assert block.attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert model.encoder.positional_embedding.std().item() == pytest.approx(256**-0.5, rel=0.03)
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith("bias"))
    assert (block.norm1.weight == 1).all()


# ---- official weights -------------------------------------------------------------------------------------------


def as_official(name):
    """The inverse of our_name, written down by hand."""
    name = name.replace(".blocks.", ".transformer.").replace("decoder.head.", "decoder.ffn.1.")
    return name.replace("encoder.patch_embed.", "encoder.patch_embed.0.")


@pytest.mark.parametrize("container", ["model_ema", "model", "plain", "safetensors"])
def test_official_files_load(tmp_path, container):
    source, model = tiny(), tiny(gan_start_step=0)
    nn.init.normal_(source.decoder.mask_token)
    state = {as_official(name): tensor for name, tensor in source.state_dict().items()}
    wrong = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    path = tmp_path / f"weights.{'safetensors' if container == 'safetensors' else 'pth'}"
    if container == "safetensors":
        save_file(state, path)
    else:
        torch.save(
            {
                "model_ema": {"model": wrong, "model_ema": state, "epoch": 3},
                "model": {"model": state, "epoch": 3},
                "plain": state,
            }[container],
            path,
        )
    load_official(model, read_official(path))
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in source.state_dict().items())


def test_weights_that_do_not_fit_are_explained():
    model = tiny()
    state = {as_official(name): tensor + 1 for name, tensor in model.state_dict().items()}
    del state["decoder.ffn.1.bias"]
    state["decoder.extra"] = torch.zeros(1)
    state["decoder.mask_token"] = torch.zeros(1, 1, 7)
    before = model.encoder.latent_head.weight.clone()
    with pytest.raises(ValueError) as error:
        load_official(model, state)
    for part in (
        "missing: decoder.head.bias",
        "unexpected: decoder.extra",
        "shape of decoder.mask_token: (1, 1, 7) in the file, (1, 1, 48) in the model",
    ):
        assert part in str(error.value)
    assert torch.equal(model.encoder.latent_head.weight, before)


def test_key_map_is_one_to_one():
    names = list(tiny().state_dict())
    assert [our_name(as_official(name)) for name in names] == names


# ---- figures A.1 and A.2 ----------------------------------------------------------------------------------------


def test_mask_sweep():
    model, images = tiny().eval(), some_images(2)
    rebuilt = detok.mask_sweep(model, images, [0.0, 0.5, 0.9], seed=3)
    assert rebuilt.shape == (3, 2, 3, 32, 32)
    torch.testing.assert_close(rebuilt[0], model.decode(model.encode(images)), atol=1e-5, rtol=1e-4)
    alone = detok.mask_sweep(model, images[1:], [0.9], seed=4)
    torch.testing.assert_close(alone[0], rebuilt[2, 1:], atol=1e-5, rtol=1e-4)
