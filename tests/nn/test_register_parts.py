"""Registers behind patches, and a transformer that reads tokens beside noisy patches: who sees whom, parity."""

import pytest
import torch

from tesserae.nn.conditioned_transformer import ConditionedTransformer, GroupedBlock
from tesserae.nn.masked_attention import MaskedAttention, prefix_mask
from tesserae.nn.patches import patchify, unpatchify
from tesserae.nn.register_encoder import RegisterEncoder
from tests import golden
from tests.golden import assert_golden

SIZE = {"width": 16, "blocks": 2, "heads": 2}
P, N = 6, 4


def test_who_sees_whom():
    x, o = True, False
    assert prefix_mask(2, 3, causal=True).tolist() == [
        [x, x, o, o, o],
        [x, x, o, o, o],
        [x, x, x, o, o],
        [x, x, x, x, o],
        [x, x, x, x, x],
    ]
    assert prefix_mask(1, 2, causal=False).tolist() == [[x, o, o], [x, x, x], [x, x, x]]


def test_attention_without_a_mask_is_attention():
    torch.manual_seed(0)
    layer, x = MaskedAttention(16, 2), torch.randn(2, P, 16)
    everything = layer(x, mask=torch.ones(P, P, dtype=torch.bool))
    torch.testing.assert_close(layer(x), everything)
    torch.testing.assert_close(super(MaskedAttention, layer).forward(x), everything)


@pytest.mark.parametrize("causal", [True, False])
def test_a_register_hears_of_those_before_it_alone(causal):
    torch.manual_seed(0)
    encoder = RegisterEncoder(SIZE, P, 5, N, 3, causal=causal)
    patches = torch.randn(2, P, 5)
    before = encoder(patches)
    with torch.no_grad():
        encoder.registers[2, 0] += 1  # not all alike, which a norm would take back
    changed = (encoder(patches) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.tolist() == ([False, False, True, True] if causal else [True] * N)
    assert (encoder(torch.cat([patches[:, :-1], patches[:, -1:] + 1], dim=1)) != before).any(dim=2).all()


def test_a_block_is_that_of_the_official_code():
    wanted = golden.load("flextok")["block"]
    block, patches, tokens = GroupedBlock(wanted["width"], wanted["heads"]), wanted["patches"], wanted["tokens"]
    golden.fill_by_name(block, wanted["fill"])
    x = golden.seeded_array("x", (3, patches + tokens, wanted["width"]))
    condition = golden.seeded_array("condition", (3, wanted["width"]))
    # Numbers reach 20, and the official norm has an epsilon of 1e-5, not 1e-6.
    with torch.no_grad():
        assert_golden(block(x, condition, patches, None), wanted["output"], tolerance=2e-4)


def conditioned():
    torch.manual_seed(0)
    model = ConditionedTransformer(SIZE, P, 5, N, 3)
    golden.fill_by_name(model, 0.3)
    return model, torch.randn(2, P, 5), torch.tensor([0.2, 0.7]), torch.randn(2, N, 3)


def test_a_hidden_token_says_nothing():
    model, x, t, vectors = conditioned()
    visible = torch.tensor([[True, True, False, False], [False] * N])
    said = model(x, t, model.embedded(vectors), visible=visible).patches
    vectors[:, 2:] += 1
    torch.testing.assert_close(model(x, t, model.embedded(vectors), visible=visible).patches, said)
    vectors[:, 1] += 1
    changed = (model(x, t, model.embedded(vectors), visible=visible).patches - said).abs().amax(dim=(1, 2)) > 1e-4
    assert changed.tolist() == [True, False]  # of the second image no token is seen
    whole = model(x, t, model.embedded(vectors), visible=torch.ones(2, N, dtype=torch.bool)).patches
    torch.testing.assert_close(whole, model(x, t, model.embedded(vectors)).patches)


def test_one_time_is_that_time_for_all_and_states_are_of_the_block_asked_for():
    model, x, _, vectors = conditioned()
    tokens = model.embedded(vectors)
    one, all_alike = (model(x, torch.full((n,), 0.4), tokens, after=1) for n in (1, 2))
    torch.testing.assert_close(one.patches, all_alike.patches)
    first, last = (model(x, torch.full((2,), 0.4), tokens, after=block).hidden for block in (0, 1))
    assert first.shape == (2, P, 16) and not torch.allclose(first, last)


def test_it_starts_as_zero():
    model = ConditionedTransformer(SIZE, P, 5, N, 3)
    said = model(torch.randn(2, P, 5), torch.rand(2), torch.randn(2, N, 16)).patches
    assert not said.any()


def test_gates_may_start_open():
    condition = torch.zeros(1, 16)  # leaves the biases alone
    for start in (0.0, 0.1):
        model = ConditionedTransformer(SIZE, P, 5, N, 3, start)
        for block in model.blocks:
            shift1, scale1, gate1, shift2, scale2, gate2 = block.adaLN_modulation(condition).view(2, 6, 16).unbind(1)
            assert not torch.cat([shift1, scale1, shift2, scale2]).any()
            assert torch.equal(torch.cat([gate1, gate2]), torch.full((4, 16), start))


def test_patches_and_back():
    images = torch.randn(2, 3, 8, 8)
    patches = patchify(images, 4)
    assert patches.shape == (2, 4, 48)
    assert torch.equal(
        patches[1, 1].view(4, 4, 3), images[1, :, :4, 4:].permute(1, 2, 0)
    )  # the second of the first row
    assert torch.equal(unpatchify(patches, 4, 2), images)
