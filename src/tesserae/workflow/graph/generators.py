"""The graph from tokens to numbers: generators, the search for guidance, samples, features, metrics."""

from collections.abc import Iterator
from typing import Any

from tesserae.config import spec as specs
from tesserae.config.project import Project
from tesserae.config.resolve import Spec
from tesserae.config.seeds import seed_of
from tesserae.workflow.graph.job import KINDS, Job, Shard, extended, gathered, home, reads_of, shards_of
from tesserae.workflow.graph.tokenizers import (
    dataset_job,
    measured_as,
    measured_side,
    module_of,
    reference_job,
    tokens_stage,
)


def generator_job(project: Project, recipe: Any) -> Job:
    tokenizer_recipe = project.tokenizer(recipe.typed.tokenizer, recipe)
    _, data, _ = project.context.dataset(tokenizer_recipe)
    tokenizer_spec = specs.tokenizer(tokenizer_recipe, project.context)
    spec = specs.generator(recipe, tokenizer_spec, data, project.context)
    kind = tokens_stage(project, tokenizer_recipe.name)
    inputs = gathered(project, kind, "tokens", tokenizer_recipe.name)
    if recipe.typed.source == "official" and kind != "tokens":  # tokens would be read for their statistics
        inputs = {}
    return Job(
        "generator",
        recipe.name,
        spec.values,
        spec.origins,
        inputs,
        papers=home(recipe),
        weights=recipe.typed.file,
    )


def evaluation_jobs(
    project: Project, name: str, recipe: Any, generator: Job, decoder: str, shown: set[str]
) -> Iterator[Job]:
    """The search for guidance (and temperature), then samples and metrics at what it selected, as far as asked for.

    `name` is the generator's recipe, or what its tokens decoded by another tokenizer are called.
    """
    context, tokenizer = project.context, f"tokenizer/{decoder}"
    dataset = dataset_job(project, project.tokenizers[decoder])
    kinds = [kind for kind in KINDS if f"metrics/{extended(name, kind)}" in shown]
    sampler = specs.sampling(recipe, context)
    continuous = tokens_stage(project, recipe.typed.tokenizer) == "tokens"
    tokens = gathered(project, "tokens", "tokens", recipe.typed.tokenizer) if continuous else {}
    models = {"generator": generator.id, "tokenizer": tokenizer, **tokens}

    def sampling_spec(shard: Shard, count: str) -> Spec:
        spec = measured_as(project, recipe, dataset, count, "rounding", "batch", "seed")
        # DECISION: every seed of a training draws samples of its own, the same for all recipes: what one draw is like
        # then counts as chance in a claim's interval, and is shared by the numbers that are compared.
        if (of_training := seed_of(recipe.name)[1]) > 1:
            number = spec.values["seed"] + of_training - 1
            spec.set("seed", number, f"{spec.origins['seed']} and the seed of the training")
        shard.describe(spec)
        labels = project.papers[recipe.file.stem].measures.labels
        spec.set("labels", labels, f"{recipe.file}: measures.labels")
        spec.set("modules.generator", generator.spec["module"], generator.origins["module"])
        spec.set("modules.tokenizer", module_of(project, decoder), "the tokenizer's module")
        spec.set("classes", generator.spec["model"]["classes"], generator.origins["model.classes"])
        spec.set(
            "sampler",
            {"module": sampler.values["module"], **sampler.values["settings"]},
            f"{recipe.file}: generators.{recipe.name}.sampling",
        )
        return spec

    def job(stage: str, name: str, spec: Spec, inputs: dict[str, str]) -> Job:
        reads = reads_of(stage, inputs)
        return Job(stage, name, spec.values, spec.origins, inputs, reads, papers=generator.papers)

    reference, side = reference_job(project, recipe, dataset).id, measured_side(project, recipe, dataset)

    def measuring_spec(*keys: str) -> Spec:
        spec = specs.evaluation(context, "extractor", "layer", *keys)
        if side is not None:
            spec.set("measured_at", side)
        return spec

    for shard in shards_of(project, "search_samples"):
        spec = sampling_spec(shard, "search_samples")
        spec.set("search", sampler.values["search"], f"{recipe.file}: generators.{recipe.name}.sampling")
        unguided = "nocfg" in kinds or "best" in kinds
        spec.set("unguided", unguided, "whether a table shows numbers without guidance")
        yield job("search_samples", shard.of(name), spec, models)
    spec = measuring_spec("splits", "batch")
    searched = gathered(project, "search_samples", "search_samples", name)
    yield job("search", name, spec, {**searched, "reference": reference})
    for kind in kinds:
        selected = extended(name, kind)
        for shard in shards_of(project, "samples"):
            spec = sampling_spec(shard, "samples")
            spec.set("selected", kind, "with guidance, without, or the best of both: what the table shows")
            yield job("samples", shard.of(selected), spec, {**models, "search": f"search/{name}"})
            spec = measuring_spec("batch", "shown")
            sampled = f"samples/{shard.of(selected)}"
            yield job("features", shard.of(selected), spec, {"samples": sampled})
        spec = specs.evaluation(context, "extractor", "layer", "splits", "neighbourhood", "shown")
        sampled = gathered(project, "samples", "samples", selected)
        inputs = {**sampled, **gathered(project, "features", "samples", selected), "reference": reference}
        yield job("metrics", selected, spec, inputs)
