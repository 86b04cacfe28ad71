"""The graph's jobs that look at one tokenizer: made from the table of stages, the paper's `measures` and the recipe.

A new stage of this kind needs its entry in the table and, if it has settings, their type in config/measures.py and
their values in the papers' files; nothing here names a stage.
"""

from collections.abc import Collection, Iterator
from typing import Any

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.measures import Followed
from tesserae.config.project import Project
from tesserae.config.registry import TOKENIZERS
from tesserae.config.resolve import Sourced, Spec
from tesserae.config.stages import STAGES, Diagnostic
from tesserae.workflow.graph.job import PROMPTS, Job, extended, reads_of
from tesserae.workflow.graph.tokenizers import masks_job, measured_as, prompts_of, reference_job, sae_of

GIVEN = "given"  # the prompt of the image's own class


def diagnostic_jobs(project: Project, recipe: Any, tokenizer: Job, dataset: Job) -> Iterator[Job]:
    """A job of each such stage for a tokenizer `recipe`, as far as the recipe has what the stage reads.

    ConfigError for a setting that follows no recipe.
    """
    for name, stage in STAGES.items():
        diagnostic = stage.diagnostic
        if diagnostic is None or (diagnostic.naming and project.sae(recipe) is None):
            continue
        if diagnostic.by_policy and not getattr(TOKENIZERS[recipe.typed.system], "POLICIES", False):
            continue
        found = {producer: _input(project, recipe, producer, tokenizer, dataset) for producer in stage.reads}
        inputs = {role: artifact for role, artifact in found.items() if artifact is not None}
        if found.keys() - inputs.keys() - {"prompts"}:  # a tokenizer without prompts is looked at without them
            continue
        settings = _settings(project, recipe, name)
        if settings is None:
            continue
        for variant, told in _variants(project, recipe, diagnostic, inputs).items():
            spec = _spec(project, recipe, dataset, diagnostic, told)
            spec.set("tokenizer", tokenizer.spec["module"], "the tokenizer's module")
            _tell_of_concepts(spec, project, recipe, inputs)
            for key, value in settings.items():
                spec.set(key, value)
            for key, value in told.items():
                spec.set(key, value)
            named = extended(tokenizer.recipe, variant) if variant else tokenizer.recipe
            yield Job(name, named, spec.values, spec.origins, inputs, reads_of(name, inputs), papers=tokenizer.papers)


def _variants(
    project: Project, recipe: Any, diagnostic: Diagnostic, inputs: dict[str, str]
) -> dict[str, dict[str, Sourced]]:
    """What follows the recipe in the names of a stage's jobs for a tokenizer ("": nothing), and what each is told."""
    if diagnostic.by_policy:
        policies, where = project.papers[recipe.file.stem].measures.policies, f"{recipe.file}: measures.policies"
        return {
            name: {f"policy.{key}": Sourced(value, f"{where}.{name}") for key, value in policy.model_dump().items()}
            for name, policy in policies.items()
        }
    if diagnostic.by_prompt and "prompts" in inputs:
        prompts = {"": GIVEN, **{prompt: prompt for prompt in PROMPTS}}
        return {name: {"prompt": Sourced(prompt, "whose class the prompt names")} for name, prompt in prompts.items()}
    return {"": {}}


def _input(project: Project, recipe: Any, producer: str, tokenizer: Job, dataset: Job) -> str | None:
    """Id of the artifact of a stage that belongs to a tokenizer; None if it has none.

    KeyError for a stage of which a tokenizer has no one artifact: no diagnostic can read it.
    """
    sae = sae_of(project, recipe)
    return {
        "dataset": dataset.id,
        "reference": reference_job(project, recipe, dataset).id,
        "tokenizer": tokenizer.id,
        "prompts": prompts_of(project, recipe, dataset),
        "masks": None if (masks := masks_job(project, recipe, dataset)) is None else masks.id,
        "sae": sae and f"sae/{sae.name}",
        "concepts": sae and f"concepts/{sae.name}-{dataset.recipe}",
    }[producer]


def _spec(project: Project, recipe: Any, dataset: Job, diagnostic: Diagnostic, told: Collection[str]) -> Spec:
    """The settings of the scale's evaluation; prompts that are shuffled need a seed."""
    seeded = "prompt" in told and "seed" not in diagnostic.evaluation
    return measured_as(project, recipe, dataset, *diagnostic.evaluation, *(["seed"] if seeded else []))


def _tell_of_concepts(spec: Spec, project: Project, recipe: Any, inputs: dict[str, str]) -> None:
    """How concepts of an image are found, as far as the stage reads them or their autoencoder."""
    sae = sae_of(project, recipe)
    if "concepts" in inputs:
        spec.set("concepts", project.context.scaled("topk_sae", sae, "concept_set"))
    if "sae" in inputs:
        features = specs.features(sae, project.context)
        spec.values |= features.values
        spec.origins |= features.origins
        spec.set("sae", specs.SAE, "the SAE's module")
        for key in ("frequency", "dense"):
            spec.set(key, project.context.scaled("topk_sae", sae, key))


def _settings(project: Project, recipe: Any, stage: str) -> dict[str, Sourced] | None:
    """What the paper's file says of a stage at `measures`; None if it has to and does not."""
    if STAGES[stage].diagnostic.settings is None:
        return {}
    measures = getattr(project.papers[recipe.file.stem].measures, stage)
    if measures is None:
        return None
    found = {}
    for key in type(measures).model_fields:
        value, where = getattr(measures, key), f"measures.{stage}.{key}"
        if isinstance(value, Followed):
            found[key] = _followed(project, recipe, value, where)
        elif value is not None:
            found[key] = Sourced(value, f"{recipe.file}: {where}")
    return found


def _followed(project: Project, recipe: Any, setting: Followed, where: str) -> Sourced:
    """The value of the recipe, or of the one that is named for those without; the scale has its say in both."""
    known = project.every_tokenizer
    if setting.otherwise not in known:
        problem = f"unknown tokenizer recipe {setting.otherwise!r}"
        raise ConfigError(recipe.file, f"{where}.otherwise", problem, f"one of {', '.join(sorted(known))}")
    for one in (recipe, known[setting.otherwise]):
        if one.leaves.get(setting.key, Sourced(None, "")).value:
            return project.context.ours(one.typed.system, one, setting.key)
    raise ConfigError(
        recipe.file,
        f"{where}.otherwise",
        f"{setting.otherwise} has no {setting.key} either",
        f"name a tokenizer recipe that has a {setting.key} beside null and 0",
    )
