"""Where kept patches lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tesserae.metrics.places import EDGES, chance, edge_shares, nested


def test_a_column_and_a_row_at_the_edge():
    left = np.zeros((4, 4), int)
    left[:, 0] = 3
    assert edge_shares(left) == {"left_right": 100, "top_bottom": 50}
    assert edge_shares(left.T) == {"left_right": 50, "top_bottom": 100}
    middle = np.zeros((4, 4), int)
    middle[1:3, 1:3] = 1
    assert edge_shares(middle) == dict.fromkeys(EDGES, 0)
    with pytest.raises(ValueError, match="no patches"):
        edge_shares(0 * middle)


@given(st.integers(1, 30))
def test_all_patches_are_at_the_edges_by_chance(side):
    """TaTok's grid: 2 of 21 columns."""
    assert edge_shares(np.ones((side, side))) == pytest.approx(dict.fromkeys(EDGES, chance(side)))
    assert chance(21) == pytest.approx(9.5, abs=0.05)


@given(arrays(bool, (5, 9)), arrays(bool, (5, 9)))
def test_a_set_lies_within_those_that_have_all_of_it(one, other):
    assert nested(one | other, one) == 1
    assert nested(one, one | other) == np.mean((one | other == one).all(1))
