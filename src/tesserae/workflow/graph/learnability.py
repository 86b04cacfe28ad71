"""The graph's AvgIG and MC: of any tokenizer of any paper that a table shows, all measured alike (CompTok, Sec. 3.2).

`information_gain/<tokenizer>`, `mode_connectivity/<tokenizer>`, with `-<domain>` at the end on images of a domain,
`swaps/<tokenizer>`, which walks in steps of whole tokens, and what they share: `calibration/<tokenizer>`, `pairs/<data
set>`. One paper's file says how, in `measures.learnability`, for tokenizers of all papers; numbers of one set of images
stand in one column.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.measures import Learnability
from tesserae.config.project import Project
from tesserae.config.resolve import ResolvedRecipe, Sourced, Spec
from tesserae.config.seeds import of_seed, seed_of
from tesserae.config.spaces import SPACES, why_not
from tesserae.config.stages import CHECKS, DESCENDED, MISSED
from tesserae.workflow.graph.domains import domain_job
from tesserae.workflow.graph.job import Job, extended, home, reads_of
from tesserae.workflow.graph.tokenizers import data_job, dataset_job, prompts_of, side_input_jobs

GAIN, CONNECTIVITY, SWAPS = "information_gain", "mode_connectivity", "swaps"
STAGES = (GAIN, CONNECTIVITY, SWAPS)
JUDGE, READER = "tesserae.tokenizers.comptok_judge", "tesserae.tokenizers.comptok_reading"
WHERE = "measures.learnability"


class _Told(NamedTuple):
    """What one paper's file says of AvgIG and MC."""

    settings: Learnability
    file: Path


def learnability_jobs(project: Project, tokenizers: dict[str, Job], shown_ids: set[str]) -> Iterator[Job]:
    """What is shown of each tokenizer's AvgIG and MC, and what both are made from.

    tokenizers: their jobs, by the names of the recipes. ConfigError for what two papers say otherwise, and for critics
    that there are not.
    """
    told = _told(project)
    if told is None:
        return
    for recipe in project.tokenizers.values():
        for domain in (None, *project.domains.domains):
            called = recipe.name if domain is None else extended(recipe.name, domain)
            wanted = [stage for stage in STAGES if f"{stage}/{called}" in shown_ids]
            if wanted and why_unmeasured(project, wanted[0], recipe.name) is None:
                yield from _jobs(project, told, recipe, tokenizers, wanted, domain)


def why_unmeasured(project: Project, stage: str, name: str) -> str | None:
    """Why a tokenizer's AvgIG or MC is not measured, where something can be said beforehand; None for other stages."""
    recipe, told = project.tokenizers.get(name), _told(project)
    if stage not in STAGES or recipe is None or told is None:
        return None
    model = specs.tokenizer(recipe, project.context).values["model"]
    if reason := why_not(recipe.typed.system, model):
        return reason
    side, own = _side(project, told), project.context.mapped("image_size", recipe["image_size"])
    if own.value != side.value:
        return f"its images have {own.value} pixels, those of the others {side.value}"
    critic = told.settings.critic
    return f"no critic: {project.omitted[critic]}" if stage != GAIN and critic in project.omitted else None


def _told(project: Project) -> _Told | None:
    """Where it is said how; None if nowhere. ConfigError for two papers that say it."""
    found = [
        _Told(paper.measures.learnability, Path(f"config/papers/{name}.yaml"))
        for name, paper in project.papers.items()
        if paper.measures.learnability is not None
    ]
    if len(found) > 1:
        problem = f"{found[0].file} says it too, and numbers of all papers are measured alike"
        raise ConfigError(found[1].file, WHERE, problem, "let one paper's file say it")
    return found[0] if found else None


def _critic(project: Project, told: _Told, key: str) -> ResolvedRecipe:
    """A critic's recipe, of the first seed, whether the scale omits it or not; ConfigError for one without a critic."""
    name = getattr(told.settings, key)
    recipe = project.every_tokenizer.get(name)
    if recipe is None:
        known = f"one of {', '.join(sorted(project.every_tokenizer))}"
        raise ConfigError(told.file, f"{WHERE}.{key}", f"unknown tokenizer recipe {name!r}", known)
    if getattr(recipe.typed, "critic", None) is None:
        problem = f"{name} is trained without a critic"
        raise ConfigError(told.file, f"{WHERE}.{key}", problem, "name a recipe of the system comptok with L_AFM")
    return recipe


