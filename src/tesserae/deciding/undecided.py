"""The claims that measured numbers leave open: the effect that is sought, its spread, and the seeds that tell it.

A claim's record is an entry of results/<scale>/claims/<paper>/claims.json (reporting/claims.py).
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tesserae.deciding.power import FEW, POWER, pooled, seeds_needed, upper

OPEN, NOT_RUN = "inconclusive", "not run"
ORDERS = ("lt", "le", "gt", "ge")
CORRELATION = "stronger_correlation"
Place = tuple[str, str, str]  # table, row, column


class Step(NamedTuple):
    """Two numbers that are compared seed by seed; of a correlation its two |r|."""

    size: float  # of what is compared: differences of numbers as large scatter alike
    sd: float | None  # of the differences; None for fewer than two seeds
    n: int  # seeds that differ
    sought: float | None = None  # the difference that the paper prints, for numbers of this size; None: it prints none


class Spread(NamedTuple):
    """A standard deviation of differences over seeds, relative to the size of what is compared."""

    relative: float
    basis: str  # what says so, in words


@dataclass(frozen=True)
class Claim:
    """A claim that was run, decided or not."""

    paper: str
    id: str
    words: str
    open: bool
    steps: tuple[Step, ...]
    measures: tuple[str, ...]  # stage and name of its numbers: those of other claims scatter alike
    artifacts: tuple[str, ...]  # of the first seed, whose recipes need more seeds
    seeds: int  # that it has now
    reason: str = ""  # why no number of seeds decides it; "" if some does


class Left(NamedTuple):
    """A claim for which no seeds are proposed, and why."""

    paper: str
    id: str
    verdict: str
    reason: str


class Needed(NamedTuple):
    """What it takes to decide a claim."""

    claim: Claim
    sought: float  # of the step that needs most seeds
    sd: float
    basis: str
    chance: float  # with which this step is to be decided
    seeds: int | None  # that are enough; None: more than can ever be run

    @property
    def standardised(self) -> float:
        return self.sought / self.sd if self.sd else math.inf


def read(
    paper: str,
    records: Iterable[Mapping[str, Any]],
    cells: Mapping[Place, Mapping[str, Any]],
    printed: Mapping[Place, float],
) -> tuple[list[Claim], list[Left]]:
    """The claims of a paper that were run, and those that were not.

    cells: of the spec of the paper's claims, by table, row and column: the artifacts of each number, one per seed, and
    what is read of them, `value`. printed: the published numbers.
    """
    found, left = [], []
    for record in records:
        if record["verdict"] == NOT_RUN:
            left.append(Left(paper, record["id"], NOT_RUN, record["reason"]))
        else:
            found.append(_claim(paper, record, cells, printed))
    return found, left


def _claim(
    paper: str, record: Mapping[str, Any], cells: Mapping[Place, Mapping[str, Any]], printed: Mapping[Place, float]
) -> Claim:
    told = {"paper": paper, "id": record["id"], "words": record["claim"], "open": record["verdict"] == OPEN}
    if "studies" in record:
        why = "its interval is over draws of tokenizers: more of these would narrow it, not more seeds"
        return Claim(**told, steps=(), measures=(), artifacts=(), seeds=record["n"], reason=why)
    places = [(cell["table"], cell["row"], cell["column"]) for cell in record["cells"]]
    behind = [cells[place] for place in places]
    values = [cell["values"] for cell in record["cells"]]
    told["artifacts"] = tuple(dict.fromkeys(cell["artifacts"][0] for cell in behind))
    told["measures"] = tuple(sorted({f"{cell['artifacts'][0].split('/')[0]} {cell['value']}" for cell in behind}))
    told["seeds"] = min((len(each) for each in values if len(each) > 1), default=1)  # that all numbers have
    if not record["steps"] or (told["seeds"] > 1 and all(len(set(each)) == 1 for each in values)):
        why = record["reason"] if not record["steps"] else "its numbers are the same for every seed"
        return Claim(**told, steps=(), reason=why)
    if record["relation"] == CORRELATION:
        sizes, sought = [1.0], _of_correlation(record)
    else:
        means = [statistics.fmean(each) for each in values]
        sizes = [(abs(one) + abs(other)) / 2 for one, other in zip(means, means[1:], strict=False)]
        sought = _of_numbers(record["relation"], means, [printed.get(place, math.nan) for place in places])
    steps = [
        Step(size, said["sd"], len(said["differences"])) for size, said in zip(sizes, record["steps"], strict=True)
    ]
    if isinstance(sought, str):
        return Claim(**told, steps=tuple(steps), reason=sought)
    return Claim(**told, steps=tuple(one._replace(sought=effect) for one, effect in zip(steps, sought, strict=True)))


def _of_correlation(record: Mapping[str, Any]) -> list[float] | str:
    """The published relative effect, for the rival's |r| as it was measured; or why there is none."""
    if record["published"] is None or not record["published"]["relative"]:
        return "no published effect"
    if "correlations" not in record:
        return record["reason"]
    return [abs(record["published"]["relative"]) * statistics.fmean(record["correlations"][1])]


