"""What narrow networks start with: an image has to come through them, at any width."""

import pytest
import torch
from torch import nn

from tesserae.generators import mar
from tesserae.nn import clip_blocks
from tesserae.nn.first_weights import start_narrow
from tesserae.nn.positions import sincos_2d
from tesserae.tokenizers import detok
from tests import golden
from tests.small import DETOK


def network(width: int, narrow: bool) -> detok.DeTok:
    torch.manual_seed(0)
    size = {"width": width, "blocks": 3, "heads": 2}
    model = detok.build(DETOK | {"encoder": size, "decoder": size, "gan_start_step": 1})
    if narrow:
        start_narrow(model)
    return model.eval()


def what_comes_through(model: detok.DeTok) -> float:
    """Deviation of the output over images, which have a deviation of 1."""
    with torch.no_grad():
        output = model.decode(model.encode(torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(1))))
    return output.std(0).mean().item()


@pytest.mark.parametrize("width", [32, 64, 192])
def test_images_come_through_at_any_width(width):
    assert what_comes_through(network(width, narrow=True)) > 0.1
    assert what_comes_through(network(width, narrow=False)) < 0.03


def test_what_starts_at_zero_stays_and_discriminators_are_spared():
    before, after = network(32, narrow=False), network(32, narrow=True)
    found = dict(after.named_parameters())
    for name, p in before.named_parameters():
        if name.endswith("bias") or name.startswith("discriminator."):
            assert torch.equal(p, found[name]), name
    zero = nn.Linear(8, 8)
    nn.init.zeros_(zero.weight)
    start_narrow(zero)
    assert not zero.weight.any()


def test_colours_pass_the_last_convolution_as_they_are():
    pixels = torch.rand(2, 3, 8, 8)
    convolution = network(32, narrow=True).decoder.conv_out
    assert torch.allclose(convolution(pixels), pixels, atol=1e-7)


def test_residual_branches_start_damped():
    model = network(192, narrow=True)
    block = model.encoder.blocks[0]
    assert block.attn.proj.weight.std().item() == pytest.approx(0.3 * 0.88 * 192**-0.5, rel=0.05)  # truncated at two
    assert block.attn.qkv.weight.std().item() == pytest.approx(0.88 * 192**-0.5, rel=0.05)


def test_projections_that_are_bare_parameters_are_not_forgotten():
    attention = clip_blocks.Block(64, 2).attn
    before = attention.in_proj_weight.clone()
    start_narrow(attention)
    assert not torch.equal(before, attention.in_proj_weight)


def test_learned_positions_start_where_the_tokens_stand():
    model = mar.build(golden.load("mar")["spec"])
    slots = model.encoder_pos_embed_learned[0, : model.buffer_size].clone()
    start_narrow(model)
    side = int(model.token_length**0.5)
    assert side * side == model.token_length
    table = sincos_2d(model.encoder_pos_embed_learned.shape[-1], side, side)
    assert torch.equal(model.encoder_pos_embed_learned[0, model.buffer_size :], table)
    assert torch.equal(model.diffusion_pos_embed_learned[0], table)
    assert torch.equal(model.encoder_pos_embed_learned[0, : model.buffer_size], slots)
