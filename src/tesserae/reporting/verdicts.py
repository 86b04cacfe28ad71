"""What differences say of a claim: intervals, verdicts, and their reasons.

Every difference is signed so that positive supports the claim. n numbers that differ.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

LEVEL = 0.95
MARKS = {"reproduced": "✓", "contradicted": "✗", "inconclusive": "?", "not run": "–"}  # in the order of counts


def interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Student's t interval of the mean of paired differences (n,) at LEVEL; None for fewer than two."""
    from scipy.special import stdtrit  # of all that scipy.stats imports, that one function

    if len(differences) < 2:
        return None
    mean = statistics.fmean(differences)
    quantile = stdtrit(len(differences) - 1, (1 + LEVEL) / 2)
    half = quantile * statistics.stdev(differences) / len(differences) ** 0.5
    return mean - float(half), mean + float(half)


def verdict(bounds: tuple[float, float] | None, equal: bool) -> str:
    """reproduced if the whole interval supports a claim, contradicted if none of it does, else inconclusive.

    equal: whether zero supports the claim (le, ge).
    """
    if bounds is None:
        return "inconclusive"
    low, high = bounds
    if low > 0 or (equal and low == 0):
        return "reproduced"
    return "contradicted" if high < 0 or (not equal and high == 0) else "inconclusive"


def estimate(differences: Sequence[float], equal: bool) -> dict[str, Any]:
    """Differences (n,) with mean, sd, interval, standardised effect (mean / sd; None where it is not) and verdict."""
    mean, bounds = statistics.fmean(differences), interval(differences)
    sd = statistics.stdev(differences) if bounds else None
    return {
        "differences": list(differences),
        "mean": mean,
        "sd": sd,
        "interval": list(bounds) if bounds else None,
        "standardised": mean / sd if sd else None,
        "verdict": verdict(bounds, equal),
    }


def judged(found: Sequence[Mapping[str, Any]], equal: bool, *, seeds: int, called: str = "steps") -> tuple[str, str]:
    """Verdict over all steps (or what they are `called`), and why."""
    words = [step["verdict"] for step in found]
    if found[0]["interval"] is None:
        signs = [step["mean"] > 0 or (equal and step["mean"] == 0) for step in found]
        why = "one seed" if seeds == 1 else "the numbers are the same for every seed"
        sign = ("supports" if signs[0] else "opposes") if len(signs) == 1 else f"supports {sum(signs)} of {len(signs)}"
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