def _of_numbers(relation: str, means: Sequence[float], printed: Sequence[float]) -> list[float] | str:
    """Of each step the published effect relative to what reporting/claims.py divides by; or why there is none."""
    base = -1 if relation in ORDERS else 0
    if any(map(math.isnan, printed)):
        return "no published effect: some of its numbers are only plotted"
    if not printed[base] or not means[base]:
        return "no relative effect: the number compared with is 0"
    steps = [other - one for one, other in zip(printed, printed[1:], strict=False)]
    if 0 in steps:
        return "no published effect: numbers are equal in print"
    return [abs(step / printed[base] * means[base]) for step in steps]


def paired_variance(records: Iterable[Mapping[str, Any]]) -> float | None:
    """What differences scatter, over what they would if the two numbers of a seed shared nothing: 1 if pairing by seed
    brings nothing. Of all comparisons of numbers that vary, relative to their size; None for none.
    """
    paired, apart = 0.0, 0.0
    for record in records:
        if "studies" in record or record["verdict"] == NOT_RUN or record["relation"] == CORRELATION:
            continue
        values = [cell["values"] for cell in record["cells"]]
        for one, other, step in zip(values, values[1:], record["steps"], strict=False):
            if step["sd"] is None or min(len(set(one)), len(set(other))) < 2:
                continue
            size = (abs(statistics.fmean(one)) + abs(statistics.fmean(other))) / 2
            paired += (step["sd"] / size) ** 2
            apart += (statistics.variance(one) + statistics.variance(other)) / size**2
    return paired / apart if apart else None


class Spreads:
    """How differences of numbers scatter over seeds, by paper and measure, from all claims that were run."""

    def __init__(self, claims: Iterable[Claim]):
        self._known: dict[tuple[str, tuple[str, ...]], list[tuple[float, int]]] = defaultdict(list)
        for claim in claims:
            for step in claim.steps:
                if step.sd is not None and step.size:
                    self._known[claim.paper, claim.measures].append((step.sd / step.size, step.n - 1))

    def of(self, claim: Claim, step: Step) -> Spread | None:
        """A step's own spread if many seeds tell it, else that of all claims of its paper and measure, which is pooled.

        If they are few as well, a value that it hardly exceeds (power.SURE). None if nothing is known.
        """
        if step.sd is not None and step.n - 1 >= FEW and step.size:
            return Spread(step.sd / step.size, "own")
        known = self._known[claim.paper, claim.measures]
        spread, freedom = pooled(known)
        if not freedom:
            return None
        many = f"of {len(known)} difference{'s' if len(known) > 1 else ''}"
        if freedom < FEW:
            return Spread(upper(spread, freedom), f"upper bound {many}")
        return Spread(spread, f"pooled {many}")


def needed(claim: Claim, spreads: Spreads, wanted: float = POWER) -> Needed | Left:
    """The seeds with which all steps of an open claim are decided with a chance of at least `wanted`.

    The chance that one of several steps is missed is no more than the sum of theirs, whatever they share.
    """
    if claim.reason:
        return Left(claim.paper, claim.id, OPEN, claim.reason)
    each = 1 - (1 - wanted) / len(claim.steps)
    found = []
    for step in claim.steps:
        spread = spreads.of(claim, step)
        if spread is None:
            why = "how its numbers scatter is not known with one seed: run the first look, `seeds: {default: 3}`"
            return Left(claim.paper, claim.id, OPEN, why)
        sd = spread.relative * step.size
        one = Needed(claim, step.sought, sd, spread.basis, each, None)
        found.append(one._replace(seeds=seeds_needed(one.standardised, each)))
    return max(found, key=lambda one: math.inf if one.seeds is None else one.seeds)
