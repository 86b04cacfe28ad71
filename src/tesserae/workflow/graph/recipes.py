"""What the graph asks of recipes alone, always at the scale `paper`: counts of parameters, and the settings."""

from collections.abc import Iterator
from typing import Any

from tesserae.config import spec as specs
from tesserae.config.project import Project, read_project
from tesserae.config.resolve import Spec
from tesserae.workflow.graph.job import PAPER, Job, home
from tesserae.workflow.graph.tokenizers import tokenizer_spec_of


def size_jobs(project: Project) -> Iterator[Job]:
    """Parameters of every recipe at the paper's sizes, whatever the scale: counting costs nothing."""
    told = project if project.scale.scale == PAPER else read_project(project.root, PAPER)
    for recipe in told.tokenizers.values():
        yield _size_job(recipe.name, tokenizer_spec_of(told, recipe), recipe, specs.frozen(recipe, told.context))
    for recipe in told.generators.values():
        _, data, _ = told.context.dataset(told.tokenizers[recipe.typed.tokenizer])
        tokenizer_spec = specs.tokenizer(told.tokenizer(recipe.typed.tokenizer, recipe), told.context)
        yield _size_job(recipe.name, specs.generator(recipe, tokenizer_spec, data, told.context), recipe)
    for name, entry in told.decoded.items():
        recipe = told.generators[entry.generator]
        _, data, _ = told.context.dataset(told.tokenizers[recipe.typed.tokenizer])
        tokenizer_spec = specs.tokenizer(told.tokenizers[recipe.typed.tokenizer], told.context)
        yield _size_job(name, specs.generator(recipe, tokenizer_spec, data, told.context), recipe)


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


def settings_jobs(project: Project) -> Iterator[Job]:
    """Numbers of every recipe as the paper's scale says them: tables of hyper-parameters are checked against these."""
    told = project if project.scale.scale == PAPER else read_project(project.root, PAPER)
    for recipe in (*told.saes.values(), *told.tokenizers.values(), *told.generators.values()):
        numbers = {key: leaf for key, leaf in recipe.leaves.items() if isinstance(leaf.value, (int, float, list, bool))}
        spec = {key: leaf.value for key, leaf in numbers.items()}
        origins = {key: leaf.origin for key, leaf in numbers.items()}
        if recipe.name in told.saes:
            known = specs.sae(recipe, told.context)
            spec["width"], origins["width"] = known.values["model"]["width"], known.origins["model.width"]
        yield Job("settings", recipe.name, spec, origins, papers=home(recipe))
