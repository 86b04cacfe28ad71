"""Tokens swapped between images: nested rows from none to all, and which token moves what."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tesserae.metrics.swapping import neglected, row, sensitivities, some_pairs, swapped, turning_points


def images_of(vectors):
    """A decoder of four tokens that neglects the third."""
    kept = vectors[:, [0, 1, 3]].sum(dim=(1, 2))
    return kept.view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


@given(st.integers(1, 300), st.sampled_from(["random", "prefix"]), st.integers(0, 5), st.integers(2, 12))
def test_rows_go_from_none_to_all_and_never_give_back(tokens, order, seed, columns):
    found = swapped(tokens, order, seed, columns)
    assert found.shape == (columns, tokens) and not found[0].any() and found[-1].all()
    assert (found[1:] | ~found[:-1]).all()
    if order == "prefix":
        assert torch.equal(found, found.sort(dim=1, descending=True).values)


def test_orders_are_those_of_their_seeds():
    first, again, other = (swapped(64, "random", seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.sum(1).tolist() == [0, 8, 16, 24, 32, 40, 48, 56, 64]
    with pytest.raises(ValueError, match="at least 2 columns"):
        swapped(4, "prefix", 0, 1)


def test_a_row_begins_with_one_image_and_ends_with_the_other():
    first, second = torch.zeros(2, 4, 1), torch.ones(2, 4, 1)
    found = row(images_of, first, second, swapped(4, "prefix", 0, 5))
    assert found.shape == (2, 5, 3, 2, 2) and found[0, :, 0, 0, 0].tolist() == [0, 1, 2, 2, 3]


def test_a_neglected_token_moves_nothing():
    vectors = torch.zeros(2, 4, 1)
    others = torch.tensor([[1.0, 2.0, 3.0, 4.0], [2.0, 0.0, 9.0, 1.0]])[..., None]
    found = sensitivities(images_of, vectors, others)
    wanted = torch.tensor([[0.25, 1.0, 0.0, 4.0], [1.0, math.nan, 0.0, 0.25]])  # the second token is the same
    torch.testing.assert_close(found, wanted, equal_nan=True)
    assert neglected(found) == 0.25
    assert neglected(torch.zeros(2, 4)) == 1.0 and neglected(torch.ones(2, 4)) == 0.0


def test_a_row_turns_where_it_is_more_like_the_second_image():
    first = torch.tensor([[1.0, 0.9, 0.5, 0.2, 0.1], [1.0, 1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    second = torch.tensor([[0.0, 0.9, 0.6, 0.9, 1.0], [0.0, 0.1, 0.2, 0.3, 0.9], [1.0, 0.0, 0.0, 0.0, 0.0]])
    assert turning_points(first, second).tolist() == [0.5, 1.0, 0.0]


@given(st.integers(1, 40), st.integers(1, 100))
def test_pairs_are_of_many_anchors_and_of_both_kinds(anchors, count):
    chosen = some_pairs(2 * anchors, count)
    assert len(set(chosen.tolist())) == len(chosen) == min(count, 2 * anchors)
    assert chosen.min() >= 0 and chosen.max() < 2 * anchors
    if count <= anchors:
        assert len(set((chosen // 2).tolist())) == count and (chosen % 2).tolist() == [at % 2 for at in range(count)]
