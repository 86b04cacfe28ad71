"""The convolutional KL autoencoder: parity with official numbers, tokens, losses, published weights."""

import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tesserae.losses import perceptual
from tesserae.nn.conv_autoencoder import group_norm
from tesserae.nn.conv_names import name_of_diffusers
from tesserae.nn.official import read_official
from tesserae.quantizers.gaussian import GaussianPosterior
from tesserae.tokenizers.first_stage import Reconstruction
from tesserae.tokenizers.kl_vae import build
from tesserae.tokenizers.kl_vae_weights import DROPPED, load_official
from tests import golden
from tests.golden import assert_golden
from tests.tokenizers.batches import all_losses, seeded, some_images

TINY = {
    "image_size": 16,
    "channels": 8,
    "multipliers": [1, 2],
    "res_blocks": 1,
    "latent_channels": 3,
    "latent_patch": 2,
    "encoder_attention": True,
    "decoder_attention": False,
    "noise": "interpolative",
    "gamma": 0.0,
    "perceptual": "none",
    "loss_weights": {"reconstruction": 1.0, "perceptual": 1.0, "kl": 1e-6, "gan": 0.5},
    "adaptive_gan": True,
    "gan_start_step": None,
    "discriminator": {"channels": 8, "layers": 1},
}
PUBLISHED = {"image_size": 256, "channels": 128, "res_blocks": 2}
MAR_VAE = PUBLISHED | {"multipliers": [1, 1, 2, 2, 4], "latent_channels": 16, "latent_patch": 1}
SD_VAE = PUBLISHED | {"multipliers": [1, 2, 4, 4], "latent_channels": 4, "encoder_attention": False}
GOLDEN = golden.load("kl_vae")


def tiny(**changes):
    torch.manual_seed(0)
    return build(TINY | changes)


# ---- parity -----------------------------------------------------------------------------------------------------


def assert_official_numbers(model, wanted):
    """Of a model that halves 16 x 16 images and has 4 channels."""
    images = golden.seeded_array("images", (2, 3, 16, 16), 0.5).clamp(-1, 1)
    posterior = model.posterior(images)
    moments = [model.to_maps(each) for each in (posterior.mean, posterior.logvar)]
    assert_golden(torch.cat(moments, dim=1), wanted["moments"])
    assert_golden(model.decode(model.to_tokens(golden.seeded_array("latents", (2, 4, 8, 8)))), wanted["decoded"])
    assert_golden(model.eval()(images).images, wanted["reconstruction"])


OLD_NAMES = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}


@torch.no_grad()
@pytest.mark.parametrize("naming", ["ldm", "diffusers", "old diffusers"])
@pytest.mark.parametrize("patch", [1, 2])
def test_official_numbers(naming, patch):
    wanted = GOLDEN[naming.removeprefix("old ")]
    state = golden.state_by_name(wanted["keys"], GOLDEN["scale"])
    if naming == "old diffusers":
        state = {re.sub("|".join(OLD_NAMES), lambda m: OLD_NAMES[m[0]], name): t for name, t in state.items()}
        assert "encoder.mid_block.attentions.0.proj_attn.weight" in state
    model = tiny(channels=128, latent_channels=4, latent_patch=patch, encoder_attention=naming == "ldm")
    assert load_official(model, state) == 0
    assert_official_numbers(model, wanted)


@pytest.mark.parametrize(
    ("spec", "tensors", "parameters", "tokens"),
    [(MAR_VAE, 312, 66_456_019, (256, 16)), (SD_VAE, 248, 83_653_863, (256, 16))],
)
def test_published_sizes(spec, tensors, parameters, tokens):
    with torch.device("meta"):
        model = build(TINY | spec)
    assert len(model.state_dict()) == tensors
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert (model.tokens, model.latent_channels) == tokens


@pytest.mark.parametrize(("width", "groups"), [(128, 32), (512, 32), (64, 16), (16, 4), (4, 1), (2, 1)])
def test_groups_are_official_at_official_widths_and_of_four_channels_below(width, groups):
    assert group_norm(width).num_groups == groups


