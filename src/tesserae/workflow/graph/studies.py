"""The graph's studies: over which tokenizers a number is correlated with what is to predict it, at this scale."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tesserae.config import spec as specs
from tesserae.config.project import Project
from tesserae.config.registry import tokens_of
from tesserae.config.resolve import ResolvedRecipe
from tesserae.config.stages import STAGES, stage_of
from tesserae.config.studies import Number, Study
from tesserae.correlating import KINDS, LEAST
from tesserae.workflow.graph.job import Job, reads_of, roles_of_seeds, seeds_of
from tesserae.workflow.graph.shown import recipe_of, why_missing

STAGE = "correlations"
GENERATED = ("search", "metrics", "throughput")  # stages of which tables and figures show generators
RESAMPLES = 10_000  # the second digit of an interval's ends stays


class Row(NamedTuple):
    """A tokenizer of a study, and the generator that learned it, if there is one; of the first seed."""

    tokenizer: str
    generator: str | None

    def artifact(self, number: Number) -> str:
        return number.artifact.format(tokenizer=self.tokenizer, generator=self.generator)


def study_jobs(project: Project, found: Mapping[str, Job], shown: Collection[str]) -> Iterator[Job]:
    """A job for each study of every paper, among the jobs `found` so far; shown: ids that tables and figures name.

    One of fewer tokenizers than LEAST reads nothing: nothing is made for it alone, and it says how many there are.
    """
    for paper, described in project.papers.items():
        for name, study in described.studies.items():
            spec = {"against": study.against.column, "predictors": _columns(study)}
            if study.printed:
                spec |= {"table": study.table, "r": _printed_r(study)}
                sources = {"published": Path(described.published)}
                yield Job(STAGE, name, spec, sources=sources, papers=(paper,))
                continue
            rows, left_out = rows_of(project, candidates(project, study, shown), study, found)
            enough = len(rows) >= LEAST
            seeds = _seeds(project, study, rows)
            inputs = {} if not enough else dict(sorted(_inputs(project, study, rows, seeds).items()))
            spec |= {
                "tokenizers": [_told(project, study, row) for row in rows],
                "left_out": left_out,
                "seeds": seeds,
                "varies": list(study.varies),
                "resamples": RESAMPLES,
                "seed": project.scale.evaluation.seed,
            }
            yield Job(STAGE, name, spec, inputs=inputs, reads=reads_of(STAGE, inputs), papers=(paper,))


def _columns(study: Study) -> dict[str, str]:
    return {key: number.column for key, number in study.predictors.items()}


def _printed_r(study: Study) -> dict[str, list[str]]:
    """Predictor -> row and column where its correlation is printed."""
    return {key: [number.r.row, number.r.column] for key, number in study.predictors.items() if number.r}


def rows_of(
    project: Project, candidates: Iterable[Row], study: Study, found: Mapping[str, Job]
) -> tuple[list[Row], dict[str, str]]:
    """The tokenizers of a study of which this scale measures every number; and of the others, why not."""
    rows, left_out = [], {}
    for row in candidates:
        reasons = dict.fromkeys(
            _why_not(project, row.artifact(number), number, found) for number in study.numbers.values()
        )
        if missing := [reason for reason in reasons if reason]:
            left_out[row.tokenizer] = "; ".join(missing)
        else:
            rows.append(row)
    return rows, left_out


def candidates(project: Project, study: Study, shown: Collection[str]) -> list[Row]:
    """The tokenizers that a study is about, whether or not this scale does without them.

    Of generators those of which a table or figure shows anything, among the ids `shown`: for a study more samples may
    be drawn, and no generator is trained.
    """
    if study.generator is None:
        return [Row(name, None) for name in study.tokenizers]
    if study.generator not in project.every_generator:  # of a paper that is not run
        return []
    wanted = project.every_generator[study.generator]
    side = _side(project, wanted)
    told = {recipe_of(project, artifact) for artifact in shown if stage_of(artifact) in GENERATED}
    return [
        Row(recipe.typed.tokenizer, name)
        for name, recipe in project.every_generator.items()
        if name in told and _settings(recipe) == _settings(wanted) and _side(project, recipe) == side
    ]


def _settings(generator: ResolvedRecipe) -> dict[str, Any]:
    """All that a generator's recipe says, but for the tokenizer: where it is the same, nothing is mixed."""
    return {key: value for key, (value, _) in generator.leaves.items() if key != "tokenizer"}


def _side(project: Project, generator: ResolvedRecipe) -> int | None:
    """Of the images that a generator's tokenizer reads, in the paper's terms; None if there is no such tokenizer."""
    tokenizer = project.every_tokenizer.get(generator.typed.tokenizer)
    return None if tokenizer is None else tokenizer["image_size"].value


def _why_not(project: Project, artifact: str, number: Number, found: Mapping[str, Job]) -> str | None:
    """Why a number is not measured at this scale; None if it is."""
    reason = why_missing(project, artifact, found, number.value)
    return reason or (None if artifact in found else f"no {artifact}")


def _seeds(project: Project, study: Study, rows: list[Row]) -> list[int]:
    """The seeds that all numbers have: a draw takes the same of all tokenizers."""
    artifacts = [row.artifact(number) for row in rows for number in study.numbers.values()]
    of = [seeds_of(project, artifact) for artifact in artifacts if STAGES[stage_of(artifact)].seeded]
    return min(of, key=len, default=[1])


def _inputs(project: Project, study: Study, rows: list[Row], seeds: list[int]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        for number in study.numbers.values():
            found |= roles_of_seeds(project, row.artifact(number), seeds)
    return found


def _told(project: Project, study: Study, row: Row) -> dict[str, Any]:
    """What a job is told of one of its tokenizers."""
    spec = specs.tokenizer(project.tokenizers[row.tokenizer], project.context).values
    numbers = {"against": study.against, **study.predictors}
    return {
        "name": row.tokenizer,
        "kind": KINDS[tokens_of(spec["module"], spec["model"]).layout],
        "numbers": {key: [row.artifact(number), number.value] for key, number in numbers.items()},
    }
