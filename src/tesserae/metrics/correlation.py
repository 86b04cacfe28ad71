"""How well one number of some tokenizers predicts another (CompTok, arXiv 2602.03339, Tables 1 and 2).

The paper prints Pearson's r alone. Beside it stands what says how much it is worth: how likely so large an r is by
chance, how far it hangs on one tokenizer, what is left of it within 2D and within 1D tokenizers, and how it varies if
other tokenizers and other seeds had been drawn.

Shapes: n tokenizers, K seeds, R resamples. x and y are float arrays (n,), or (n, K) where seeds are named.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tesserae.correlating import LEAST, too_few

LEVEL = 0.95  # of intervals


class Unfit(ValueError):
    """Numbers of which there is no correlation; the message says why, for a reader of a table."""


class Range(NamedTuple):
    low: float
    high: float


class Found(NamedTuple):
    r: float
    p: float  # how often an |r| as large comes about by chance


def pearson(x: ArrayLike, y: ArrayLike) -> Found:
    """Pearson's r, and the two-sided p of Student's t with n - 2 degrees of freedom. Unfit: see `checked`."""
    from scipy.stats import pearsonr

    found = pearsonr(*checked(x, y))
    return Found(float(found.statistic), float(found.pvalue))


def spearman(x: ArrayLike, y: ArrayLike) -> Found:
    """Spearman's rho: Pearson's r of ranks, equal numbers sharing theirs; p likewise. Unfit: see `checked`."""
    from scipy.stats import spearmanr

    found = spearmanr(*checked(x, y))
    return Found(float(found.statistic), float(found.pvalue))


def leave_one_out(x: ArrayLike, y: ArrayLike) -> Range:
    """The lowest and highest r if one tokenizer had not been among them.

    Unfit: see `checked`; and where without one of them all others are alike, so that r is that tokenizer's alone.
    """
    x, y = checked(x, y)
    found = []
    for left_out in range(len(x)):
        some, others = np.delete(x, left_out), np.delete(y, left_out)
        if still(some) or still(others):
            raise Unfit("hangs on one of them")
        found.append(float(_r(some, others)))
    return Range(min(found), max(found))


def centred(x: ArrayLike, y: ArrayLike, groups: Sequence[Hashable]) -> float:
    """r of what is left when the mean of its group is taken from each number; groups (n,), such as "2D" and "1D".

    Unfit: see `checked`; for a single group, of which r says it already; and where within groups nothing varies.
    """
    x, y = checked(x, y)
    if len(set(groups)) < 2:
        raise Unfit("of one kind alone")
    x, y = (_less_means(values, groups) for values in (x, y))
    if still(x) or still(y):
        raise Unfit("differ by kind alone")
    return float(_r(x, y))


def _less_means(values: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    own = np.array([[one == other for other in groups] for one in groups], dtype=float)
    left = values - own @ values / own.sum(axis=1)
    # Of a group that is all alike rounding leaves a little, which may not be taken for variation.
    return np.where(np.abs(left) <= 1e-12 * np.abs(values).max(), 0.0, left)


# ---- other tokenizers, other seeds ------------------------------------------------------------------------------


def resampled(columns: Mapping[str, ArrayLike], y: ArrayLike, *, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """r of each of the `columns` (n, K) with y (n, K) in draws of n tokenizers and of K seeds with replacement: (R,).

    Numbers are means over seeds. A draw takes the same tokenizers and the same seeds of all columns and of y, so that
    differences between columns are paired. NaN where all that was drawn is alike. Unfit: see `checked`, of the means.
    """
    y = np.asarray(y, dtype=float)
    found = {name: np.asarray(x, dtype=float) for name, x in columns.items()}
    for x in found.values():
        if x.ndim != 2 or x.shape != y.shape:
            raise ValueError(f"tokenizers by seeds are needed, of both as many: {x.shape} and {y.shape}")
        checked(x.mean(axis=1), y.mean(axis=1))
    rng = np.random.default_rng(seed)
    (n, many), drawn = y.shape, {}
    tokenizers, seeds = rng.integers(n, size=(resamples, n, 1)), rng.integers(many, size=(resamples, 1, many))
    other = y[tokenizers, seeds].mean(axis=2)  # (R, n)
    for name, x in found.items():
        own = x[tokenizers, seeds].mean(axis=2)
        varies = ~(still(own) | still(other))
        drawn[name] = np.full(resamples, np.nan)
        drawn[name][varies] = _r(own[varies], other[varies])
    return drawn


def bounds(drawn: np.ndarray) -> Range:
    """Between which LEVEL of the draws (R,) lie, those without a number left out. Unfit if there are none with one."""
    there = drawn[np.isfinite(drawn)]
    if not len(there):
        raise Unfit("no draw varies")
    low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Range(float(low), float(high))


# ---- printed numbers --------------------------------------------------------------------------------------------


def within_rounding(x: ArrayLike, y: ArrayLike, x_units: ArrayLike, y_units: ArrayLike) -> Range:
    """The lowest and highest r of numbers that are printed as x and y, each rounded to its unit, (n,): 0.01 of "0.47".

    Unfit: see `checked`, and where all numbers may have been alike.
    """
    from scipy.optimize import minimize

    x, y = checked(x, y)
    halves = [np.broadcast_to(np.asarray(units, dtype=float), x.shape) / 2 for units in (x_units, y_units)]
    for values, half in zip((x, y), halves, strict=True):
        if (values - half).max() <= (values + half).min():
            raise Unfit("all may be alike before rounding")
    scales = [half.max() or 1.0 for half in halves]  # so that a step means as much in both

    def r_and_slope(moved: np.ndarray, sign: float) -> tuple[float, np.ndarray]:
        one, other = (
            values + scale * part for values, scale, part in zip((x, y), scales, np.split(moved, 2), strict=True)
        )
        (u, long), (v, wide) = _unit(one), _unit(other)
        r = float((u * v).sum())
        slope = np.concatenate([scales[0] * (v - r * u) / long, scales[1] * (u - r * v) / wide])
        return sign * r, sign * slope

    reach = [(-h / s, h / s) for half, s in zip(halves, scales, strict=True) for h in half]
    start = np.zeros(2 * len(x))
    low, high = (
        sign * minimize(r_and_slope, start, args=(sign,), jac=True, method="L-BFGS-B", bounds=reach).fun
        for sign in (1.0, -1.0)
    )
    return Range(float(low), float(high))


# ---- parts ------------------------------------------------------------------------------------------------------


def checked(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """x and y as float64 (n,).

    ValueError for arrays of two lengths. Unfit for fewer than LEAST, for a number that is not finite, and where all
    numbers of one are alike.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"one number of each is needed, of both as many: {x.shape} and {y.shape}")
    if len(x) < LEAST:
        raise Unfit(too_few(len(x)))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise Unfit("one is not finite")
    if still(x) or still(y):
        raise Unfit("all alike")
    return x, y


def still(values: np.ndarray) -> np.ndarray:
    """Whether numbers (..., n) do not vary, (...): of what is left by rounding errors r would be anything."""
    return np.ptp(values, axis=-1) <= 1e-12 * np.abs(values).max(axis=-1)


def _unit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (..., n) less their mean, of length 1, and the length that they had, (...)."""
    left = values - values.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(left, axis=-1)
    return left / length[..., None], length


def _r(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of numbers (..., n): (...)."""
    return np.clip((_unit(x)[0] * _unit(y)[0]).sum(axis=-1), -1, 1)
