"""What happens before the first job of a run: no expensive surprise, and nothing replaced that could come back."""

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tesserae.config.stages import STAGES
from tesserae.lineage import fingerprint
from tesserae.workflow import client as job_client
from tesserae.workflow import foreign, last_run, real_data, store
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import LIBRARIES, ArtifactStatus, examine, seconds, to_run


class Unconfirmed(Exception):
    """A run would make more again than the scale allows without asking."""


def remake(plan: Plan, wanted: str | None) -> tuple[str, ...]:
    """Ids of what a user asked to be made again: `libraries`, artifacts, recipes or tables, separated by commas.

    Raises LookupError for a name that is not in the plan.
    """
    names = [name for name in (wanted or "").split(",") if name]
    return tuple(name if name == LIBRARIES else plan.find(name) for name in names)


def wanted(plan: Plan, targets: list[str]) -> list[str]:
    """The artifacts that Snakemake's targets mean (files, tables, papers, `all`); all that is shown if there are none.

    Raises LookupError for a target that is none of them.
    """
    found: dict[str, None] = {}
    for target in targets or ["all"]:
        if target == "all":
            names = plan.shown
        elif target in plan.project.papers:
            names = plan.of_paper(target)
        else:
            names = [plan.named.get(target) or plan.find(target)]
        found |= dict.fromkeys(names)
    return list(found)


def papers(plan: Plan, names: Iterable[str]) -> list[str]:
    """The papers of that name, each once; LookupError, which names those that there are, for any other name."""
    found = list(dict.fromkeys(names))
    if unknown := [name for name in found if name not in plan.project.papers]:
        raise LookupError(
            f"there is no paper {', '.join(map(repr, unknown))}; config/config.yaml: papers has "
            f"{', '.join(plan.project.papers)}"
        )
    return found


def pages_along(plan: Plan, statuses: dict[str, ArtifactStatus], wanted: list[str]) -> list[str]:
    """Pages of the whole scale that lack nothing beyond what is made for `wanted` anyway.

    So the first page follows a paper that was made alone as soon as all the others are there, and is not begun before.
    """
    run = to_run(plan, statuses, wanted)
    of_scale = dict.fromkeys(name for name in plan.shown if STAGES[plan.jobs[name].stage].shows == "scale")
    return [name for name in of_scale if to_run(plan, statuses, [*wanted, name]).keys() - run.keys() <= of_scale.keys()]


def as_files(plan: Plan, arguments: tuple[str, ...], targets: list[str]) -> tuple[str, ...]:
    """A command line with a file of each target that Snakemake has no rule for: artifacts by id, recipe or folder.

    targets: those among `arguments` that are targets, all of them known to `wanted`.
    """
    ruled = {"all", *plan.project.papers, *plan.named}

    def of(target: str) -> str:
        outputs = plan.outputs(plan.jobs[plan.find(target)])
        return target if Path(target) in outputs else str(outputs[0])

    return tuple(of(each) if each in targets and each not in ruled else each for each in arguments)


def client() -> str:
    """How a rule's shell command begins that asks for a job: safe from the shell, and from Snakemake's braces."""
    command = shlex.join([sys.executable, "-I", "-S", job_client.__file__])
    return command.replace("{", "{{").replace("}", "}}")


def job_id(job: Any) -> str:
    """The plan's id of one of Snakemake's jobs."""
    return f"{job.rule.name}/{getattr(job.wildcards, 'recipe', 'index')}"


def replaced(plan: Plan, statuses: dict[str, ArtifactStatus], names: list[str]) -> list[str]:
    """Which of the jobs make again what was made before."""
    return [name for name in names if name in plan.jobs and statuses[name].record]


def token(plan: Plan, statuses: dict[str, ArtifactStatus]) -> str:
    """What a confirmation names: it holds for what is stale now, and for nothing else."""
    return fingerprint.digest(
        sorted(
            [name, plan.fingerprint(plan.jobs[name]), *found.stale] for name, found in statuses.items() if found.stale
        )
    )[:6]


def confirm(plan: Plan, statuses: dict[str, ArtifactStatus], names: list[str], confirmed: str | None) -> None:
    """Raise Unconfirmed if making `names` again costs more than the scale's limit and nobody agreed to it."""
    limit = plan.project.scale.confirm_above
    again = replaced(plan, statuses, names)
    hours = sum(seconds(plan, statuses, name) or 0.0 for name in again) / 3600
    if limit is None or hours <= limit or confirmed == token(plan, statuses):
        return
    raise Unconfirmed(
        f"{len(again)} artifacts would be made again, which took {hours:.1f} hours the last time; scale {plan.scale} "
        f"asks above {limit:g} (config/scales/{plan.scale}.yaml: confirm_above). `tesserae why` says what changed. "
        f"To go on: `tesserae reproduce --confirm {token(plan, statuses)}` (with snakemake itself: `--config "
        f"confirm={token(plan, statuses)}`). If the edit changes no number: `tesserae equivalent <module> --why ...`."
    )


def begin(plan: Plan, statuses: dict[str, ArtifactStatus], names: list[str], confirmed: str | None) -> None:
    """Called once, before the first job runs and before Snakemake deletes what it replaces.

    Raises Unconfirmed, and ConfigError for published weights and data sets that are not there.
    """
    jobs = [plan.jobs[name] for name in names if name in plan.jobs]  # `all` and other targets are not jobs
    foreign.check(jobs)
    real_data.check(plan.project, jobs)
    confirm(plan, statuses, names, confirmed)
    last_run.begin(plan, statuses, names)
    try:
        store.keep(plan, statuses, replaced(plan, statuses, names))
    except store.NoRepository as error:
        print(error, file=sys.stderr)


def landed(plan: Plan, arguments: list[str]) -> bool:
    """Whether the one job of a Snakemake inside a SLURM job (its command line) is made already.

    SLURM queues a job again whose node died in the moment between the result and the end of the job.
    """
    rule, _, wildcards = arguments[arguments.index("--target-jobs") + 1].partition(":")
    recipe = dict(pair.split("=", 1) for pair in wildcards.split(",")).get("recipe", "index")
    name = f"{rule}/{recipe}"
    status = examine(plan, wanted=plan.demanded(name))[name]
    return status.current and not status.missing
