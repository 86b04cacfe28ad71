"""A proposal: the claims that more seeds can decide, which of them fit in the hours there are, and the seeds for these.

Planned are three graphs: the scale as it is, with the seeds of all such claims, and with those that are chosen.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tesserae.config.project import Project, read_project
from tesserae.config.published import read as read_published
from tesserae.config.seeds import seed_of
from tesserae.config.stages import stage_of
from tesserae.deciding import undecided
from tesserae.deciding.choosing import Candidate, choose
from tesserae.deciding.power import LOOKS, next_look
from tesserae.deciding.undecided import Left, Needed, Spreads
from tesserae.workflow.graph.job import Job, judges, recipe_in, upstream
from tesserae.workflow.graph.whole import jobs

Prices = Callable[[Mapping[str, Job]], Mapping[str, float]]  # jobs, with all they are made from -> hours of each


class Line(NamedTuple):
    """A claim with the seeds that it is to have, and the hours that it adds to the lines before it."""

    needed: Needed
    seeds: int
    hours: float


@dataclass(frozen=True)
class Proposal:
    """What to run, in the order of its worth; what does not fit in the hours, by what it would add; and the rest."""

    chosen: list[Line]
    unaffordable: list[Line]
    left: list[Left]
    decided: int  # claims that have a verdict already
    seeds: dict[str, int]  # recipe -> how many it is to have
    hours: float  # of all jobs that are new
    jobs: int  # how many these are
    paired: float | None  # variance of differences, over what it would be without pairing by seed


def propose(
    project: Project,
    planned: Mapping[str, Job],
    evaluated: Mapping[str, Mapping[str, Any]],
    prices: Prices,
    *,
    budget: float,
    cap: int,
    looks: Iterable[int] = LOOKS,
) -> Proposal:
    """Seeds for the undecided claims of the papers `evaluated` (paper -> content of its claims.json).

    planned: the jobs of the project; budget: hours, in the unit of `prices`; cap: the most seeds of a recipe.
    """
    claims, left = _claims(project, planned, evaluated)
    spreads, lines = Spreads(claims), []
    for claim in claims:
        if claim.open:
            found = undecided.needed(claim, spreads)
            seeds = found if isinstance(found, Left) else _at_look(found, cap, sorted(looks))
            if isinstance(seeds, Left):
                left.append(seeds)
            else:
                lines.append(Line(found, seeds, 0.0))
    by_key = {(line.needed.claim.paper, line.needed.claim.id): line for line in lines}
    recipes = {key: _recipes(project, line) for key, line in by_key.items()}
    most = _jobs(project, _most(project, by_key, recipes))
    new = {name: job for name, job in most.items() if name not in planned and seed_of(job.recipe)[1] > 1}
    candidates = [Candidate(key, _of_claim(project, line, most, new)) for key, line in by_key.items()]
    with_producers = upstream(most, new)
    hours = prices({name: job for name, job in most.items() if name in with_producers}) if new else {}
    chosen, others = choose(candidates, hours, budget)
    seeds = _most(project, {choice.key: by_key[choice.key] for choice in chosen}, recipes)
    final = [name for name in _jobs(project, seeds) if name in new] if seeds else []
    return Proposal(
        [by_key[choice.key]._replace(hours=choice.hours) for choice in chosen],
        [by_key[choice.key]._replace(hours=choice.hours) for choice in others],
        left,
        sum(not claim.open for claim in claims),
        seeds,
        sum(hours[name] for name in final),
        len(final),
        undecided.paired_variance(record for found in evaluated.values() for record in found["claims"]),
    )


def _claims(
    project: Project, planned: Mapping[str, Job], evaluated: Mapping[str, Mapping[str, Any]]
) -> tuple[list[undecided.Claim], list[Left]]:
    claims, left = [], []
    for paper, found in evaluated.items():
        cells = {
            (cell["table"], cell["row"], cell["column"]): cell for cell in planned[f"claims/{paper}"].spec["cells"]
        }
        printed = {
            (line["table"], line["row"], line["column"]): line["value"]
            for line in read_published(project.root / project.papers[paper].published)
        }
        run, not_run = undecided.read(paper, found["claims"], cells, printed)
        claims += run
        left += not_run
    return claims, left


def _at_look(found: Needed, cap: int, looks: list[int]) -> int | Left:
    """The number of seeds at which a claim is judged next and that is enough; or that there is none."""
    claim = found.claim
    look = next_look(claim.seeds + 1, found.standardised, found.chance, looks)
    if look is not None and look <= cap:
        return look
    count = "more than can be run" if found.seeds is None else f"{found.seeds}"
    reason = f"needs {count} seeds, and more than {min(cap, looks[-1])} are not proposed"
    return Left(claim.paper, claim.id, undecided.OPEN, reason)


# ---- jobs -------------------------------------------------------------------------------------------------------


def _recipes(project: Project, line: Line) -> list[str]:
    """The recipes whose seeds a claim's numbers have, with the critics that judge some."""
    found: dict[str, None] = {}
    for artifact in line.needed.claim.artifacts:
        critics = judges(project, stage_of(artifact))
        found |= dict.fromkeys(name for name in (recipe_in(project, artifact), *critics) if name in project.seeds)
    return list(found)


def _most(
    project: Project, lines: Mapping[tuple[str, str], Line], recipes: Mapping[tuple[str, str], list[str]]
) -> dict[str, int]:
    """Recipe -> the seeds of the claim that needs most; not of those that have as many."""
    found: dict[str, int] = {}
    for key, line in lines.items():
        for name in recipes[key]:
            if line.seeds > project.seeds[name]:
                found[name] = max(line.seeds, found.get(name, 0))
    return dict(sorted(found.items()))


def with_more(seeds: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """A scale's `seeds` with those of some recipes, which stand last."""
    return {pattern: count for pattern, count in seeds.items() if pattern not in more} | dict(more)


def _jobs(project: Project, more: Mapping[str, int]) -> dict[str, Job]:
    papers = [*project.papers]
    other = read_project(project.root, project.scale.scale, papers, with_more(project.scale.seeds, more))
    return jobs(replace(other, scale=other.scale.model_copy(update={"forecast": None})))


def _of_claim(project: Project, line: Line, most: Mapping[str, Job], new: Mapping[str, Job]) -> frozenset[str]:
    """The new jobs of all recipes that a claim's numbers are made from, up to its seeds: whatever is shown of them."""
    made = {recipe_in(project, name) for name in upstream(dict(most), line.needed.claim.artifacts)} - {""}
    return frozenset(
        name for name, job in new.items() if seed_of(job.recipe)[1] <= line.seeds and recipe_in(project, name) in made
    )
