"""What differences say of a claim: intervals, verdicts, and their reasons.

Every difference is signed so that positive supports the claim. n numbers that differ, at one of the looks that
sequential.py names; R draws.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tesserae.reporting import sequential
from tesserae.reporting.sequential import ERROR, LOOKS

if TYPE_CHECKING:
    import numpy as np

# In the order of counts.
MARKS = {"reproduced": "✓", "contradicted": "✗", "absent": "≈", "inconclusive": "?", "not run": "–"}
Bounds = tuple[float, float]


def verdict(bounds: Sequence[float] | None, equal: bool) -> str:
    """reproduced if the whole interval supports a claim, contradicted if none of it does, else inconclusive.

    equal: whether zero supports the claim (le, ge).
    """
    if bounds is None:
        return "inconclusive"
    low, high = bounds
    if low > 0 or (equal and low == 0):
        return "reproduced"
    return "contradicted" if high < 0 or (not equal and high == 0) else "inconclusive"


def estimate(differences: Sequence[float], equal: bool, *, among: int = 1) -> dict[str, Any]:
    """Differences (n,) with mean, sd, 95 % interval, p values, standardised effect (mean / sd) and verdict.

    No interval unless n is one of LOOKS and the differences vary. among: of how many steps this is one. Of a series one
    contradicted step is enough, so that each may err the less in that: the interval reaches farther to that side.
    p_for is that of "reproduced", p_against that of "contradicted": two-sided, over all looks.
    """
    n, mean = len(differences), statistics.fmean(differences)
    sd = statistics.stdev(differences) if n > 1 else None
    bounds, p_for, p_against = None, None, None
    if n in LOOKS and not still(differences):
        step = sd / n**0.5
        bounds = (
            mean - sequential.quantile(n, ERROR / 2) * step,
            mean + sequential.quantile(n, ERROR / 2 / among) * step,
        )
        p_for, p_against = (_doubled(sequential.p_value(n, sign * mean / step)) for sign in (1, -1))
    return _told(differences, mean, sd, bounds, equal) | {
        "p_for": p_for,
        "p_against": None if p_against is None else min(1.0, among * p_against),
        "standardised": mean / sd if bounds else None,
    }


def of_draws(
    draws: "np.ndarray | None", mean: float, by_seed: Sequence[float], at: int | None, *, among: int = 1
) -> dict[str, Any]:
    """As `estimate` of a difference that was drawn anew R times (R,): the interval is between quantiles of the draws.

    by_seed: the difference of each seed (K,); at: the look. Without it, or without draws, no interval. Draws that are
    NaN are left out.
    """
    sd = statistics.stdev(by_seed) if len(by_seed) > 1 else None
    bounds, p_for, p_against = None, None, None
    if at is not None and draws is not None:
        bounds = (
            quantile_of(draws, sequential.level(at, ERROR / 2)),
            quantile_of(draws, 1 - sequential.level(at, ERROR / 2 / among)),
        )
        p_for, p_against = (_doubled(p_of_draws(at, sign * draws)) for sign in (1, -1))
        p_against = min(1.0, among * p_against)
    return _told(by_seed or [mean], mean, sd, bounds, False) | {
        "p_for": p_for,
        "p_against": p_against,
        "standardised": None,
    }


def _told(differences: Sequence[float], mean: float, sd: float | None, bounds: Bounds | None, equal: bool) -> dict:
    interval = list(bounds) if bounds else None
    return {
        "differences": list(differences),
        "mean": mean,
        "sd": sd,
        "interval": interval,
        "verdict": verdict(bounds, equal),
    }


def _doubled(p: float) -> float:
    return min(1.0, 2 * p)


def quantile_of(draws: "np.ndarray", share: float) -> float:
    import numpy as np

    return float(np.nanquantile(draws, share))


def p_of_draws(at: int, draws: "np.ndarray") -> float:
    """One-sided, over all looks: of draws (R,) that are mostly above zero. Never 0: R draws tell no more than 1 / R."""
    import numpy as np

    there = draws[np.isfinite(draws)]
    return sequential.over_looks(at, (1 + int((there <= 0).sum())) / (1 + len(there)))


def still(values: Sequence[float]) -> bool:
    """Whether numbers (n,) are all the same but for rounding. What varies with no seed was measured once: an interval
    of width nought would turn that into certainty.
    """
    return max(values) - min(values) <= 1e-12 * max(map(abs, values))


# ---- effects too small to be the published ones -----------------------------------------------------------------


def relative_bounds(differences: Sequence[float], base: Sequence[float]) -> Bounds | None:
    """Between what the mean of differences (n,) lies relative to that of the numbers they are compared with (n,).

    A repeated 90 % interval of the ratio of means, by Fieller (1954): both vary over seeds. None unless n is one of
    LOOKS, and where it is not sure enough that the base is not zero.
    """
    n = len(differences)
    if n not in LOOKS or still(differences):
        return None
    d, b = statistics.fmean(differences), statistics.fmean(base)
    share = sequential.quantile(n, ERROR) ** 2 / n
    a = b * b - share * statistics.variance(base)
    if a <= 0:
        return None
    middle = d * b - share * statistics.covariance(differences, base)
    rest = d * d - share * statistics.variance(differences)
    width = math.sqrt(max(middle * middle - a * rest, 0.0))
    found = sorted(((middle - width) / a, (middle + width) / a))
    return (found[0], found[1]) if b > 0 else (-found[1], -found[0])


def p_within(differences: Sequence[float], base: Sequence[float], bound: float) -> float:
    """Of two one-sided tests, over all looks, that the relative effect lies within ± bound: the larger p value."""
    n, sign = len(differences), math.copysign(1, statistics.fmean(base))
    sides = ([bound * sign * b + side * d for d, b in zip(differences, base, strict=True)] for side in (1, -1))
    return max(sequential.p_value(n, _t(side)) for side in sides)


def _t(values: Sequence[float]) -> float:
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    return mean / sd * len(values) ** 0.5 if sd else math.copysign(math.inf, mean)


def bound_of(record: Mapping[str, Any]) -> float | None:
    """Within which ± bound an effect is absent: relative to the number compared with; of correlations, of |r| itself.

    absent_below of the claim, or the part absent_within of what is published; None where nothing is, or no difference.
    """
    if record.get("absent_below") is not None:
        return record["absent_below"]
    # |r| has no unit, and that of a rival may be close to 0, relative to which all would be large.
    key = "effect" if record["relation"] == "stronger_correlation" else "relative"
    if record.get("absent_within") is None or not record["published"] or not record["published"][key]:
        return None
    return record["absent_within"] * abs(record["published"][key])


def of_size(record: Mapping[str, Any], *, bound: float, reach: float, p: float, small: bool) -> dict[str, Any]:
    """What follows from whether the effect lies within ± bound: `absent`, `small`, and verdict, reason and p value.

    reach: the bound in units of the effect.

    DECISION: the sign goes first. A claim is a sentence about an order, and where the interval shows that order, or its
    opposite, "absent" would deny what was measured; that it is small is said beside it.
    """
    told = {"absent": {"bound": bound, "reach": reach, "p": min(1.0, p)}, "small": small}
    if not small:
        return told
    within = f"within {bound_in_words(record, bound)}"
    if record["verdict"] == "inconclusive":
        series = ", from first to last," if record["relation"] in ("increasing", "decreasing") else ""
        return told | {"verdict": "absent", "p": p, "reason": f"the whole 90 % interval{series} lies {within}"}
    return told | {"reason": f"{record['reason']}, though the effect is small: {within}"}


def bound_in_words(record: Mapping[str, Any], bound: float) -> str:
    """ "±9.95 %"; of correlations "±0.12", for theirs is of |r| itself."""
    return f"±{bound:.3g}" if record["relation"] == "stronger_correlation" else f"±{100 * bound:.3g} %"


# ---- over steps, and over claims --------------------------------------------------------------------------------


def judged(found: Sequence[Mapping[str, Any]], equal: bool, *, seeds: int, called: str = "steps") -> tuple[str, str]:
    """Verdict over all steps (or what they are `called`), and why. seeds: how many all numbers have."""
    words = [step["verdict"] for step in found]
    if all(step["interval"] is None for step in found):
        signs = [step["mean"] > 0 or (equal and step["mean"] == 0) for step in found]
        sign = ("supports" if signs[0] else "opposes") if len(signs) == 1 else f"supports {sum(signs)} of {len(signs)}"
        why = no_interval(seeds, len(found[0]["differences"]))
        return "inconclusive", f"{why}: no interval; the sign {sign} {'the claim' if len(signs) == 1 else called}"
    if len(found) == 1:
        why = {
            "reproduced": "the whole interval supports the claim",
            "contradicted": "the whole interval opposes the claim",
            "inconclusive": "the interval reaches both sides of zero",
        }
        return words[0], why[words[0]]
    word = next((word for word in ("contradicted", "inconclusive") if word in words), "reproduced")
    counted = [f"{words.count(word)} {word}" for word in MARKS if word in words]
    return word, f"of {len(found)} {called} {', '.join(counted)}"


def no_interval(seeds: int, n: int) -> str:
    """Why n differences of so many seeds give none."""
    if seeds == 1:
        return "one seed"
    if seeds < LOOKS[0]:
        return f"{seeds} seeds of the {LOOKS[0]} needed"
    return "the numbers are the same for every seed" if n == 1 else "the difference is the same for every seed"


def p_of(found: Sequence[Mapping[str, Any]]) -> float | None:
    """The smallest error at which steps would reproduce or contradict a claim; None without any interval.

    Reproduced needs all steps (the largest p), contradicted one (the smallest, which allows for their number).
    """
    known = [step for step in found if step["p_for"] is not None]
    if not known:
        return None
    p_for = max(step["p_for"] for step in known) if len(known) == len(found) else 1.0
    return min(p_for, min(step["p_against"] for step in known))


def holm(p: Sequence[float]) -> list[float]:
    """p values (m,) of m claims -> those that may be read as if each were alone (Holm 1979), in the same order."""
    adjusted, largest = [0.0] * len(p), 0.0
    for place, which in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - place) * p[which]))
        adjusted[which] = largest
    return adjusted
