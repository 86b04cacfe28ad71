"""Which points a sweep of a decoder's settings has: to be measured, and to be counted beforehand. Imports nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Level = TypeVar("Level", int, float)


def levels(tried: Sequence[Level], own: Level, points: int | None) -> list[Level]:
    """In order: the recipe's own value, and of the others so many, evenly spread; None: all of them."""
    others = sorted({*tried} - {own})
    if points is not None and points < len(others):
        others = [others[(2 * point + 1) * len(others) // (2 * points)] for point in range(points)]
    return sorted([own, *others])


def points_of(spec: Mapping[str, Any]) -> list[tuple[int, float]]:
    """(steps, guidance) of all points of a job of the stage `drawing_sweep`, the recipe's own first."""
    steps, guidance, most = spec["at_steps"], spec["at_guidance"], spec["curve_points"]
    swept = [(many, guidance) for many in levels(spec["steps"], steps, most)]
    swept += [(steps, strength) for strength in levels(spec["guidance"], guidance, most)]
    return list(dict.fromkeys([(steps, guidance), *swept]))
