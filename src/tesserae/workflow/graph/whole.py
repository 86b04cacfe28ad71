"""The graph of stages as plain data: which jobs there are, what each reads, writes and is told.

A job is `<stage>/<recipe>`; its artifact lies in results/<scale>/<stage>/<recipe>/. One small function per stage, in
the order of the road: tokenizers.py, diagnostics.py, generators.py, controls.py, recipes.py, shown.py, report.py.
Nothing in them imports torch or runs anything.
"""

import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tesserae.config.errors import ConfigError, together
from tesserae.config.project import Project, read_project
from tesserae.config.stages import SETTINGS, STAGES, stage_of
from tesserae.config.types import Forecast
from tesserae.costs.describe import describe
from tesserae.workflow.graph.controls import Controls, controls_of
from tesserae.workflow.graph.diagnostics import diagnostic_jobs
from tesserae.workflow.graph.domains import domain_jobs
from tesserae.workflow.graph.generators import evaluation_jobs, generator_job
from tesserae.workflow.graph.job import PAPER, Job, made_of, upstream
from tesserae.workflow.graph.learnability import STAGES as LEARNABILITY
from tesserae.workflow.graph.learnability import learnability_jobs
from tesserae.workflow.graph.probes import probe_jobs
from tesserae.workflow.graph.recipes import recipe_jobs
from tesserae.workflow.graph.report import lineage_job, notebook_job, page_job, report_job
from tesserae.workflow.graph.shown import claims_jobs, figure_jobs, table_jobs
from tesserae.workflow.graph.speed import throughput_jobs
from tesserae.workflow.graph.spread import spread_jobs
from tesserae.workflow.graph.studies import candidates, study_jobs
from tesserae.workflow.graph.tokenizers import (
    dataset_job,
    made_after,
    masks_job,
    reference_job,
    sae_jobs,
    side_input_jobs,
    token_jobs,
    tokenizer_job,
)

TIMED = "detok"  # the paper that prints the hours of its trainings


def jobs(project: Project) -> dict[str, Job]:
    """All jobs of a project by id, producers before consumers; ConfigError for a reference to nothing.

    Only what a table, a figure or a claim asks for: a recipe that nothing shows is not trained.
    """
    shown_ids = _shown_ids(project)
    found: dict[str, Job] = {}
    clashes: dict[str, ConfigError] = {}  # of what is made only if it is needed
    controls: dict[str, Controls] = {}
    for job in _made(project, shown_ids):
        made = [job]
        if STAGES[job.stage].control is not None:
            controls[job.id] = controls_of(project, job, found)
            made += controls[job.id].jobs()
        for one in made:
            if one.id in found and (clash := _clash(found[one.id], one)):
                clashes[one.id] = clash
            _add(one, found)
    for job in study_jobs(project, found, shown_ids):
        _add(job, found)
    shown: list[Job] = []
    for paper in project.papers:
        shown += [
            *table_jobs(project, paper, found, controls),
            *figure_jobs(project, paper, found),
            *claims_jobs(project, paper, found, controls),
        ]
    # A claim takes its artifacts from tables and figures: what is wrong with them is said there.
    if problems := [problem for job in shown if job.stage != "claims" for problem in _unknown(job, found)]:
        raise together(problems)
    for job in shown:
        _add(job, found)
    needed = upstream(found, [job.id for job in shown])
    for name in clashes.keys() & needed:
        raise clashes[name]
    found = {name: job for name, job in found.items() if name in needed}
    for paper in project.papers:
        _add(notebook_job(project, paper, found), found)
    for paper in project.papers:
        _add(lineage_job(project, paper, found), found)
        _add(page_job(project, paper, found), found)
    for job in spread_jobs(project, found):
        _add(job, found)
    if project.scale.forecast:
        _add(_forecast_job(project, project.scale.forecast, found), found)
    _add(report_job(project, found), found)
    return found


def _add(job: Job, found: dict[str, Job]) -> None:
    if job.id not in found:
        if problems := _unknown(job, found):
            raise together(problems)
        found[job.id] = job


def _unknown(job: Job, found: dict[str, Job]) -> list[ConfigError]:
    """Artifacts that a job is to be made from, and that nothing makes."""
    return [
        ConfigError(
            f"config/papers/{job.papers[0] if job.papers else ''}.yaml",
            job.named_at.get(role, f"{job.id}: {role}"),
            f"there is no artifact {producer!r}",
            _remedy(producer, found),
        )
        for role, producer in job.inputs.items()
        if producer not in found
    ]


def _clash(one: Job, other: Job) -> ConfigError | None:
    """What is wrong if two jobs of one id are told or read different things; nobody can want both."""
    if (one.spec, one.inputs) == (other.spec, other.inputs):
        return None
    differ = sorted(key for key in one.spec.keys() | other.spec.keys() if one.spec.get(key) != other.spec.get(key))
    origins = {origin for job in (one, other) for key, origin in job.origins.items() if key.split(".")[0] in differ}
    return ConfigError(
        "config/papers",
        one.id,
        f"asked for with two settings of {', '.join(differ) or 'what it reads'} ({'; '.join(sorted(origins))})",
        "let all papers say the same, or rename what they call alike",
    )


