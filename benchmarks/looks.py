"""How often verdicts are wrong, and how often they find what is there, over the looks of reporting/sequential.py.

    python benchmarks/looks.py [--runs 200000] [--grid 800]

First the levels, by integrating the law of Student's t at one number of seeds after the other (Jennison & Turnbull
1991); then what they bring, by drawing normal differences. Numbers of docs/verdicts.md.

Of n normal differences without effect, t hangs on their direction alone, which is uniform: with a the angle of which
sqrt(n) sin a = sum / length, t = sqrt(n - 1) tan a. The next difference, in units of the length so far, is Student's
with n degrees of freedom / sqrt(n), whatever the direction: a is a Markov chain. G cells of a.
"""

import argparse

import numpy as np
from scipy.special import stdtr, stdtrit

from tesserae.reporting import sequential
from tesserae.reporting.sequential import ERROR, FIRST, LATER, LOOKS

EFFECTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # in standard deviations over seeds


def edges_of(grid: int) -> np.ndarray:
    return np.linspace(-np.pi / 2, np.pi / 2, grid + 1)


def transitions(grid: int) -> dict[int, np.ndarray]:
    """n -> with what chance the angle goes from a cell at n differences to another at n + 1: (G, G), from 2 on."""
    edges = edges_of(grid)
    middle = (edges[1:] + edges[:-1]) / 2
    found = {}
    for n in range(2, LOOKS[-1]):
        u = np.sqrt(n) * np.sin(middle)[:, None]
        # (u + y) / sqrt(1 + y^2) with y = tan b is sqrt(1 + u^2) sin(b + arctan u).
        turn, most = np.arctan(u), np.sqrt(1 + u * u)
        sine = np.sqrt(n + 1) * np.sin(edges) / most
        angle = np.arcsin(np.clip(sine, -1, 1))
        chance = _below(angle - turn, n) + 1 - _below(np.pi - angle - turn, n) - _below(-np.pi - angle - turn, n)
        found[n] = np.diff(np.where(sine >= 1, 1.0, np.where(sine <= -1, 0.0, chance)), axis=1)
    return found


def _below(b: np.ndarray, n: int) -> np.ndarray:
    """The chance that the arctangent of the next difference, in units of the length of n, is below b."""
    inside = np.clip(b, -np.pi / 2 + 1e-12, np.pi / 2 - 1e-12)
    return stdtr(n, np.sqrt(n) * np.tan(inside))


def crossing(steps: dict[int, np.ndarray], levels: list[float]) -> float:
    """The chance that a one-sided t test of these levels rejects at one of LOOKS, without effect."""
    grid = len(steps[2])
    edges = edges_of(grid)
    at, total = np.full(grid, 1 / grid), levels[0]  # at two differences the angle is uniform
    for n, step in steps.items():
        at = at @ step
        if n + 1 in LOOKS:
            limit = np.arctan(-stdtrit(n, levels[LOOKS.index(n + 1)]) / np.sqrt(n))
            beyond = np.clip((edges[1:] - limit) / (edges[1] - edges[0]), 0, 1)
            total += (at * beyond).sum() if n + 1 != LOOKS[0] else 0.0
            at = at * (1 - beyond)
    return float(total)


def later_level(grids: list[dict[int, np.ndarray]], error: float) -> float:
    """The level of each look after the first, so that all of them together err with a chance of `error`.

    grids: transitions of two grids, the second twice as fine: the error of a grid falls with its square.
    """
    low, high = error / 10, error
    while high / low > 1 + 1e-6:
        middle = (low * high) ** 0.5
        coarse, fine = (crossing(steps, [FIRST * error, *[middle] * (len(LOOKS) - 1)]) for steps in grids)
        low, high = (middle, high) if fine + (fine - coarse) / 3 < error else (low, middle)
    return (low * high) ** 0.5


def t_at_looks(numbers: np.ndarray) -> np.ndarray:
    """Of numbers (runs, seeds): (runs, looks)."""
    found = [numbers[:, :n].mean(axis=1) / numbers[:, :n].std(axis=1, ddof=1) * n**0.5 for n in LOOKS]
    return np.stack(found, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--grid", type=int, default=800)
    arguments = parser.parse_args()

    print("error over all looks -> level of each look after the first")
    grids = [transitions(arguments.grid // 2), transitions(arguments.grid)]
    for error, kept in LATER:
        print(f"{error:g}  {later_level(grids, error):.5g}  (kept: {kept:g})")

    noise = np.random.default_rng(0).standard_normal((arguments.runs, LOOKS[-1]))
    ours = np.array([sequential.quantile(at, ERROR / 2) for at in LOOKS])
    ends = np.array([sequential.quantile(at, ERROR) for at in LOOKS])
    plain = np.array([-stdtrit(at - 1, ERROR / 2) for at in LOOKS])
    print(f"\nlooks {LOOKS}\nt of the 95 % interval {ours.round(2)}, of a plain one {plain.round(2)}")
    print("effect / sd; reproduced or contradicted up to each look: group-sequential | plain t at each look")
    for effect in EFFECTS:
        t = np.abs(t_at_looks(noise + effect))
        shares = [np.logical_or.accumulate(t >= bound, axis=1).mean(axis=0) for bound in (ours, plain)]
        print(f"{effect:g}  " + "  |  ".join(" ".join(f"{share:6.1%}" for share in one) for one in shares))
    print("bound / sd; absent up to each look: of no effect | of one as large as the bound")
    for bound in EFFECTS[1:]:
        shares = []
        for effect in (0.0, bound):
            low, high = t_at_looks(noise + effect + bound), t_at_looks(noise + effect - bound)
            absent = (low >= ends) & (-high >= ends)
            shares.append(np.logical_or.accumulate(absent, axis=1).mean(axis=0))
        print(f"{bound:g}  " + "  |  ".join(" ".join(f"{share:6.1%}" for share in one) for one in shares))


if __name__ == "__main__":
    main()
