"""What the graph asks of recipes alone, always at the scale `paper`: counts of parameters, and the settings.

Of tokenizers also those that the scale `paper` does without; settings also of probes and of policies, `probe-<probe>`
and `policy-<policy>`, and of how AvgIG and MC are measured, `learnability`.
"""

from collections.abc import Iterator
from typing import Any

from tesserae.config import spec as specs
from tesserae.config.project import PROBES, Project, read_project
from tesserae.config.resolve import Spec
from tesserae.workflow.graph.job import PAPER, Job, home
from tesserae.workflow.graph.tokenizers import tokenizer_spec_of


def recipe_jobs(project: Project) -> Iterator[Job]:
    """What is asked of every recipe as the scale `paper` says it, whatever the scale."""
    published = project if project.scale.scale == PAPER else read_project(project.root, PAPER)
    yield from _size_jobs(published)
    yield from settings_jobs(published)


def _size_jobs(published: Project) -> Iterator[Job]:
    """Parameters of every recipe at the paper's sizes: counting costs nothing."""
    for recipe in published.every_tokenizer.values():
        yield _size_job(
            recipe.name, tokenizer_spec_of(published, recipe), recipe, specs.frozen(recipe, published.context)
        )
    for recipe in published.generators.values():
        _, data, _ = published.context.dataset(published.tokenizers[recipe.typed.tokenizer])
        tokenizer_spec = specs.tokenizer(published.tokenizer(recipe.typed.tokenizer, recipe), published.context)
        yield _size_job(recipe.name, specs.generator(recipe, tokenizer_spec, data, published.context), recipe)
    for name, entry in published.decoded.items():
        recipe = published.generators[entry.generator]
        _, data, _ = published.context.dataset(published.tokenizers[recipe.typed.tokenizer])
        tokenizer_spec = specs.tokenizer(published.tokenizers[recipe.typed.tokenizer], published.context)
        yield _size_job(name, specs.generator(recipe, tokenizer_spec, data, published.context), recipe)


def _size_job(name: str, described: Spec, recipe: Any, frozen: int = 0) -> Job:
    """`frozen`: parameters that are used and not trained."""
    spec = Spec()
    spec.set("frozen", frozen, "networks that the recipe's reads from")
    for key in ("module", "model"):
        spec.values[key] = described.values[key]
    spec.origins |= {
        key: origin for key, origin in described.origins.items() if key.split(".")[0] in ("module", "model")
    }
    return Job("sizes", name, spec.values, spec.origins, papers=home(recipe))


def settings_jobs(published: Project) -> Iterator[Job]:
    """Numbers of every recipe as the paper's scale says them: tables of hyper-parameters are checked against these."""
    tokenizers = published.every_tokenizer.values()
    for recipe in (*published.saes.values(), *tokenizers, *published.generators.values()):
        numbers = {key: leaf for key, leaf in recipe.leaves.items() if isinstance(leaf.value, (int, float, list, bool))}
        spec = {key: leaf.value for key, leaf in numbers.items()}
        origins = {key: leaf.origin for key, leaf in numbers.items()}
        if recipe.name in published.saes:
            known = specs.sae(recipe, published.context)
            spec["width"], origins["width"] = known.values["model"]["width"], known.origins["model.width"]
        yield Job("settings", recipe.name, spec, origins, papers=home(recipe))
    for name, probe in published.probes.probes.items():
        spec = {key: value for key, value in probe.model_dump().items() if isinstance(value, (int, float))}
        yield Job("settings", f"probe-{name}", spec, {key: f"{PROBES}: probes.{name}.{key}" for key in spec})
    for paper, entry in published.papers.items():
        for name, policy in entry.measures.policies.items():
            where = f"config/papers/{paper}.yaml: measures.policies.{name}"
            spec = {"crops": policy.crops, "whole": int(policy.whole)}
            yield Job("settings", f"policy-{name}", spec, dict.fromkeys(spec, where), papers=(paper,))
        if (learnability := entry.measures.learnability) is not None:
            spec = {key: value for key, value in learnability.model_dump().items() if isinstance(value, (int, float))}
            where = f"config/papers/{paper}.yaml: measures.learnability"
            yield Job("settings", "learnability", spec, {key: f"{where}.{key}" for key in spec}, papers=(paper,))
