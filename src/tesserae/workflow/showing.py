"""What is stale and why, as a user reads it in a terminal."""

from typing import Any

from tesserae.words import duration
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import ArtifactStatus, other_libraries, seconds, why

FEW = 4  # artifacts that are named in a group


def cost(plan: Plan, statuses: dict[str, ArtifactStatus], names: list[str]) -> str:
    """What `names` took the last time (their stage's mean where an artifact is new), and what is not known."""
    known, unknown = taken(plan, statuses, names)
    words = "time unknown" if known is None else duration(known)
    return words + (f" and {unknown} of unknown time" if known is not None and unknown else "")


def taken(plan: Plan, statuses: dict[str, ArtifactStatus], names: list[str]) -> tuple[float | None, int]:
    """Seconds that `names` took the last time, as far as known (None: of none of them), and of how many not."""
    times = [seconds(plan, statuses, name) for name in names]
    known = [time for time in times if time is not None]
    return (sum(known) if known or not times else None), len(times) - len(known)


def reasons(plan: Plan, statuses: dict[str, ArtifactStatus], run: dict[str, str]) -> list[tuple[list[str], list[str]]]:
    """Groups of artifacts that run for the same reasons, and those reasons, in the order of the plan."""
    own = {
        name: why(plan, statuses[name]) if statuses[name].stale or statuses[name].record is None else [] for name in run
    }
    found: dict[tuple[str, ...], list[str]] = {}
    for name, state in run.items():
        lines = own[name]
        if not lines:
            roots = _roots(plan, name, run, own)
            lines = [f"follows from {', '.join(roots[:FEW])}{_more(roots)}" if roots else state]
        found.setdefault(tuple(lines), []).append(name)
    return [(names, list(lines)) for lines, names in found.items()]


def _roots(plan: Plan, name: str, run: dict[str, str], own: dict[str, list[str]]) -> list[str]:
    """The first artifacts upstream that have a reason of their own: those that follow from no other such one."""
    causes = [other for other in plan.demanded(name) if other in run and other != name and own[other]]
    above = {cause: {*plan.demanded(cause)} - {cause} for cause in causes}
    return [cause for cause in causes if not above[cause].intersection(causes)]


def _more(names: list[str]) -> str:
    return f" and {len(names) - FEW} more" if len(names) > FEW else ""


def short(names: list[str]) -> str:
    """Artifacts of a group on one line, by stage: `tokenizer: a, b; tokens: a, b`."""
    parts = []
    for stage, members in by_stage(names).items():
        recipes = [name.split("/", 1)[1] for name in members]
        parts.append(f"{stage}/{', '.join(recipes[:FEW])}{_more(recipes)}")
    return "; ".join(parts)


def by_stage(names: list[str]) -> dict[str, list[str]]:
    """Artifacts by stage, both in the order they come in."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.split("/")[0], []).append(name)
    return found


def libraries(statuses: dict[str, ArtifactStatus]) -> list[str]:
    """One line per library version that differs from the one here: `torch 2.14.0 made 98 artifacts, here is 2.14.1`."""
    from tesserae.lineage.manifest import environment

    here, counts = environment()["libraries"], {}
    for status in statuses.values():
        if status.record and "environment" in status.record:
            for library in other_libraries(status.record):
                counts[library] = counts.get(library, 0) + 1
    return [
        f"{library} made {count} artifacts, here is {here.get(library.split()[0], 'none')}"
        for library, count in sorted(counts.items())
    ]


def table(plan: Plan, statuses: dict[str, ArtifactStatus], run: dict[str, str], back: list[str]) -> Any:
    """What would run, by stage, with the time it took the last time; `back` comes from the cache instead."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, title_justify="left")
    for heading, justify in (("stage", "left"), ("artifacts", "left"), ("last time", "right")):
        shown.add_column(heading, justify=justify, overflow="fold")
    made = [name for name in run if name not in back]
    for stage, names in by_stage(made).items():
        recipes = [plan.jobs[name].recipe for name in names]
        shown.add_row(stage, ", ".join(recipes[:FEW]) + _more(recipes), cost(plan, statuses, names))
    shown.add_row("all", str(len(made)), cost(plan, statuses, made))
    if back:
        shown.add_row("restored", f"{len(back)} from the cache, not made: {short(back)}", "")
    return shown


def as_json(plan: Plan, statuses: dict[str, ArtifactStatus], run: dict[str, str], back: list[str]) -> dict[str, Any]:
    """What would run, for programs."""
    return {
        "scale": plan.scale,
        "run": [
            {
                "artifact": name,
                "why": why(plan, statuses[name]) or [run[name]],
                "seconds": seconds(plan, statuses, name),
            }
            for name in run
        ],
        "restored": back,
        "libraries": libraries(statuses),
    }
