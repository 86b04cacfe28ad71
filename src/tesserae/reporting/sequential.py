"""When a claim is judged, and how sure that must be so that who looks again with more seeds errs no more often.

Seeds are added over time, and whoever looks after each of them until a verdict pleases him would find one in the end.
So a claim is judged at few numbers of seeds, its looks, and all of them together may err as often as one test may. That
is a group-sequential test: half of the error may be spent at the first look, the rest at the same level at each later
one (a spending function, Lan & DeMets 1983; equal levels, Pocock 1977). Its bounds are exact for Student's t of few
normal differences, not those of large samples: the joint law of t at all looks was integrated look by look (Jennison &
Turnbull 1991, Biometrika 78, 133), which `benchmarks/looks.py` does again. The interval at each look is a repeated
confidence interval: with the chance it names, it holds the truth at all looks at once.

Everything is a function of the number of seeds alone, so that nothing needs to be known of earlier looks.
"""

import math

LOOKS = (3, 5, 8, 12, 20)  # seeds: from 3, below which Student's t is hopeless, to more than anyone trains
ERROR = 0.05  # how often a claim may get a wrong verdict, over all looks
# DECISION: half of it at the first look. With three seeds small levels are very dear (t of two degrees of freedom), and
# there most claims stay; later looks lose little by it.
FIRST = 0.5
# Error of a one-sided test over all looks -> the level of each look after the first, by benchmarks/looks.py.
LATER = (
    (0.5, 0.24649),
    (0.3, 0.11253),
    (0.2, 0.063136),
    (0.1, 0.024981),
    (0.05, 0.010482),
    (0.025, 0.0045966),
    (0.01, 0.0016236),
    (0.005, 0.00076093),
    (0.001, 0.00013822),
    (0.0001, 0.000013020),
    (0.00001, 0.0000012846),
)


def look(seeds: int) -> int | None:
    """How many of so many seeds a claim is judged by: those of the last look reached; None before the first."""
    return max((one for one in LOOKS if one <= seeds), default=None)


def level(at: int, error: float) -> float:
    """The level of a one-sided test at a look, if all looks together may err with a chance of `error` (0 to 0.5)."""
    if at == LOOKS[0]:
        return FIRST * error
    return math.exp(_between(math.log(error), [(math.log(e), math.log(one)) for e, one in LATER]))


def over_looks(at: int, p: float) -> float:
    """`level` backwards: the p value of a one-sided test at a look -> one that may be read at every look.

    1 from a quarter on, where nothing is to be decided any more.
    """
    if p <= 0:
        return 0.0
    if p >= 0.25:
        return 1.0
    if at == LOOKS[0]:
        return p / FIRST
    return math.exp(_between(math.log(p), [(math.log(one), math.log(e)) for e, one in LATER]))


def quantile(at: int, error: float) -> float:
    """How many standard errors of the mean an interval reaches to one side, at a look of `at` seeds."""
    from scipy.special import stdtrit  # of all that scipy.stats imports, that one function

    return -float(stdtrit(at - 1, level(at, error)))


def p_value(at: int, t: float) -> float:
    """One-sided, over all looks: of means that are at least t standard errors above zero, at a look of `at` seeds."""
    from scipy.special import stdtr

    return over_looks(at, float(stdtr(at - 1, -t)))


def _between(x: float, points: list[tuple[float, float]]) -> float:
    """A line from each of the falling points to the next, going on beyond the last ones."""
    after = next((place for place in range(1, len(points)) if points[place][0] <= x), len(points) - 1)
    (a, fa), (b, fb) = points[after - 1], points[after]
    return fa + (fb - fa) * (x - a) / (b - a)
