"""Bits of codes, of how many and where they are, and of TaTok's literal threshold."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae import bits


def test_the_bits_of_an_image_in_table_1():
    """56.4 codes of 4,096, 40.4 of them in some of 441 places."""
    assert bits.of_codes(56.4, 4096) == pytest.approx(676.8)
    assert bits.of_length(441) == pytest.approx(8.79, abs=0.01)
    assert bits.of_places(441, 40.4) == pytest.approx(191, abs=1)


@given(st.integers(1, 500).flatmap(lambda places: st.tuples(st.just(places), st.integers(0, places))))
def test_places_cost_the_logarithm_of_a_binomial_coefficient(drawn):
    places, taken = drawn
    assert bits.of_places(places, taken) == pytest.approx(math.log2(math.comb(places, taken)), rel=1e-9, abs=1e-9)


def test_the_printed_threshold_is_beyond_all_codes():
    """R(D0) of 336 x 336 pixels with a variance of 25 times the distortion, against all 457 codes that there are."""
    wanted, most = bits.of_gaussians(336 * 336 * 3, 25.0, 1.0), bits.of_codes(457, 4096)
    assert wanted == pytest.approx(786_000, rel=1e-3) and most == 5484 and wanted > 100 * most
    assert bits.of_gaussians(10, 1.0, 2.0) == bits.of_gaussians(10, 0.0, 1.0) == 0.0
    with pytest.raises(ValueError, match="infinitely many"):
        bits.of_gaussians(10, 1.0, 0.0)
