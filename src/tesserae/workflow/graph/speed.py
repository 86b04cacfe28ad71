"""The graph's jobs that time generators, each in turn with the one that the paper compares it with."""

from collections.abc import Iterator
from typing import Any

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.project import Project
from tesserae.config.resolve import Spec
from tesserae.config.seeds import seed_of
from tesserae.workflow.graph.job import Job, gathered, home, reads_of
from tesserae.workflow.graph.tokenizers import module_of, tokens_stage

OWN, AGAINST = "own", "against"


def throughput_jobs(project: Project) -> Iterator[Job]:
    """A job for each generator of the papers that say how they are timed, of the first seed alone.

    ConfigError if there is no such generator as `against`.
    """
    for recipe in project.generators.values():
        wanted = project.papers[recipe.file.stem].measures.throughput
        if wanted is None or seed_of(recipe.name)[1] != 1:
            continue
        where = "measures.throughput"
        other, left_out = project.generators.get(wanted.against), project.omitted.get(wanted.against)
        if other is None and left_out is None:
            problem = f"there is no generator recipe {wanted.against!r}"
            raise ConfigError(recipe.file, f"{where}.against", problem, f"one of {', '.join(project.generators)}")
        spec, inputs = specs.evaluation(project.context, "seed"), {}
        most = specs.evaluation(project.context, "search_samples")
        if most.values["search_samples"] < wanted.samples:
            spec.set("samples", most.values["search_samples"], most.origins["search_samples"])
        else:
            spec.set("samples", wanted.samples, f"{recipe.file}: {where}.samples")
        for key in ("batch", "loops", "against"):
            spec.set(key, getattr(wanted, key), f"{recipe.file}: {where}.{key}")
        _add_system(spec, inputs, project, OWN, recipe)
        if other not in (None, recipe):
            _add_system(spec, inputs, project, AGAINST, other)
        _, data, _ = project.context.dataset(project.tokenizers[recipe.typed.tokenizer])
        spec.set("classes", data.classes, f"config/datasets.yaml: {data.provider}")
        reads = reads_of("throughput", inputs)
        alone = AGAINST not in spec.values["systems"]
        without = {"factor": left_out or "it is the one that others are compared with"} if alone else {}
        yield Job(
            "throughput", recipe.name, spec.values, spec.origins, inputs, reads, papers=home(recipe), without=without
        )


def _add_system(spec: Spec, inputs: dict[str, str], project: Project, role: str, recipe: Any) -> None:
    """What a generator's images are made from, and how it is sampled: at the first scale of guidance but 1, if any."""
    sampler, origin = specs.sampling(recipe, project.context), f"{recipe.file}: generators.{recipe.name}.sampling"
    guidance = next((scale for scale in sampler.values["search"]["guidance"] if scale != 1), 1.0)
    tokenizer = recipe.typed.tokenizer
    models = {"generator": f"generator/{recipe.name}", "tokenizer": f"tokenizer/{tokenizer}"}
    settings = {"module": sampler.values["module"], **sampler.values["settings"], "guidance": guidance}
    if "temperature" in sampler.values["search"]:
        settings["temperature"] = sampler.values["search"].get("guided_temperature", 1.0)
    modules = {"generator": f"tesserae.generators.{recipe.typed.system}", "tokenizer": module_of(project, tokenizer)}
    spec.set(f"systems.{role}", {**models, "modules": modules, "sampler": settings}, origin)
    shards = gathered(project, "tokens", "tokens", tokenizer) if tokens_stage(project, tokenizer) == "tokens" else {}
    inputs |= {f"{role}_{name}": artifact for name, artifact in (models | shards).items()}
