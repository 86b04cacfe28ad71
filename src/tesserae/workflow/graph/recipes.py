"""What the graph asks of recipes alone, always at the scale `paper`: counts of parameters, and the settings."""

from collections.abc import Iterator
from typing import Any

from tesserae.config import spec as specs
from tesserae.config.project import Project, read_project
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
    for recipe in published.tokenizers.values():
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
    for recipe in (*published.saes.values(), *published.tokenizers.values(), *published.generators.values()):
        numbers = {key: leaf for key, leaf in recipe.leaves.items() if isinstance(leaf.value, (int, float, list, bool))}
        spec = {key: leaf.value for key, leaf in numbers.items()}
        origins = {key: leaf.origin for key, leaf in numbers.items()}
        if recipe.name in published.saes:
            known = specs.sae(recipe, published.context)
            spec["width"], origins["width"] = known.values["model"]["width"], known.origins["model.width"]
        yield Job("settings", recipe.name, spec, origins, papers=home(recipe))