def _remedy(wanted: str, found: dict[str, Job]) -> str:
    stage = stage_of(wanted)
    if stage in LEARNABILITY and not any(job.stage == stage for job in found.values()):
        return "give measures.learnability in the file of one of the papers that are run"
    if stage in SETTINGS and not any(job.stage == stage for job in found.values()):
        return f"give the stage's settings, measures.{stage}, in the paper's file"
    same = sorted(name for name in found if stage_of(name) == stage)
    if near := difflib.get_close_matches(wanted, same, n=3):
        return f"such as {', '.join(near)}"
    return f"one of {', '.join(same or STAGES)}"


def _shown_ids(project: Project) -> set[str]:
    """Ids of the artifacts that tables and figures name, and what studies ask of the same recipes, of all seeds."""
    named = set()
    for paper in project.papers.values():
        for table in paper.tables.values():
            for column in table.columns.values():
                named |= {column.of(row) for row in (table.rows if column.rows is None else column.rows)}
        for figure in paper.figures.values():
            patterns = [pattern for group in figure.inputs.values() for pattern in group.values()]
            named |= {pattern.format(row=row) for pattern in patterns for row in figure.rows}
    for study in [study for paper in project.papers.values() for study in paper.studies.values()]:
        rows = candidates(project, study, named)
        named |= {row.artifact(number) for row in rows for number in study.numbers.values()}
    return {one for name in named for one in made_of(project, name)}


def _made(project: Project, shown_ids: set[str]) -> Iterator[Job]:
    """Everything that can be trained and measured, producers first; of one tokenizer in the order of the stages."""
    order = list(STAGES)
    for recipe in project.saes.values():
        yield from sae_jobs(project, recipe)
    for recipe in project.tokenizers.values():
        dataset = dataset_job(project, recipe)
        yield dataset
        yield reference_job(project, recipe, dataset)
        if (masks := masks_job(project, recipe, dataset)) is not None:
            yield masks
        yield from side_input_jobs(project, recipe, dataset)
    tokenizers: dict[str, Job] = {}
    for recipe in sorted(project.tokenizers.values(), key=lambda recipe: made_after(project, recipe)):
        dataset = dataset_job(project, recipe)
        tokenizer = tokenizer_job(project, recipe, dataset)
        yield tokenizer
        tokenizers[recipe.name] = tokenizer
        of_it = [
            *token_jobs(project, recipe, tokenizer, dataset),
            *diagnostic_jobs(project, recipe, tokenizer, dataset),
            *probe_jobs(project, recipe, tokenizer, dataset, shown_ids),
            *domain_jobs(project, recipe, tokenizer, dataset, shown_ids),
        ]
        yield from sorted(of_it, key=lambda job: order.index(job.stage))
    yield from learnability_jobs(project, tokenizers, shown_ids)
    for recipe in project.generators.values():
        generator = generator_job(project, recipe)
        yield generator
        yield from evaluation_jobs(project, recipe.name, recipe, generator, recipe.typed.tokenizer, shown_ids)
    for name, entry in project.decoded.items():
        recipe = project.generators.get(entry.generator)
        if recipe is None:
            key, known = f"decoded.{name}.generator", f"one of {', '.join(project.generators)}"
            raise ConfigError(_decoded_in(project, name), key, f"unknown generator {entry.generator!r}", known)
        generator = generator_job(project, recipe)
        decoder = project.tokenizers.get(entry.decoder)
        if decoder is None or decoder.typed.tokens_of != recipe.typed.tokenizer:
            raise ConfigError(
                _decoded_in(project, name),
                f"decoded.{name}.decoder",
                f"{entry.decoder!r} is not a tokenizer that was fine-tuned from {recipe.typed.tokenizer}",
                "name a tokenizer recipe with `finetune`: only then both have the same latents",
            )
        yield from evaluation_jobs(project, name, recipe, generator, entry.decoder, shown_ids)
    yield from throughput_jobs(project)
    yield from recipe_jobs(project)


def _decoded_in(project: Project, name: str) -> str:
    """The file that says of a generator's tokens that another tokenizer decodes them."""
    return next(f"config/papers/{paper}.yaml" for paper, found in project.papers.items() if name in found.decoded)


def _forecast_job(project: Project, wanted: Forecast, found: dict[str, Job]) -> Job:
    """What another scale (or this one) would cost. The plan itself is the spec: nothing is read but published hours."""

    def planned(scale: str, papers: list[str]) -> tuple[Project, dict[str, Job]]:
        if scale == project.scale.scale and set(papers) <= set(project.papers):
            return project, found
        other = read_project(project.root, scale, papers)
        without = replace(other, scale=other.scale.model_copy(update={"forecast": None}))
        return other, jobs(without)

    priced, planned_jobs = planned(wanted.scale, [*project.papers])
    resources = priced.scale.resources
    spec = describe(
        planned_jobs,
        {job.stage: resources.get(job.stage, resources["default"]) for job in planned_jobs.values()},
        published=planned_jobs if wanted.scale == PAPER and TIMED in priced.papers else planned(PAPER, [TIMED])[1],
        scale=wanted.scale,
        gpu=wanted.gpu,
        gpus=wanted.gpus,
    )
    return Job("forecast", wanted.scale, spec, sources={"published": Path("config/published/detok.csv")})
