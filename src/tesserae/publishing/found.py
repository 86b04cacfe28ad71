"""What of a paper is published: all that it shows, or what there is of it so far."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tesserae.lineage import manifest as manifests
from tesserae.publishing import so_far
from tesserae.publishing.so_far import There
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import examine, to_run

PARTS = ("table", "figure", "claims", "page")  # stages of which something is published; of pages, reported numbers
Prices = Callable[[list[str]], Mapping[str, Any]]  # artifacts -> {"hours": ..., "unit": "CPU-hours"}, or {} if unknown


class NotPublished(Exception):
    """Results cannot be published, or are not as they were published; the message says why and what to do."""


def shown(plan: Plan, paper: str) -> list[str]:
    """What of a paper is published, in the order of its file."""
    own = [plan.jobs[name] for name in plan.of_paper(paper)]
    return [job.id for stage in PARTS for job in own if job.stage == stage]


@dataclass(frozen=True)
class SoFar:
    """Of a paper that was run in part: what there is of it, and what is `left`, in numbers."""

    there: There
    left: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What of a paper is published.

    names: its parts; records: the manifests of these and of all they were made from; so_far: of a paper that was run in
    part, else None. Then names are figures and the artifacts whose numbers are published, made here or earlier.
    """

    names: list[str]
    records: dict[str, manifests.Manifest]
    so_far: SoFar | None = None

    @classmethod
    def in_part(cls, there: There, left: dict[str, Any]) -> "Found":
        return cls([*there.names, *there.kept], there.records, SoFar(there, left))


def in_part(plan: Plan, paper: str, as_made: bool, prices: Prices) -> Found:
    """What is there of a paper, with what was published of it earlier; NotPublished if nothing is."""
    parts = shown(plan, paper)
    statuses = examine(plan, wanted=plan.demanded(*parts))
    tables, figures = ([name for name in parts if name.startswith(f"{kind}/")] for kind in ("table", "figure"))
    drawn = [name for name in figures if statuses[name].intact]
    drawn = drawn if as_made else [name for name in drawn if not to_run(plan, statuses, [name])]
    numbered = so_far.numbered(plan, paper)
    there = so_far.there(plan, paper, [*drawn, *so_far.measured(numbered, statuses, as_made)], as_made)
    known = {*there.names, *there.kept}
    if not known:
        raise NotPublished(
            f"{paper}: no figure of it is finished and no number measured at scale {plan.scale}: "
            f"`tesserae --scale {plan.scale} reproduce {plan.jobs[[*tables, *figures][0]].recipe}` begins"
        )
    unknown = [name for name in (*figures, *numbered) if name not in known]
    waiting = to_run(plan, statuses, unknown) if unknown else {}
    left = {"tables": len(tables), "figures": len(figures), "jobs": len(waiting), **prices([*waiting])}
    return Found.in_part(there, left)


def complete(plan: Plan, paper: str, as_made: bool) -> Found:
    """All that a paper shows; NotPublished unless that is one whole."""
    names = shown(plan, paper)
    again = f"`tesserae --scale {plan.scale} reproduce {paper}` makes what is missing"
    statuses = examine(plan, wanted=plan.demanded(*names))
    if absent := [name for name in names if statuses[name].record is None or statuses[name].missing]:
        raise NotPublished(f"{paper}: {_some(absent)} not there at scale {plan.scale}: {again}")
    if edited := [name for name in names if not statuses[name].intact]:
        raise NotPublished(f"{paper}: {_some(edited)} edited since made: {again}")
    if not as_made and (run := to_run(plan, statuses, names)):
        raise NotPublished(
            f"{paper}: {_some([*run])} not what the present code makes: {again}. To publish what is there with the "
            "fingerprints it was made under: `tesserae publish --as-made`"
        )
    return Found(names, _one_whole(plan, paper, names, again))


def _one_whole(plan: Plan, paper: str, names: list[str], again: str) -> dict[str, manifests.Manifest]:
    """The manifests of artifacts and of all they were made from; NotPublished if these are not what is there."""
    records = manifests.collect(plan.project.root, plan.scale)
    for name in manifests.upstream(records, names):
        if other := so_far.from_another(records, name):
            raise NotPublished(f"{paper}: {name} was made from another {other} than is there: {again}")
    return {name: records[name] for name in manifests.upstream(records, names)}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more} {'is' if len(names) == 1 else 'are'}"