def _side(project: Project, told: _Told) -> Sourced:
    """Of all images that are compared: those of the critic."""
    return project.context.mapped("image_size", _critic(project, told, "critic")["image_size"])


def _looked_at(project: Project, told: _Told, domain: str | None) -> Job:
    """The images: of the paper's data set, or of a domain, on which nothing has classes."""
    if domain is not None:
        return domain_job(project, domain)
    name, data, _ = project.context.playing(told.settings.data, told.file, f"{WHERE}.data")
    return data_job(project, name, data, _side(project, told))


def _jobs(
    project: Project,
    told: _Told,
    recipe: ResolvedRecipe,
    tokenizers: dict[str, Job],
    wanted: list[str],
    domain: str | None,
) -> Iterator[Job]:
    looked_at = _looked_at(project, told, domain)
    yield looked_at
    called = recipe.name if domain is None else extended(recipe.name, domain)
    read = {"dataset": looked_at.id, "tokenizer": tokenizers[recipe.name].id}
    if tokenizers[recipe.name].spec["model"].get("text") == "encoder":
        # Images of a domain have no class: they get the prompt that names none, the last one of any set.
        classes = looked_at if domain is None else dataset_job(project, recipe)
        yield from (job for job in side_input_jobs(project, recipe, classes) if job.stage == "prompts")
        read["prompts"] = prompts_of(project, recipe, classes)
    if GAIN in wanted:
        calibration = _calibration(project, told, recipe, tokenizers[recipe.name])
        yield calibration
        spec = _moving(project, told, recipe)
        for key in ("images", "steps", "calibration_images"):
            spec.set(key, _ours(project, told, key))
        spec.set("rate", told.settings.rate, f"{told.file}: {WHERE}.rate")
        spec.set("batch", *_batch(project))
        checks, without = _ours(project, told, "checks"), {}
        if domain is not None:
            checks = Sourced(False, "of a domain's images AvgIG alone")
        spec.set("kinds", ["", *(CHECKS if checks.value else ())], checks.origin)
        if not checks.value:
            names = [f"{name}{kind}" for kind in CHECKS for name in DESCENDED]
            without = dict.fromkeys(names, "not at this scale" if domain is None else "not of domains")
        yield _job(GAIN, called, spec, read | {"calibration": calibration.id}, home(recipe), without)
    if CONNECTIVITY in wanted:
        pairs = _pairs(project, told, looked_at)
        yield pairs
        inputs = read | {"pairs": pairs.id}
        yield _connectivity(project, told, recipe, called, tokenizers, inputs, pairs.spec["classes"])
    if SWAPS in wanted and why_unmeasured(project, SWAPS, recipe.name) is None:
        pairs = _pairs(project, told, looked_at)
        yield pairs
        yield _swaps(project, told, recipe, called, tokenizers, read | {"pairs": pairs.id})


def _calibration(project: Project, told: _Told, recipe: ResolvedRecipe, tokenizer: Job) -> Job:
    """Of the images that a tokenizer learned from."""
    dataset, spec = dataset_job(project, recipe), _moving(project, told, recipe)
    spec.set("images", _ours(project, told, "calibration_images"))
    spec.set("seed", told.settings.seed, f"{told.file}: {WHERE}.seed")
    spec.set("batch", *_batch(project))
    inputs = {"dataset": dataset.id, "tokenizer": tokenizer.id}
    if tokenizer.spec["model"].get("text") == "encoder":
        inputs["prompts"] = prompts_of(project, recipe, dataset)
    return _job("calibration", recipe.name, spec, inputs, home(recipe))


def _pairs(project: Project, told: _Told, looked_at: Job) -> Job:
    spec = specs.evaluation(project.context, "batch")
    for key in ("encoder", "anchors"):
        spec.set(key, _ours(project, told, key))
    # DECISION (D35): of a set without classes, or with one, the two nearest images.
    spec.set("classes", looked_at.spec.get("classes", 0) > 1, "whether the data set has classes")
    return _job("pairs", looked_at.recipe, spec, {"dataset": looked_at.id}, ())


