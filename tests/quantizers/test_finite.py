"""Finite scalar quantisation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tesserae.quantizers.finite import FiniteQuantizer

PAPER = [8, 8, 8, 5, 5, 5]


@pytest.mark.parametrize("levels", [PAPER, [8, 8, 8, 6, 5], [8, 5, 5, 5], [5, 5, 5], [2, 3]])
def test_every_code_is_the_code_of_its_vector(levels):
    quantizer = FiniteQuantizer(levels)
    codes = torch.arange(quantizer.vocabulary)
    vectors = quantizer.lookup(codes)
    assert torch.equal(quantizer.codes(vectors), codes)
    assert len(torch.unique(vectors, dim=0)) == quantizer.vocabulary
    for i, count in enumerate(levels):
        assert len(vectors[:, i].unique()) == count


def test_values_of_comits_code():
    quantizer = FiniteQuantizer(PAPER)
    assert quantizer.vocabulary == 64000
    assert quantizer.basis.tolist() == [1, 8, 64, 512, 2560, 12800]
    assert quantizer.lookup(torch.tensor(32000)).tolist() == [-1, -1, 0, 0, 0, 0]
    assert quantizer(torch.zeros(6)).tolist() == [0] * 6
    assert quantizer(torch.full((6,), 9.0)).tolist() == [0.75, 0.75, 0.75, 1, 1, 1]
    assert quantizer(torch.full((6,), -9.0)).tolist() == [-1] * 6
    for levels, start, vector in (([8, 5, 5, 5], 500, [0, 0, 0, 0]), ([8, 8, 8, 6, 5], 7680, [-1, -1, -1, 0, 0])):
        assert FiniteQuantizer(levels).lookup(torch.tensor(start)).tolist() == vector


@given(st.integers(0, 2**31), st.sampled_from([PAPER, [8, 5, 5, 5], [3, 4]]))
def test_rounding_is_to_a_code_and_its_gradient_that_of_the_bounded_values(seed, levels):
    quantizer = FiniteQuantizer(levels)
    values = 2 * torch.randn(7, len(levels), generator=torch.Generator().manual_seed(seed))
    first, second = values.clone().requires_grad_(), values.clone().requires_grad_()
    vectors = quantizer(first)
    assert torch.equal(quantizer.lookup(quantizer.codes(vectors)), vectors.detach())
    vectors.sum().backward()
    quantizer(second, rounded=False).sum().backward()
    assert torch.equal(first.grad, second.grad)
    # No level is further away than half a step.
    assert ((vectors - quantizer(second, rounded=False)).abs() * (quantizer.levels // 2)).max() <= 0.5 + 1e-5


def test_codes_are_those_of_float32_under_autocast():
    quantizer = FiniteQuantizer(PAPER)
    values = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    plain = quantizer(values)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer(values), plain)


@pytest.mark.parametrize("levels", [[], [8, 1]])
def test_levels_that_are_none(levels):
    with pytest.raises(ValueError, match="at least two"):
        FiniteQuantizer(levels)
