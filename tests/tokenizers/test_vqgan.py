"""What LlamaGen's tokenizer and MaskGIT's have in common: codes on a grid, a training in which a GAN begins late."""

import pytest
import torch

from tesserae.losses import perceptual
from tesserae.tokenizers import llamagen_vq, maskgit_vqgan
from tesserae.tokenizers.vqgan import VQGAN
from tests.small import LLAMAGEN_VQ, MASKGIT_VQGAN
from tests.tokenizers.batches import all_losses, seeded, some_images

SMALL = {llamagen_vq: LLAMAGEN_VQ | {"entropy_ratio": 0.1}, maskgit_vqgan: MASKGIT_VQGAN}
DECODERS = {llamagen_vq: {"decoder", "post_quant_conv"}, maskgit_vqgan: {"decoder"}}
ADVERSARIES = {llamagen_vq: ["hinge"], maskgit_vqgan: ["non_saturating", "r1"]}  # terms


@pytest.fixture(params=SMALL, ids=lambda system: system.__name__.rpartition(".")[2])
def system(request):
    return request.param


@pytest.fixture
def tiny(system):
    def build(**changes) -> VQGAN:
        torch.manual_seed(0)
        return system.build(SMALL[system] | changes)

    return build


# ---- codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "multipliers"), [(16, [1, 2]), (24, [1, 1, 2]), (8, [2])])
@torch.no_grad()
def test_shapes(tiny, side, multipliers):
    model = tiny(image_size=side, multipliers=multipliers)
    grid = side // 2 ** (len(multipliers) - 1)
    codes = model.encode(some_images(2, side))
    assert codes.shape == (2, grid**2) == (2, model.tokens) and codes.dtype == torch.int64
    assert model.decode(codes).shape == (2, 3, side, side)


@torch.no_grad()
def test_encoding_is_the_same_in_either_mode_and_needs_no_text(tiny):
    model, images = tiny().train(), some_images()
    codes = model.encode(images)
    assert torch.equal(codes, model.eval().encode(images))
    assert torch.equal(codes, model.encode(images, text=torch.ones(4, 3, 5), rng=seeded()))


def test_unusable_settings_are_refused(tiny):
    for changes in ({"image_size": 17}, {"perceptual": "vgg"}, {"gan_start_step": 0, "discriminator": None}):
        with pytest.raises(ValueError):
            tiny(**changes)


# ---- losses -----------------------------------------------------------------------------------------------------


def test_codes_are_watched(tiny):
    model, images = tiny(), some_images()
    watched = next(model.losses({"images": images}, 0, seeded()))[2]
    assert watched["usage"].item() == pytest.approx(len(model.encode(images).unique()) / 32)
    assert 1 < watched["perplexity"] <= 32
    assert all(value.ndim == 0 and not value.requires_grad for value in watched.values())


def test_perceptual_network_is_read_at_first_use(system, tiny, monkeypatch):
    assert "perceptual" not in all_losses(tiny(), some_images())["autoencoder"]
    assert tiny(perceptual="lite2").perceptual_loss is perceptual.lite2_distance
    model = tiny(perceptual="lpips")
    assert model.perceptual_loss is perceptual.pretrained_lpips and set(model.state_dict()) == set(tiny().state_dict())
    weightless = SMALL[system]["loss_weights"] | {"perceptual": 0.0}
    assert tiny(perceptual="lpips", loss_weights=weightless).perceptual_loss is None
    monkeypatch.delenv(perceptual.FOLDER_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=r"vgg\.pth"):
        all_losses(model, some_images())


def test_gan_waits_for_its_step_and_each_update_moves_its_own_half(system, tiny):
    model, images = tiny(gan_start_step=5).train(), some_images()
    early = all_losses(model, images, step=4)
    assert list(early) == ["autoencoder"] and "gan" not in early["autoencoder"]
    groups, reached = model.parameter_groups(), {}
    for group, terms, *_ in model.losses({"images": images}, 5, seeded()):
        model.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        reached[group] = {name for name, p in model.named_parameters() if p.grad is not None}
    assert list(terms) == ADVERSARIES[system] and all(term > 0 for term in terms.values())
    assert reached == {group: {name for name, _ in named} for group, named in groups.items()}  # all, at every step
    assert set.union(*reached.values()) == {name for name, _ in model.named_parameters()}
    assert all(p.requires_grad for p in model.discriminator.parameters())


def test_losses_are_float32_under_autocast(tiny):
    model, dtypes = tiny(gan_start_step=0).train(), set()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for terms in all_losses(model, some_images()).values():
            dtypes |= {term.dtype for term in terms.values()}
            sum(terms.values()).backward()
    assert dtypes == {torch.float32}
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_decoder_fine_tuning_trains_the_decoder_only(system, tiny):
    model, images = tiny(gan_start_step=0).train(), some_images()
    model.freeze_encoder()
    names = {name for name, _ in model.parameter_groups()["autoencoder"]}
    assert {name.split(".")[0] for name in names} == DECODERS[system]
    sum(all_losses(model, images)["autoencoder"].values()).backward()
    assert names == {name for name, p in model.named_parameters() if p.grad is not None and "discrim" not in name}


def test_what_training_alone_needs_is_named(tiny):
    model = tiny(gan_start_step=0)
    kept = {name for name in model.state_dict() if not name.startswith(model.TRAINING_ONLY)}
    assert kept == set(tiny().state_dict())
    assert all(model.no_weight_decay(name, p) == (p.ndim == 1) for name, p in model.named_parameters())