# ---- tokens -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "multipliers", "patch", "channels"), [(16, [1, 2], 2, 3), (16, [1, 1, 2], 1, 5), (24, [1], 3, 2)]
)
@torch.no_grad()
def test_shapes(side, multipliers, patch, channels):
    model = tiny(image_size=side, multipliers=multipliers, latent_patch=patch, latent_channels=channels)
    grid = side // 2 ** (len(multipliers) - 1) // patch
    tokens = model.encode(some_images(2, side))
    assert tokens.shape == (2, grid**2, patch**2 * channels) == (2, model.tokens, model.latent_channels)
    assert model.decode(tokens).shape == (2, 3, side, side)


def test_a_token_is_a_square_of_latents_by_channel_row_and_column():
    model = tiny()  # 8 x 8 latents of 3 channels, 4 x 4 tokens of 12 values
    maps = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8)
    tokens = model.to_tokens(maps)
    assert torch.equal(tokens[1, 4 * 2 + 3], maps[1, :, 4:6, 6:8].flatten())  # row 2, column 3
    assert torch.equal(model.to_maps(tokens), maps)


@torch.no_grad()
def test_encoding_is_deterministic_in_either_mode_and_sampled_on_request():
    model, images = tiny().train(), some_images()
    tokens = model.encode(images)
    assert torch.equal(tokens, model.eval().encode(images))
    assert torch.equal(tokens, model.posterior(images).mean)
    sample = model.encode(images, rng=seeded(1))
    assert torch.equal(sample, model.encode(images, rng=seeded(1)))
    assert (sample - tokens).std() > 0.1