def _connectivity(
    project: Project,
    told: _Told,
    recipe: ResolvedRecipe,
    called: str,
    tokenizers: dict[str, Job],
    read: dict[str, str],
    classes: bool,
) -> Job:
    """Critics are of the tokenizer's own seed, as all that is made together."""
    spec, inputs, roles, without = _moving(project, told, recipe), dict(read), {}, {}
    if not classes:
        values = [f"{name}{kind}" for name in ("mc_same", "mc_cross") for kind in ("", "_other", "_features")]
        without |= dict.fromkeys(values, "the images have no classes")
    for kind, key, role in (("", "critic", "judge"), ("_other", "other_critic", "other_judge")):
        critic = _critic(project, told, key).name
        of_same_seed = of_seed(critic, seed_of(recipe.name)[1])
        if critic in project.omitted:
            values = [f"{name}{kind}" for name in ("mc", "mc_same", "mc_cross", "end", "worst")]
            without |= dict.fromkeys(values, project.omitted[critic])
            spec.set(key, None, f"{told.file}: {WHERE}.{key}")
            continue
        spec.set(key, critic, f"{told.file}: {WHERE}.{key}")
        if of_same_seed == recipe.name:  # an artifact is read under one role
            role = "tokenizer"
        else:
            inputs[role] = tokenizers[of_same_seed].id
        roles[kind] = role
    spec.set("roles", roles, "whose critics judge")
    spec.set("judged_by", JUDGE, "how critics judge images")
    for key in ("encoder", "real_images"):
        spec.set(key, _ours(project, told, key))
    spec.set("points", told.settings.points, f"{told.file}: {WHERE}.points")
    spec.set("batch", *_batch(project))
    return _job(CONNECTIVITY, called, spec, inputs, home(recipe), without)


def _swaps(
    project: Project,
    told: _Told,
    recipe: ResolvedRecipe,
    called: str,
    tokenizers: dict[str, Job],
    read: dict[str, str],
) -> Job:
    """One critic judges: that of the tokenizer's own seed."""
    spec, inputs = _moving(project, told, recipe), dict(read)
    critic = _critic(project, told, "critic").name
    of_same_seed = of_seed(critic, seed_of(recipe.name)[1])
    role = "tokenizer" if of_same_seed == recipe.name else "judge"
    inputs[role] = tokenizers[of_same_seed].id
    spec.set("critic", critic, f"{told.file}: {WHERE}.critic")
    spec.set("role", role, "whose critic judges")
    spec.set("judged_by", JUDGE, "how critics judge images")
    reads_back = getattr(recipe.typed, "recogniser", None) is not None
    spec.set("read_by", READER if reads_back else None, "who reads tokens back from pictures")
    for key, of_paper in (
        ("encoder", "encoder"),
        ("real_images", "real_images"),
        ("pairs", "swap_pairs"),
        ("sensitivity_pairs", "sensitivity_pairs"),
    ):
        spec.set(key, _ours(project, told, of_paper))
    for key, of_paper in (("columns", "swap_columns"), ("shown", "swap_shown"), ("seed", "seed")):
        spec.set(key, getattr(told.settings, of_paper), f"{told.file}: {WHERE}.{of_paper}")
    spec.set("batch", *_batch(project))
    without = {} if reads_back else dict.fromkeys(MISSED, "it has no network that reads tokens back")
    return _job(SWAPS, called, spec, inputs, home(recipe), without)


def _moving(project: Project, told: _Told, recipe: ResolvedRecipe) -> Spec:
    """The modules of a tokenizer and of its space."""
    spec = Spec()
    spec.set("tokenizer", f"tesserae.tokenizers.{recipe.typed.system}", "the tokenizer's module")
    spec.set("space", SPACES[recipe.typed.system], "how its tokens move")
    spec.set("drawing_steps", _ours(project, told, "drawing_steps"))
    return spec


def _ours(project: Project, told: _Told, key: str) -> Sourced:
    """A setting as the scale has it."""
    paper = Sourced(getattr(told.settings, key), f"{told.file}: {WHERE}.{key}")
    return project.context.either(getattr(project.scale.learnability, key), paper, f"learnability.{key}")


def _batch(project: Project) -> tuple[int, str]:
    return project.scale.learnability.batch, f"{project.context.scale_file}: learnability.batch"


def _job(
    stage: str,
    name: str,
    spec: Spec,
    inputs: dict[str, str],
    papers: tuple[str, ...],
    without: dict[str, str] | None = None,
) -> Job:
    reads = reads_of(stage, inputs)
    return Job(stage, name, spec.values, spec.origins, inputs, reads, papers=papers, without=without or {})
