"""How many tokens are kept, and how many are seen at a noise: laws, bounds, parity with the official codes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tesserae.nn.nested_dropout import LAWS, draw_kept, first, next_power
from tesserae.nn.prefix_law import check_law, seen_at
from tests import golden
from tests.tokenizers.batches import seeded


def test_the_next_power():
    assert next_power(torch.arange(1, 10)).tolist() == [1, 2, 4, 4, 8, 8, 8, 8, 16]


@pytest.mark.parametrize("law", LAWS)
def test_frequencies_of_the_laws(law):
    found = draw_kept(40_000, 8, law, seeded()).bincount(minlength=9) / 40_000
    wanted = {
        "uniform": [0] + [1 / 8] * 8,
        "powers": [0, 1 / 4, 1 / 4, 0, 1 / 4, 0, 0, 0, 1 / 4],
        "next_power": [0, 1 / 8, 1 / 8, 0, 2 / 8, 0, 0, 0, 4 / 8],
    }
    torch.testing.assert_close(found, torch.tensor(wanted[law]), atol=0.01, rtol=0)


def test_laws_that_do_not_fit_are_refused():
    assert draw_kept(3, 6, "uniform", seeded()).max() <= 6
    with pytest.raises(ValueError, match="powers of two needs as many tokens, not 6"):
        draw_kept(3, 6, "powers", seeded())
    with pytest.raises(ValueError, match="unknown law of nested dropout 'some'; known: uniform, powers, next_power"):
        draw_kept(3, 8, "some", seeded())


def test_the_first_are_kept():
    assert first(torch.tensor([1, 3]), 3).tolist() == [[True, False, False], [True, True, True]]


@pytest.mark.parametrize("tokens", ["512", "1024"])
def test_as_many_are_seen_as_in_the_official_code(tokens):
    wanted = golden.load("selftok")
    law = wanted["laws"][tokens]
    found = seen_at(torch.tensor(wanted["noise"]), int(tokens), wanted["ends"], law["counts"])
    assert found.tolist() == law["seen"]


@given(st.integers(1, 64), st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(sum))
def test_the_more_noise_the_more_are_seen(tokens, counts):
    ends = [(stage + 1) / len(counts) for stage in range(len(counts))]
    check_law(ends, counts)
    found = seen_at(torch.linspace(0, 1, 101), tokens, ends, counts)
    assert (found.diff() >= 0).all() and found.min() >= 1 and found[-1] == tokens


@pytest.mark.parametrize(
    ("ends", "counts"), [([0.5, 0.9], [1, 1]), ([0.5, 0.5, 1], [1, 1, 1]), ([1.0], [0]), ([1.0], [1, 2]), ([], [])]
)
def test_stages_that_are_no_law_are_refused(ends, counts):
    with pytest.raises(ValueError, match="have to rise to 1, with as many counts as stages"):
        check_law(ends, counts)