@torch.no_grad()
def test_training_samples_and_eval_does_not():
    model, images = tiny().train(), some_images()
    first, again, other = (model(images, seeded(seed)).images for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    output = model.eval()(images)
    assert torch.equal(output.images, model.decode(model.encode(images)))
    assert torch.equal(output.latents, model.encode(images))


@torch.no_grad()
def test_noise_of_the_control_experiment():
    images = some_images(64)
    seen = {}
    for gamma in (0.0, 3.0):
        model = tiny(gamma=gamma).train()
        nn.init.zeros_(model.quant_conv.weight)
        model.quant_conv.bias.data = torch.tensor([10.0] * 3 + [-30.0] * 3)
        model.post_quant_conv.register_forward_pre_hook(lambda _, x, gamma=gamma: seen.update({gamma: x[0]}))
        output = model(images, seeded())
        assert torch.allclose(output.latents, torch.tensor(10.0), atol=1e-4)  # before the noise
    assert torch.allclose(seen[0.0], torch.tensor(10.0), atol=1e-4)
    tau = 1 - seen[3.0].mean(dim=(1, 2, 3)) / 10  # interpolation draws means to 0, each image's by its own level
    assert tau.min() < 0.2 and tau.max() > 0.8
    assert seen[3.0].std(dim=(1, 2, 3)).tolist() == pytest.approx((3 * tau).tolist(), rel=0.25, abs=0.1)
    model.eval()(images)
    assert seen[3.0].std() < 1e-3  # nothing is corrupted at use


def test_unusable_settings_are_refused():
    for changes in (
        {"image_size": 18},
        {"noise": "salt"},
        {"gamma": -1.0},
        {"perceptual": "vgg"},
        {"gan_start_step": 0, "discriminator": None},
    ):
        with pytest.raises(ValueError):
            tiny(**changes)


# ---- losses -----------------------------------------------------------------------------------------------------


def test_errors_are_summed_over_pixels_and_averaged_over_images():
    weights = {"reconstruction": 2.0, "perceptual": 0.5, "kl": 1e-3, "gan": 0.0}
    model, images = tiny(loss_weights=weights).eval(), some_images()
    seen = []

    def distance(target, prediction):
        seen.append((target, prediction))
        return torch.tensor(0.25)

    model.perceptual_loss = distance
    terms = all_losses(model, images)["autoencoder"]
    output = model(images)
    assert terms["reconstruction"].item() == pytest.approx(2 * (output.images - images).abs().sum().item() / 4)
    assert terms["perceptual"].item() == pytest.approx(0.5 * 0.25 * 3 * 16 * 16)
    assert terms["kl"].item() == pytest.approx(1e-3 * output.posterior.kl().sum().item() / 4, rel=1e-5)
    assert torch.equal(seen[0][0], images) and torch.equal(seen[0][1], output.images)  # in [-1, 1], target first


def test_without_perceptual_network_there_is_no_term():
    assert "perceptual" not in all_losses(tiny(), some_images())["autoencoder"]
    assert tiny(perceptual="lpips").perceptual_loss is perceptual.pretrained_lpips
    assert tiny(perceptual="lite2").perceptual_loss is perceptual.lite2_distance
    assert set(tiny(perceptual="lpips").state_dict()) == set(tiny().state_dict())
    weightless = TINY["loss_weights"] | {"perceptual": 0.0}
    assert tiny(perceptual="lpips", loss_weights=weightless).perceptual_loss is None


def test_missing_perceptual_weights_are_named(monkeypatch):
    monkeypatch.delenv(perceptual.FOLDER_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=r"vgg\.pth") as error:
        all_losses(tiny(perceptual="lpips"), some_images())
    assert "convnext" not in str(error.value)  # which latent diffusion's loss does without


def test_gan_waits_for_its_step():
    model = tiny(gan_start_step=5)
    assert list(all_losses(model, some_images(), step=4)) == ["autoencoder"]
    assert "gan" not in all_losses(model, some_images(), step=4)["autoencoder"]
    late = all_losses(model, some_images(), step=5)
    assert "gan" in late["autoencoder"] and list(late["discriminator"]) == ["hinge"]


def test_adaptive_weight_makes_both_losses_pull_equally_at_the_last_layer():
    model = tiny(gan_start_step=0)
    terms = all_losses(model, some_images())["autoencoder"]
    last = model.decoder.conv_out.weight
    pulls = [torch.autograd.grad(terms[name], last, retain_graph=True)[0].norm() for name in ("reconstruction", "gan")]
    assert (pulls[1] / pulls[0]).item() == pytest.approx(0.5, rel=1e-2)
    plain = all_losses(tiny(gan_start_step=0, adaptive_gan=False), some_images())["autoencoder"]["gan"]
    assert plain.sign() == terms["gan"].sign() and plain.abs() < terms["gan"].abs()
    fixed = tiny(gan_start_step=0, adaptive_gan=False).eval()
    images = some_images()
    wanted = -0.5 * fixed.discriminator(fixed(images).images).mean().item()
    assert all_losses(fixed, images)["autoencoder"]["gan"].item() == pytest.approx(wanted, rel=1e-4)


def test_each_update_moves_its_own_half():
    model = tiny(gan_start_step=0).train()
    groups = model.parameter_groups()
    assert sum(map(len, groups.values())) == len(list(model.parameters()))
    optimizers = {group: torch.optim.SGD([p for _, p in named], lr=1e-5) for group, named in groups.items()}
    for group, terms in model.losses({"images": some_images()}, 0, seeded()):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        sum(terms.values()).backward()
        reached = {name for name, p in model.named_parameters() if p.grad is not None}
        assert reached == {name for name, _ in groups[group]}  # every parameter of the group, at every step
        optimizers[group].step()
        model.zero_grad(set_to_none=True)
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert moved and moved <= reached
    assert all(p.requires_grad for p in model.discriminator.parameters())


def test_losses_are_float32_under_autocast():
    model, dtypes = tiny(gan_start_step=0).train(), []
    model.discriminator.main[0].register_forward_hook(lambda module, inputs, out: dtypes.append(out.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for terms in all_losses(model, some_images()).values():
            dtypes += [term.dtype for term in terms.values()]
            sum(terms.values()).backward()
    assert set(dtypes) == {torch.float32}
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_decoder_fine_tuning_trains_the_decoder_only():
    model = tiny(gan_start_step=0, gamma=3.0).train()
    model.freeze_encoder()
    names = {name for name, _ in model.parameter_groups()["autoencoder"]}
    assert {name.split(".")[0] for name in names} == {"decoder", "post_quant_conv"}
    sum(all_losses(model, some_images())["autoencoder"].values()).backward()
    assert names == {name for name, p in model.named_parameters() if p.grad is not None and "discrim" not in name}


def test_training_reduces_the_error():
    model, images = tiny().train(), some_images(4)
    images = nn.functional.interpolate(images[..., ::4, ::4], scale_factor=4.0)  # blocks of one colour
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    errors = []
    for step in range(40):
        terms = all_losses(model, images, step, step)["autoencoder"]
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        errors.append(terms["reconstruction"].item())
    assert errors[-1] < 0.7 * errors[0]


def test_what_training_alone_needs_is_named():
    model = tiny(gan_start_step=0)
    kept = {name for name in model.state_dict() if not name.startswith(model.TRAINING_ONLY)}
    assert kept == set(tiny().state_dict())
    assert all(model.no_weight_decay(name, p) == (p.ndim == 1) for name, p in model.named_parameters())


# ---- published weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["model", "state_dict", "plain", "safetensors"])
def test_published_files_load(tmp_path, container):
    source, model = tiny(), tiny(gan_start_step=0)
    nn.init.normal_(source.quant_conv.bias)
    used = dict(source.state_dict())
    state = used | {f"{prefix}some.weight": torch.zeros(2) for prefix in DROPPED}
    path = tmp_path / f"weights.{'safetensors' if container == 'safetensors' else 'ckpt'}"
    if container == "safetensors":
        save_file(state, path)
    else:
        torch.save({"model": {"model": state}, "state_dict": {"state_dict": state}, "plain": state}[container], path)
    assert load_official(model, read_official(path)) == len(DROPPED) == 3
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in used.items())


def test_weights_that_do_not_fit_are_explained():
    model = tiny()
    state = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    del state["decoder.norm_out.bias"]
    state["encoder.extra"] = torch.zeros(1)
    state["quant_conv.bias"] = torch.zeros(7)
    before = model.encoder.conv_in.weight.clone()
    with pytest.raises(ValueError) as error:
        load_official(model, state)
    for part in ("missing: decoder.norm_out.bias", "unexpected: encoder.extra", "shape of quant_conv.bias: (7,)"):
        assert part in str(error.value)
    assert torch.equal(model.encoder.conv_in.weight, before)
    with pytest.raises(ValueError, match=r"encoder\.down\.1\.attn\.0"):  # the other kind of encoder
        load_official(tiny(encoder_attention=False), tiny().state_dict())


def test_names_are_one_to_one():
    """Our names, and diffusers' of two published layouts."""
    names = list(tiny().state_dict())
    assert [name_of_diffusers(name, 2) for name in names] == names
    model = tiny(channels=128, latent_channels=4, encoder_attention=False)
    assert {name_of_diffusers(name, 2) for name in GOLDEN["diffusers"]["keys"]} == set(model.state_dict())
    for theirs, ours in {
        "decoder.up_blocks.0.resnets.2.conv1.weight": "decoder.up.3.block.2.conv1.weight",
        "encoder.down_blocks.1.resnets.0.conv_shortcut.bias": "encoder.down.1.block.0.nin_shortcut.bias",
    }.items():
        assert name_of_diffusers(theirs, 4) == ours


def test_terms_take_any_output():
    """What the alignment loss of va_vae builds on: the losses are a function of images and output alone."""
    model, images = tiny(), some_images(2)
    flat = GaussianPosterior(torch.zeros(2, 16, 12), torch.zeros(2, 16, 12))
    terms = model.terms(images, Reconstruction(images + 0.5, flat, flat.mean), False)
    assert terms["reconstruction"].item() == pytest.approx(0.5 * 3 * 16 * 16, rel=1e-5)
    assert terms["kl"].item() == 0
