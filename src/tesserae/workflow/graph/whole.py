"""The graph of stages as plain data: which jobs there are, what each reads, writes and is told.

A job is `<stage>/<recipe>`; its artifact lies in results/<scale>/<stage>/<recipe>/. One small function per stage, in
the order of the road: graph_tokenizers.py, graph_generators.py, graph_recipes.py, graph_shown.py, graph_report.py.
Nothing in them imports torch or runs anything.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tesserae.config.errors import ConfigError
from tesserae.config.project import Project, read_project
from tesserae.config.stages import STAGES
from tesserae.config.types import Forecast
from tesserae.costs.describe import describe
from tesserae.workflow.graph.generators import evaluation_jobs, generator_job
from tesserae.workflow.graph.job import PAPER, Job, made_of, upstream
from tesserae.workflow.graph.recipes import settings_jobs, size_jobs
from tesserae.workflow.graph.report import lineage_job, notebook_job, report_job
from tesserae.workflow.graph.shown import claims_jobs, figure_jobs, table_jobs
from tesserae.workflow.graph.tokenizers import (
    concept_jobs,
    dataset_job,
    denoising_job,
    reconstruction_jobs,
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
    asked = _asked(project)
    found: dict[str, Job] = {}
    for job in _made(project, asked):
        _add(job, found)
    shown: list[Job] = []
    for paper in project.papers:
        shown += [
            *table_jobs(project, paper, found),
            *figure_jobs(project, paper, found),
            *claims_jobs(project, paper, found),
        ]
    for job in shown:
        _add(job, found)
    needed = upstream(found, [job.id for job in shown])
    found = {name: job for name, job in found.items() if name in needed}
    for paper in project.papers:
        _add(notebook_job(project, paper, found), found)
    _add(lineage_job(project, found), found)
    if project.scale.forecast:
        _add(_forecast_job(project, project.scale.forecast, found), found)
    _add(report_job(project, found), found)
    return found


def _add(job: Job, found: dict[str, Job]) -> None:
    if job.id not in found:
        for role, producer in job.inputs.items():
            if producer not in found:
                raise ConfigError(
                    f"config/papers/{job.papers[0] if job.papers else ''}.yaml",
                    f"{job.id}: {role}",
                    f"there is no artifact {producer!r}",
                    f"one of {_near(producer, found)}",
                )
        found[job.id] = job


def _near(wanted: str, found: dict[str, Job]) -> str:
    stage = wanted.split("/")[0]
    return ", ".join(sorted(name for name in found if name.startswith(stage + "/"))) or ", ".join(STAGES)


def _asked(project: Project) -> set[str]:
    """Ids of the artifacts that tables and figures name, of all seeds."""
    named = set()
    for paper in project.papers.values():
        for table in paper.tables.values():
            named |= {told.of(row) for told in table.columns.values() for row in told.rows or table.rows}
        for figure in paper.figures.values():
            patterns = [pattern for group in figure.inputs.values() for pattern in group.values()]
            named |= {pattern.format(row=row) for pattern in patterns for row in figure.rows}
    return {one for name in named for one in made_of(project, name)}


def _made(project: Project, asked: set[str]) -> Iterator[Job]:
    """Everything that can be trained and measured, producers first."""
    for recipe in project.saes.values():
        yield from sae_jobs(project, recipe)
    for recipe in project.tokenizers.values():
        dataset = dataset_job(project, recipe)
        yield dataset
        yield reference_job(project, dataset)
        yield from side_input_jobs(project, recipe, dataset)
    for recipe in sorted(project.tokenizers.values(), key=lambda recipe: recipe.typed.finetune is not None):
        dataset = dataset_job(project, recipe)
        tokenizer = tokenizer_job(project, recipe, dataset)
        yield tokenizer
        yield from reconstruction_jobs(project, recipe, tokenizer, dataset)
        yield denoising_job(project, tokenizer, dataset)
        yield from token_jobs(project, recipe, tokenizer, dataset)
        yield from concept_jobs(project, recipe, tokenizer, dataset)
    for recipe in project.generators.values():
        generator = generator_job(project, recipe)
        yield generator
        yield from evaluation_jobs(project, recipe.name, recipe, generator, recipe.typed.tokenizer, asked)
    for name, entry in project.decoded.items():
        recipe = project.generators.get(entry.generator)
        if recipe is None:
            key, known = f"decoded.{name}.generator", f"one of {', '.join(project.generators)}"
            raise ConfigError("config/papers", key, f"unknown generator {entry.generator!r}", known)
        generator = generator_job(project, recipe)
        decoder = project.tokenizers.get(entry.decoder)
        if decoder is None or decoder.typed.finetune != recipe.typed.tokenizer:
            raise ConfigError(
                "config/papers",
                f"decoded.{name}.decoder",
                f"{entry.decoder!r} is no tokenizer that was fine-tuned from {recipe.typed.tokenizer}",
                "name a tokenizer recipe with `finetune`: only then both have the same latents",
            )
        yield from evaluation_jobs(project, name, recipe, generator, entry.decoder, asked)
    yield from size_jobs(project)
    yield from settings_jobs(project)


def _forecast_job(project: Project, wanted: Forecast, found: dict[str, Job]) -> Job:
    """What another scale (or this one) would cost. The plan itself is the spec: nothing is read but published hours."""

    def planned(scale: str, papers: list[str]) -> tuple[Project, dict[str, Job]]:
        if scale == project.scale.scale and set(papers) <= set(project.papers):
            return project, found
        other = read_project(project.root, scale, papers)
        without = replace(other, scale=other.scale.model_copy(update={"forecast": None}))
        return other, jobs(without)

    told, planned_jobs = planned(wanted.scale, [*project.papers])
    resources = told.scale.resources
    spec = describe(
        planned_jobs,
        {job.stage: resources.get(job.stage, resources["default"]) for job in planned_jobs.values()},
        published=planned_jobs if wanted.scale == PAPER and TIMED in told.papers else planned(PAPER, [TIMED])[1],
        scale=wanted.scale,
        gpu=wanted.gpu,
        gpus=wanted.gpus,
    )
    return Job("forecast", wanted.scale, spec, sources={"published": Path("config/published/detok.csv")})
