"""Which claims to decide with the hours there are: the one that costs least first, with all that is paid for shared."""

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple


class Candidate(NamedTuple):
    """A claim, and the jobs that its seeds need and that are not planned yet."""

    key: tuple[str, str]  # paper and id of the claim
    jobs: Set[str]


class Choice(NamedTuple):
    """A claim to decide, and the hours that it adds to those before it."""

    key: tuple[str, str]
    hours: float


def choose(
    candidates: Iterable[Candidate], hours: Mapping[str, float], budget: float
) -> tuple[list[Choice], list[Choice]]:
    """Claims to decide within `budget` hours, most verdicts per hour first, and the others with what each would add.

    hours: of each job. A job of several claims is paid for once: by the first of them that is chosen. Every step takes
    the claim that adds least; if that is more than what is left, so are all others.
    """
    waiting = {candidate.key: candidate.jobs for candidate in candidates}
    paid: set[str] = set()
    chosen: list[Choice] = []
    left = budget
    while waiting:
        adds = {key: sum(hours[name] for name in jobs - paid) for key, jobs in waiting.items()}
        key = min(adds, key=adds.get)
        if adds[key] > left:
            return chosen, sorted((Choice(*one) for one in adds.items()), key=lambda one: one.hours)
        chosen.append(Choice(key, adds[key]))
        left -= adds[key]
        paid |= waiting.pop(key)
    return chosen, []
