"""Tokens that are added pass by pass: parity with ALIT's official code, codes, losses, what is refused."""

import pytest
import torch
from torch import nn

from tesserae.tokenizers.alit_like import build
from tests import golden
from tests.golden import assert_golden
from tests.small import ALIT_LIKE as TINY
from tests.tokenizers.batches import losses_of, reached, seeded, some_images


def tiny(**changes):
    torch.manual_seed(0)
    model = build(TINY | changes)
    golden.fill_by_name(model, 0.3)
    return model.eval()


@torch.no_grad()
def test_passes_of_the_official_code():
    wanted = golden.load("alit")
    size = {"width": wanted["width"], "blocks": wanted["blocks"], "heads": wanted["heads"]}
    shape = {"latent_tokens": wanted["new_tokens"] * wanted["passes"], "new_tokens": wanted["new_tokens"]}
    codes = {"codebook_size": wanted["codebook_size"], "code_width": wanted["code_width"]}
    model = build(TINY | shape | codes | {"encoder": size, "decoder": size})
    model.encoder.patch_embed = nn.Identity()  # what is embedded comes from the official VQGAN there
    model.decoder.ffn[2] = nn.Linear(2 * size["width"], wanted["outputs"])  # its codes
    golden.fill_by_name(model, wanted["fill"])
    tokens = nn.functional.normalize(golden.seeded_array("tokens", (2, 16, size["width"])), dim=-1)
    for number, latents in enumerate(model.encoder(tokens)):
        quantized = model.quantize(latents)
        assert_golden(latents, wanted["latents"][number])
        assert_golden(model.decoder(quantized.vectors), wanted["said"][number])
        pulled = quantized.codebook + 0.25 * quantized.commitment
        assert pulled.item() == pytest.approx(wanted["quantizer"][number], rel=1e-5)
    assert number == wanted["passes"] - 1


@torch.no_grad()
def test_each_pass_adds_tokens_and_writes_all_anew():
    model = tiny()
    latents = model.latents(some_images())
    assert [one.shape for one in latents] == [(4, count, 4) for count in (2, 4, 6, 8)]
    assert not torch.allclose(latents[0], latents[1][:, :2], atol=1e-3)
    codes = model.encode(some_images())
    assert codes.dtype == torch.int64 and codes.shape == (4, 8) and codes.max() < 24
    assert torch.equal(codes, model.quantize(latents[-1]).codes)
    torch.testing.assert_close(model.code_vectors(codes).norm(dim=2), torch.ones(4, 8))
    assert model.decode(codes).shape == model.decode(codes[:, :2]).shape == (4, 3, 16, 16)


@torch.no_grad()
def test_later_passes_add_to_what_earlier_ones_found():
    model, shorter = tiny(), tiny(latent_tokens=4)
    own = shorter.state_dict()
    shorter.load_state_dict(
        {name: value[: len(own[name])] if own[name].ndim else value for name, value in model.state_dict().items()}
    )
    for one, other in zip(shorter.latents(some_images()), model.latents(some_images()), strict=False):
        torch.testing.assert_close(one, other)


def test_losses_of_all_passes():
    model = tiny().train()
    images = some_images()
    terms = losses_of(model, {"images": images})["autoencoder"]
    with torch.no_grad():
        passes = [(model.pixels(found), quantized) for found, quantized in model(images)]
    errors = [(made - images).square().mean() for made, _ in passes]
    weighted = sum(w * error for w, error in zip([2.0, 1.5, 1.0, 1.0], errors, strict=True))
    torch.testing.assert_close(terms["reconstruction"].detach(), weighted)
    pulled = sum(quantized.codebook + 0.25 * quantized.commitment for _, quantized in passes)
    torch.testing.assert_close(terms["quantizer"].detach(), pulled)
    assert reached(model, terms) == {"encoder", "decoder", "quantize"}
    ((_, _, watched),) = model.losses({"images": images}, 0, seeded())
    assert watched["first_pass"].item() == pytest.approx(errors[0].item(), rel=1e-5)


def test_a_frozen_encoder_leaves_codes_as_they_are():
    model = tiny()
    model.freeze_encoder()
    assert {name.split(".")[0] for name, _ in model.parameter_groups()["autoencoder"]} == {"decoder"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"new_tokens": 3}, "8 tokens cannot be added by 3 in at most 5 passes"),
        ({"new_tokens": 1}, "8 tokens cannot be added by 1 in at most 5 passes"),
        ({"patch_size": 5}, "image side 16 is not divisible by patches of 5"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        tiny(**changes)
