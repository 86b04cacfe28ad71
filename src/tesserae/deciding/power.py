"""How many seeds tell an effect from chance: the paired t test that a claim's verdict rests on, and its power."""

import math
from collections.abc import Iterable, Sequence

from tesserae.reporting import sequential
from tesserae.reporting.sequential import ERROR, LOOKS

LEVEL = 1 - ERROR  # of an interval that is looked at once
POWER = 0.8
MOST = 10_000  # seeds; whatever needs more is as good as never told from chance
SURE = 0.8  # how sure it is that a spread known from few differences is not larger than what is taken for it
FEW = 5  # degrees of freedom from which on a measured spread is taken as it is


def power(seeds: int, standardised: float, level: float = LEVEL) -> float:
    """The chance that the two-sided `level` interval of the mean of paired differences lies on the right side of zero.

    standardised: mean / standard deviation of the differences, in truth; seeds: how many there are, at least 2. From
    the noncentral t distribution (Cohen, Statistical Power Analysis, 2nd ed., Sec. 2.5; G*Power prints the same).
    """
    from scipy.special import nctdtr, stdtrit  # of all that scipy.stats imports, these functions

    freedom = seeds - 1
    beyond = nctdtr(freedom, abs(standardised) * math.sqrt(seeds), stdtrit(freedom, (1 + level) / 2))
    return 1.0 - float(beyond)


def seeds_needed(standardised: float, wanted: float = POWER, level: float = LEVEL) -> int | None:
    """The fewest seeds with which an effect is found with a chance of `wanted`; None for more than MOST."""
    if math.isinf(standardised):
        return 2
    if power(MOST, standardised, level) < wanted:
        return None
    few, enough = 1, MOST  # one seed has no interval
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if power(middle, standardised, level) >= wanted else (middle, enough)
    return enough


def level_at(seeds: int) -> float:
    """The level of the interval with which a claim is judged at a look: wider than LEVEL, for there are other looks."""
    return 1 - 2 * sequential.level(seeds, ERROR / 2)


def next_look(seeds: int, standardised: float, wanted: float = POWER, looks: Sequence[int] = LOOKS) -> int | None:
    """The first of the numbers of seeds at which claims are judged that is no less than `seeds`, and at which an effect
    is found with a chance of `wanted`; None for none.
    """
    later = (look for look in sorted(looks) if look >= seeds)
    return next(
        (look for look in later if math.isinf(standardised) or power(look, standardised, level_at(look)) >= wanted),
        None,
    )


def pooled(spreads: Iterable[tuple[float, int]]) -> tuple[float, int]:
    """Standard deviations with their degrees of freedom -> one for all (root of the weighted mean square), and its own.

    (nan, 0) for nothing that varies freely.
    """
    known = [(spread, freedom) for spread, freedom in spreads if freedom > 0]
    freedom = sum(weight for _, weight in known)
    if not freedom:
        return math.nan, 0
    return math.sqrt(sum(weight * spread**2 for spread, weight in known) / freedom), freedom


def upper(spread: float, freedom: int, sure: float = SURE) -> float:
    """The value below which a standard deviation lies with the confidence `sure`, given what was measured of it."""
    from scipy.special import chdtri

    return spread * math.sqrt(freedom / float(chdtri(freedom, sure)))
