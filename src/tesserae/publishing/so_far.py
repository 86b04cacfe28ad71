"""What there is of a paper before all of it was run: its finished tables and figures, and what claims say already."""

from collections.abc import Mapping
from typing import Any

from tesserae.config.stages import STAGES, stage_of
from tesserae.reporting import claim_numbers
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import ArtifactStatus, examine, to_run


def measured(plan: Plan, paper: str, as_made: bool = False) -> list[str]:
    """The artifacts of the paper's claims whose numbers are there; as_made: also what would be made otherwise now."""
    job = plan.jobs.get(f"claims/{paper}")
    if job is None:
        return []
    numbers = list(dict.fromkeys(job.inputs.values()))
    statuses = examine(plan, wanted=plan.demanded(*numbers)) if numbers else {}
    return [name for name in numbers if _counts(statuses[name], STAGES[stage_of(name)].numbers, as_made)]


def _counts(status: ArtifactStatus, file: str | None, as_made: bool) -> bool:
    made = status.record is not None and file not in status.missing
    return made and (status.current or (as_made and not any(why.startswith("edited") for why in status.stale)))


def claims(plan: Plan, paper: str, names: list[str]) -> dict[str, Any]:
    """What a claims.json would hold if the artifacts `names` were all there are; the others are not run yet."""
    job, root, wanted = plan.jobs[f"claims/{paper}"], plan.project.root, set(names)
    there = {role: root / plan.folder(name) for role, name in job.inputs.items() if name in wanted}
    return claim_numbers.evaluate(claim_numbers.so_far(job.spec, there), there, root / job.sources["published"])


def finished(plan: Plan, names: list[str], statuses: Mapping[str, ArtifactStatus], as_made: bool) -> list[str]:
    """Those of the tables and figures `names` that are there, and (unless `as_made`) are what would be made now."""
    there = [name for name in names if statuses[name].intact]
    return there if as_made else [name for name in there if not to_run(plan, dict(statuses), [name])]
