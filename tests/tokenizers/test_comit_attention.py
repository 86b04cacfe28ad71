"""COMiT's attention of tokens to patches, as it is read while an image is drawn."""

import pytest
import torch

from tesserae import contracts
from tesserae.nn.message_transformer import biased
from tesserae.tokenizers import comit_drawing
from tesserae.tokenizers.comit import COMiT, Told

GRID, TOKENS = 4, 5
POLICY = {"order": "global", "whole": True, "crops": 1}


def made(mask: str = "causal", steps: int = 10) -> COMiT:
    """A small COMiT whose blocks are open: every gate and modulation is drawn."""
    torch.manual_seed(0)
    model = COMiT(
        image_size=16,
        first_stage="pixels",
        posterior="mean",
        patch_size=4,
        transformer={"width": 16, "blocks": 3, "heads": 2},
        message_tokens=TOKENS,
        codebook_size=1000,
        levels=[8, 5, 5, 5],
        crop=8,
        mask=mask,
        predicts="velocity",
        gate_start=0.0,
        representation_layer=1,
        projector_width=8,
        looks={"rate": 1, "spread": 0.5, "most": 5, "uniform": False}
        | {"whole_probability": 0.5, "unconditional_probability": 0.2},
        times={"mean": -0.5, "std": 1.0},
        perceptual="none",
        loss_weights={"srepa": 0.0, "repa": 0.0, "perceptual": 0.0, "spread": 0.0},
        teacher=None,
        policy=POLICY,
        sampling={
            "steps": steps,
            "guidance": 2.0,
            "solver": "euler",
            "projection": {"momentum": -0.5, "norm_limit": 2.5, "parallel": 0.0},
        },
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval().requires_grad_(False)


CODES = torch.randint(1000, (3, TOKENS), generator=torch.Generator().manual_seed(1))
WANTED = {0.5: [0, 1, 2], 0.1: [1], 0.9: [1]}


@pytest.fixture(scope="module")
def model() -> COMiT:
    return made()


def read(model: COMiT, wanted, mask="causal", codes=CODES) -> dict:
    return {(time, layer): maps for time, layer, *maps in model.message_attention(codes, wanted, mask=mask, steps=10)}


def test_it_meets_the_contract_of_who_looks_at_images(model):
    assert contracts.unmet(model, contracts.AttendsToImages) == []
    assert (model.attention_blocks, model.attention_mask) == (3, "causal")


def test_maps_come_in_the_order_of_the_drawing_and_are_shares_of_attention(model):
    found = read(model, WANTED)
    assert list(found) == [(0.1, 1), (0.5, 0), (0.5, 1), (0.5, 2), (0.9, 1)]
    for to_image, to_message in found.values():
        assert to_image.shape == to_message.shape == (3, TOKENS, GRID, GRID)
        assert (to_image > 0).all() and (to_image.sum(dim=(2, 3)) < 1).all()  # the rest: offset and message
        assert (to_message.sum(dim=1) < 1).all()  # of each patch; the rest: offset and image


def test_many_at_once_are_each_alone_whatever_the_batch(model):
    found = read(model, WANTED)
    for (time, layer), maps in found.items():
        alone = read(model, {time: [layer]}, codes=CODES[1:2])[time, layer]
        assert all(torch.allclose(one[1:2], other, atol=1e-5) for one, other in zip(maps, alone, strict=True))


def test_a_time_is_that_of_the_first_step_not_before_it(model):
    assert torch.equal(read(model, {0.41: [1]})[0.41, 1][0], read(model, {0.5: [1]})[0.5, 1][0])
    assert not torch.equal(read(model, {0.4: [1]})[0.4, 1][0], read(model, {0.5: [1]})[0.5, 1][0])


@pytest.mark.parametrize("mask", ["causal", "additive_one"])
def test_attention_is_what_the_block_itself_computes_with(mask):
    """Of one layer: values weighed by it are what the layer's attention adds."""
    model = made(mask)
    network, told = model.predictor, model.code_vectors(CODES)
    image, message = network.embedded_image(model.noise(told)), network.embedded_message(told)
    offset, t = network.embedded_offset(torch.zeros(3, 2)), torch.tensor([0.0])
    ((_, found),) = network.attention(image, t, offset, message, [1], mask)
    tokens, sizes = network.sequence(image, offset, message, buffer=True)
    bias, condition = biased(tokens.shape[1], TOKENS, mask), network.t_embedder(1000 * t)
    seen: dict = {}
    network.blocks[1].attn.register_forward_hook(lambda module, given, out: seen.update(read=given[0], out=out))
    for block in network.blocks[:2]:
        tokens = block(tokens, sizes, condition, bias)
    attention = network.blocks[1].attn
    values = attention.qkv(seen["read"]).view(3, -1, 3, 2, 8)[:, :, 2].transpose(1, 2)  # (B, heads, N, 8)
    weighed = attention.proj((found @ values).transpose(1, 2).flatten(2))
    assert torch.allclose(weighed, seen["out"], atol=1e-4)


def test_the_buffer_is_hidden_by_one_mask_and_not_by_the_other():
    """Pitfall P1: the official code's fast path adds 1 where it means to allow."""
    model = made("additive_one")
    before = {mask: read(model, {0.0: [1]}, mask)[0.0, 1][0] for mask in ("causal", "additive_one")}
    model.predictor.r_to_token += torch.randn(16)  # not one number: norms would take it out
    after = {mask: read(model, {0.0: [1]}, mask)[0.0, 1][0] for mask in ("causal", "additive_one")}
    assert torch.equal(before["causal"], after["causal"])  # at t = 0 the drawing has not begun
    assert not torch.allclose(before["additive_one"], after["additive_one"], atol=1e-5)


def test_times_and_layers_that_there_are_not(model):
    with pytest.raises(ValueError, match=r"no step of 10 is at a time of 0\.95 or later, before 1"):
        read(model, {0.95: [1]})
    with pytest.raises(ValueError, match="layer 3 of 3, counted from 0"):
        read(model, {0.5: [3]})


def test_a_drawing_that_is_looked_at_is_the_drawing(model, monkeypatch):
    """The states at which attention is read are those of `decode`, momentum of the guidance included."""
    states: list = []
    euler = comit_drawing.euler
    monkeypatch.setattr(comit_drawing, "euler", lambda *given: states.append(euler(*given)) or states[-1])
    read(model, {0.3: [0], 0.8: [0]})
    told = model.code_vectors(CODES)
    whole = model._field(Told(told, torch.zeros(3, 2)), 2.0)
    expected = euler(whole, model.noise(told), comit_drawing.times(10, CODES.device)[:9])
    assert torch.allclose(states[-1], expected, atol=1e-5)
