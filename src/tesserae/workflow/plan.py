"""The plan: jobs with folders, chained fingerprints and resources. What the Snakefile loops over."""

import difflib
import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from tesserae.config.project import Project
from tesserae.config.stages import STAGES
from tesserae.config.types import Resources
from tesserae.lineage import fingerprint
from tesserae.lineage import manifest as manifests
from tesserae.lineage.walk import upstream
from tesserae.workflow import real_data, scheduling
from tesserae.workflow.graph.job import Job
from tesserae.workflow.remembered import planned

ALL_CORES = 2**16


class Plan:
    """All jobs of one project at one scale."""

    def __init__(self, project: Project, found: dict[str, Job]):
        self.project, self.jobs = project, found
        self.scale = project.scale.scale
        self._own: dict[str, fingerprint.Own] = {}
        self._chained: dict[str, str] = {}
        self.looks = True  # at real data sets; else what manifests say of them counts, as it does within a run

    # ---- identity ---------------------------------------------------------------------------------------------

    def own(self, job: Job) -> fingerprint.Own:
        """Fingerprint of a job's code, spec and sources, without its producers."""
        if job.id not in self._own:
            self._own[job.id] = self.scanned(job)
        return self._own[job.id]

    def scanned(self, job: Job) -> fingerprint.Own:
        """`own`, from what the files say at this moment."""
        reviewed = self.project.equivalents.reviewed(job.stage)
        return fingerprint.own([f"tesserae.stages.{job.stage}"], job.spec, job.sources, self.project.root, reviewed)

    def fingerprint(self, job: Job) -> str:
        """The chained fingerprint: the job's identity."""
        if job.id not in self._chained:
            producers = [self.fingerprint(self.jobs[name]) for name in job.inputs.values()]
            images = real_data.digest(self.project, job, self.folder(job.id), self.looks)
            self._chained[job.id] = fingerprint.chain(self.own(job).digest, producers, images)
        return self._chained[job.id]

    # ---- places -----------------------------------------------------------------------------------------------

    def folder(self, job_id: str) -> Path:
        """Where an artifact lies, relative to the project folder. The report lies at the top of its scale."""
        return self.top if job_id.startswith("report/") else self.top / job_id

    @property
    def top(self) -> Path:
        """The folder of this scale's results, relative to the project folder."""
        return Path("results") / self.scale

    def outputs(self, job: Job) -> list[Path]:
        return [self.folder(job.id) / name for name in (*STAGES[job.stage].files, manifests.NAME)]

    def reads(self, job: Job, producer: str) -> tuple[str, ...]:
        """The files of a producer's artifact that a job reads: what it declares, else all but the manifest."""
        return job.reads.get(producer, STAGES[self.jobs[producer].stage].files)

    def inputs(self, job: Job) -> list[Path]:
        """All files that a job reads of its producers."""
        return [self.folder(name) / file for name in job.inputs.values() for file in self.reads(job, name)]

    def state(self, job: Job) -> Path:
        """Where a resumable stage keeps what must survive an interruption; never a declared output."""
        return self.top / ".state" / job.stage / job.recipe

    def lock(self, job: Job) -> Path:
        """What a process holds while it makes an artifact."""
        return self.top / ".state" / job.stage / f"{job.recipe}.lock"

    def experiment(self, job: Job) -> str:
        """MLflow's experiment of an artifact: one per paper and scale; what no or several papers own is shared."""
        return f"{job.papers[0] if len(job.papers) == 1 else 'shared'}/{self.scale}"

    def demanded(self, *wanted: str) -> list[str]:
        """The jobs `wanted` (default: all that is shown) and all they are made from, producers first."""
        needed = upstream(lambda name: self.jobs[name].inputs.values(), wanted or self.shown)
        return [name for name in self.jobs if name in needed]

    # ---- for the rules: functions of the wildcards alone, so that Snakemake tracks them -------------------------

    def rule_inputs(self, stage: str) -> Callable[[Any], list[str]]:
        return lambda wildcards: [str(path) for path in self.inputs(self._job(stage, wildcards))]

    def rule_sources(self, stage: str) -> Callable[[Any], list[str]]:
        return lambda wildcards: [str(path) for path in self._job(stage, wildcards).sources.values()]

    def rule_fingerprint(self, stage: str) -> Callable[[Any], str]:
        return lambda wildcards: self.fingerprint(self._job(stage, wildcards))

    def rule_spec(self, stage: str) -> Callable[[Any], str]:
        return lambda wildcards: json.dumps(self._job(stage, wildcards).spec, sort_keys=True)

    def rule_outputs(self, stage: str) -> dict[str, str]:
        """What a stage writes, by the names of its table entry, and the manifest: patterns of paths."""
        files = {**STAGES[stage].outputs, "manifest": manifests.NAME}
        return {name: f"{self._pattern(stage)}/{file}" for name, file in files.items()}

    def rule_log(self, stage: str) -> str:
        """Where the output of a stage's jobs goes: a pattern of paths."""
        return f"{self._pattern(stage)}/{'report' if stage == 'report' else 'stage'}.log"

    @staticmethod
    def _pattern(stage: str) -> str:
        return "results/{scale}" if stage == "report" else f"results/{{scale}}/{stage}/{{recipe}}"

    def resources(self, stage: str) -> dict[str, Any]:
        """What a stage's jobs ask for, by the names that Snakemake and its SLURM executor know."""
        return scheduling.resources(self.request(stage), stage, self.project.cluster)

    def threads(self, stage: str) -> int:
        """CPU cores of a job on one node; of a stage that runs alone more than there are: Snakemake gives it all."""
        request = self.request(stage)
        return ALL_CORES if STAGES[stage].alone else request.threads * request.per_node

    def request(self, stage: str) -> Resources:
        """The scale's resources for a stage."""
        resources = self.project.scale.resources
        return resources.get(stage, resources["default"])

    def of_paper(self, paper: str) -> list[str]:
        """What a user looks at of one paper: its tables, figures, verdicts, notebook, lineage and page; the page last.

        Nothing of it reads what is made for another paper alone, so that it is the same in a run of all papers.
        """
        return [job.id for job in self.jobs.values() if STAGES[job.stage].shows == "paper" and job.papers == (paper,)]

    @cached_property
    def shown(self) -> list[str]:
        """What a user looks at: tables, figures, verdicts and pages. All of it is there after a run."""
        return [job.id for job in self.jobs.values() if STAGES[job.stage].shows]

    @cached_property
    def named(self) -> dict[str, str]:
        """Tables and figures by the name a user asks for: `detok_table_1` -> job id."""
        return {job.recipe: job.id for job in self.jobs.values() if STAGES[job.stage].named}

    def find(self, wanted: str) -> str:
        """The job a user means by an id, a recipe or table that is unique, or an output file.

        Raises LookupError that names near ones.
        """
        if wanted in self.jobs:
            return wanted
        path = Path(os.path.relpath(self.project.root / wanted, self.project.root))
        for job in self.jobs.values():
            if path == self.folder(job.id) or path in self.outputs(job):
                return job.id
        same = [job.id for job in self.jobs.values() if job.recipe == wanted]
        if len(same) == 1:
            return same[0]
        near = same or [job.id for job in self.jobs.values() if job.stage == wanted.split("/")[0]]
        near = near or difflib.get_close_matches(wanted, [*self.jobs, *(job.recipe for job in self.jobs.values())], 5)
        near = near or sorted({job.stage for job in self.jobs.values()})
        raise LookupError(
            f"{wanted!r} names {len(same) or 'no'} artifacts at scale {self.scale}; there are: {', '.join(near)}"
        )

    def _job(self, stage: str, wildcards: Any) -> Job:
        recipe = getattr(wildcards, "recipe", "index")
        if f"{stage}/{recipe}" not in self.jobs:
            known = ", ".join(job.recipe for job in self.jobs.values() if job.stage == stage)
            raise ValueError(f"no {stage} named {recipe!r} at scale {self.scale}; there are: {known}")
        return self.jobs[f"{stage}/{recipe}"]


def open_plan(root: Path, scale: str | None = None) -> Plan:
    """Plan of the project in `root`, fingerprints when asked; ConfigError if its configuration cannot be used."""
    return Plan(*planned(root, scale))


def open_plan_for(stage: str, root: Path, scale: str | None = None) -> Plan:
    """Plan in which a job of `stage` and all that it is made from stand as in the whole one, and sooner.

    What another scale would cost is planned only for those who tell of it.
    """
    return Plan(*planned(root, scale, forecast=stage == "forecast" or "forecast" in STAGES[stage].reads))


def read_plan(root: Path, scale: str | None = None) -> Plan:
    """Plan of the project in `root` with all fingerprints; ConfigError if its configuration cannot be used."""
    plan = open_plan(root, scale)
    for job in plan.jobs.values():
        plan.fingerprint(job)
    fingerprint.save_cache()
    return plan
