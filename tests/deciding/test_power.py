"""How many seeds tell an effect from chance: published values of the paired t test."""

import math

import pytest

from tesserae.deciding.power import LOOKS, next_look, pooled, power, seeds_needed, upper


@pytest.mark.parametrize(
    ("standardised", "wanted", "seeds"),
    # G*Power 3.1, "Means: difference between two dependent means (matched pairs)", two tails, alpha 0.05.
    [(1.0, 0.8, 10), (0.8, 0.8, 15), (0.5, 0.8, 34), (0.2, 0.8, 199), (0.5, 0.95, 54), (1.5, 0.8, 6)],
)
def test_as_many_pairs_as_published_tables_say(standardised, wanted, seeds):
    assert seeds_needed(standardised, wanted) == seeds
    assert power(seeds, standardised) >= wanted > power(seeds - 1, standardised)


def test_power_is_that_of_simulated_intervals():
    import numpy as np
    from scipy.special import stdtrit

    differences = np.random.default_rng(0).normal(0.9, 1.0, (200_000, 8))
    low = differences.mean(1) - stdtrit(7, 0.975) * differences.std(1, ddof=1) / math.sqrt(8)
    assert power(8, 0.9) == pytest.approx((low > 0).mean(), abs=0.004)  # four standard errors
    assert power(8, -0.9) == power(8, 0.9)
    assert power(8, 0.0) == pytest.approx(0.025)


def test_effects_without_end_and_without_hope():
    assert seeds_needed(math.inf) == seeds_needed(1e3) == 2
    assert seeds_needed(0.0) is None and seeds_needed(1e-3) is None


def test_seeds_are_rounded_up_to_the_next_look():
    certain = math.inf
    assert [next_look(seeds, certain) for seeds in (1, 3, 4, 12, 13, 20, 21)] == [3, 3, 5, 12, 20, 20, None]
    assert next_look(4, certain, looks=[10, 6]) == 6
    assert seeds_needed(1.0) == 10 and next_look(1, 1.0) == 20  # ten are enough for who looks once
    assert next_look(1, 1.2) == 12
    assert next_look(1, 0.5) is None
    assert tuple(sorted(LOOKS)) == LOOKS


def test_spreads_are_pooled_by_their_degrees_of_freedom():
    assert pooled([(3.0, 2), (5.0, 2)]) == (pytest.approx(math.sqrt(17)), 4)
    assert pooled([(3.0, 4), (5.0, 0)]) == (3.0, 4)
    spread, freedom = pooled([])
    assert math.isnan(spread) and freedom == 0


def test_a_spread_of_few_seeds_is_rarely_larger_than_its_bound():
    import numpy as np

    found = np.random.default_rng(1).normal(0.0, 2.0, (20_000, 3)).std(1, ddof=1)
    assert np.mean([upper(sd, 2) >= 2.0 for sd in found]) == pytest.approx(0.8, abs=0.012)
