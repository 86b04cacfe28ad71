"""What the last run changed: which artifacts it made, why, and which numbers and verdicts moved.

A number's earlier value is nowhere in what a job may read, so that no stage can tell what moved without making its
result depend on what lay there before. The workflow looks instead: at numbers and verdicts before the first artifact is
replaced, and again when the run has ended. What it found is a record of what happened, no artifact: no stage reads it,
no fingerprint covers it, and the report shows it without being made anew.

What was there before is kept in .tesserae/ until a run has ended well. A run that was killed or failed leaves it, so
that the next one still compares with the last results that were whole.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tesserae.lineage import manifest as manifests
from tesserae.workflow import showing, staleness
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import ArtifactStatus

RECORD = "changes.json"  # beside the report


def begin(plan: Plan, statuses: dict[str, ArtifactStatus], names: Iterable[str]) -> None:
    """Keep what is there before the artifacts `names` are made, or restored from the cache.

    What an unfinished run kept stays: its numbers are the older ones.
    """
    names = [name for name in names if name in plan.jobs]
    if not names:
        return
    kept = _kept(plan) or {"started": manifests.now(), "artifacts": {}, "reasons": [], **_results(plan)}
    kept["artifacts"] |= {name: _started(plan, name) for name in names if name not in kept["artifacts"]}
    run = staleness.to_run(plan, statuses)
    again = {name: run[name] for name in names if name in run and statuses[name].record}
    for members, lines in showing.reasons(plan, statuses, again):
        reason = [showing.short(members), lines]
        if reason not in kept["reasons"]:
            kept["reasons"].append(reason)
    file = _file(plan)
    file.parent.mkdir(exist_ok=True)
    manifests.write(file, kept)


def end(plan: Plan, *, failed: bool = False) -> dict[str, Any] | None:
    """Compare with what was kept, and write `changes.json` beside the report; None if nothing was made.

    After a run that failed, what was kept stays for the next one.
    """
    kept = _kept(plan)
    if kept is None:
        return None
    made = [name for name, started in kept["artifacts"].items() if _started(plan, name) not in (None, started)]
    if not failed:
        _file(plan).unlink()
    if not made:
        return None
    now = _results(plan)
    found = {
        "scale": plan.scale,
        "started": kept["started"],
        "ended": manifests.now(),
        "finished": not failed,
        "made": showing.by_stage([name for name in plan.jobs if name in made]),
        "again": sum(kept["artifacts"][name] is not None for name in made),
        "seconds": sum(manifests.read(plan.project.root / plan.folder(name))["seconds"] for name in made),
        "reasons": kept["reasons"],
        "tables": [
            _about(plan, name) | _moved(kept["tables"].get(name), numbers)
            for name, numbers in now["tables"].items()
            if numbers != kept["tables"].get(name)
        ],
        "verdicts": [
            {"paper": paper, "claim": claim, "old": kept["verdicts"].get(paper, {}).get(claim), "new": verdict}
            for paper, verdicts in now["verdicts"].items()
            for claim, verdict in verdicts.items()
            if paper in kept["verdicts"] and verdict != kept["verdicts"][paper].get(claim)
        ],
    }
    manifests.write(plan.project.root / plan.top / RECORD, found)
    return found


def _moved(old: dict[str, dict[str, float]] | None, new: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The numbers of a table that are others than before, by row and column; null stands for no number."""
    count = sum(map(len, new.values()))
    if old is None:
        return {"first": True, "numbers": count, "moved": []}
    places = [(row, column) for table in (old, new) for row, numbers in table.items() for column in numbers]
    pairs = {(row, column): (old.get(row, {}).get(column), new.get(row, {}).get(column)) for row, column in places}
    moved = [[row, column, *pair] for (row, column), pair in pairs.items() if pair[0] != pair[1]]
    return {"first": False, "numbers": count, "moved": moved}


def _about(plan: Plan, name: str) -> dict[str, str]:
    spec = plan.jobs[name].spec
    return {"table": name, "paper": spec["paper"], "source": spec["source"], "title": spec["title"]}


def _results(plan: Plan) -> dict[str, Any]:
    """Numbers of all tables that are there, and the verdict of each claim by paper."""
    root, tables, verdicts = plan.project.root, {}, {}
    for job in plan.jobs.values():
        folder = root / plan.folder(job.id)
        if job.stage == "table" and (numbers := _read(folder / "metrics.json")) is not None:
            tables[job.id] = numbers
        elif job.stage == "claims" and (found := _read(folder / "claims.json")) is not None:
            verdicts[job.recipe] = {record["id"]: record["verdict"] for record in found["claims"]}
    return {"tables": tables, "verdicts": verdicts}


def _started(plan: Plan, name: str) -> str | None:
    """When an artifact that is there was begun: another time is another artifact."""
    record = _read(plan.project.root / plan.folder(name) / manifests.NAME)
    return record and record["started"]


def _read(file: Path) -> dict[str, Any] | None:
    """A JSON object; None for what is missing, or was damaged: such an artifact is stale and has no numbers."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _kept(plan: Plan) -> dict[str, Any] | None:
    return _read(_file(plan))


def _file(plan: Plan) -> Path:
    return plan.project.root / ".tesserae" / f"before-{plan.scale}.json"
