"""How large a tokenizer's closed-form control is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae.config.controls import amount_of, name_of, patches_of, rate
from tesserae.config.resolve import Tokens


@pytest.mark.parametrize(
    ("tokens", "side", "name"),
    [
        (Tokens(64, 8, "grid"), 32, "64x8"),  # l-DeTok at small scales
        (Tokens(256, 16, "grid"), 256, "256x16"),  # and the paper's
        (Tokens(256, 2, "grid"), 32, "256x2"),  # a patch of 2 x 2 pixels
        (Tokens(32, 16, "sequence"), 32, "64x8"),  # MAETok's tokens stand on no grid: as many numbers in 64 patches
        (Tokens(128, 32, "sequence"), 256, "256x16"),
        (Tokens(64, 64, "grid"), 32, "64x48"),  # more numbers than an image has
        (Tokens(4, 4, "sequence", 128), 32, "4x128codes"),
        (Tokens(2, 4, "sequence", 128), 32, "4x11codes"),  # 14 bits: 13.8 are the nearest
        (Tokens(8, 4, "sequence", 128), 32, "16x11codes"),
        (Tokens(32, 64, "sequence", 4096), 256, "64x64codes"),
        (Tokens(256, 8, "grid", 16384), 256, "256x16384codes"),
    ],
)
def test_a_control_keeps_as_much_as_the_tokens(tokens, side, name):
    assert name_of(patches_of(tokens, side)) == name


def test_codes_of_a_ragged_row_cost_their_number_and_places_too():
    """TaTok's Table 1: 56.4 codes of 4,096, 40.4 of them in some of 441 places: 677, 8.8 and 191 bits."""
    tokens = Tokens(457, 8, "sequence", 4096, ragged=True, mean=56.4, places=441)
    assert rate(tokens) == pytest.approx(56.4 * 12 + math.log2(442) + 191, abs=1)
    assert amount_of(patches_of(tokens, 336)) == pytest.approx(rate(tokens), rel=0.05)
    packed = tokens._replace(places=0, mean=3.0)
    assert rate(packed) == pytest.approx(3 * 12 + math.log2(458))
    assert rate(Tokens(64, 8, "grid", 128)) == 64 * 7


@given(st.integers(1, 300), st.integers(1, 64), st.sampled_from([None, 2, 64, 4096]), st.sampled_from([8, 32, 256]))
def test_the_amount_is_that_of_the_tokens_where_a_grid_has_it(length, width, vocabulary, side):
    tokens = Tokens(length, width, "sequence", vocabulary)
    control = patches_of(tokens, side)
    wanted = length * (math.log2(vocabulary) if vocabulary else width)
    most = 3 * side**2 if vocabulary is None else side**2 * math.log2(vocabulary)
    assert side % control["grid"] == 0 and (control["grid"] ** 2 >= length or control["grid"] == side)
    on_a_grid = math.isqrt(length) ** 2 == length and side % math.isqrt(length) == 0
    if on_a_grid and wanted <= most:
        assert amount_of(control) == pytest.approx(wanted)
    if vocabulary is None and length <= side**2 and 16 * length <= wanted <= most:  # enough to divide among patches
        assert 0.8 * wanted <= amount_of(control) <= 1.25 * wanted
