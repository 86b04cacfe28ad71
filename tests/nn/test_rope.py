"""Rotary positions of a grid, as LightningDiT has them; those of l-DeTok's tokenizer are tested with it."""

import math

import pytest
import torch

from tesserae.nn.rope import AxialRope, apply_rope, axial_rope_table


def test_values_of_one_position():
    cos, sin = axial_rope_table(8, 4).view(4, 4, 16)[3, 2].chunk(2)
    angles = torch.tensor([3.0, 3.0, 0.03, 0.03, 2.0, 2.0, 0.02, 0.02])  # row 3, column 2; frequencies 1 and 1/100
    torch.testing.assert_close(cos, angles.cos())
    torch.testing.assert_close(sin, angles.sin())


def test_it_is_a_rotation_that_sees_offsets_only():
    grid, table = 5, axial_rope_table(16, 5)
    rng = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 16, generator=rng).expand(2, 1, 1, grid * grid, 16)
    turned_q, turned_k = apply_rope(q, table), apply_rope(k, table)
    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm(dim=-1))
    scores = (turned_q @ turned_k.mT).view(grid, grid, grid, grid)
    torch.testing.assert_close(scores[1:, 2:, 1:, 2:], scores[:-1, :-2, :-1, :-2], atol=1e-4, rtol=0)
    assert (scores[0, 0, 0, 1] - scores[0, 0, 1, 0]).abs() > 1e-3  # a step down is not a step across


def test_the_module_saves_its_table():
    rope = AxialRope(8, 3)
    assert list(rope.state_dict()) == ["freqs_cos", "freqs_sin"] and not list(rope.parameters())
    assert torch.equal(rope.table(), axial_rope_table(8, 3)) and rope.freqs_sin[-1, 0] == pytest.approx(math.sin(2))


def test_refused_head_dims():
    with pytest.raises(ValueError, match="multiple of 4"):
        axial_rope_table(6, 4)
