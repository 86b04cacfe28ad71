"""Hita's settings: what its recipe becomes at the scales, and what is refused before anything is trained."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.files import read_yaml
from tesserae.config.project import read_project
from tesserae.config.recipes import read_recipe
from tesserae.config.registry import tokens_of
from tesserae.config.resolve import Tokens
from tesserae.generators.maskgit import build
from tests.conftest import ROOT

FILE = Path("config/papers/tatok.yaml")
ENTRIES = read_yaml(ROOT / FILE)


@pytest.fixture(scope="module")
def projects():
    return {scale: read_project(ROOT, scale) for scale in ("pocket", "paper", "released")}


def resolved(context, **changes):
    """The spec's values of a recipe that differs from hita in dotted keys."""
    entries = deepcopy(ENTRIES["tokenizers"]) | {"mine": {"base": "hita"}}
    for key, value in changes.items():
        *parents, last = key.split("__")
        at = entries["mine"]
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    recipe = read_recipe("tokenizers", "mine", entries, FILE, context.scale, context.scale_file)
    return specs.tokenizer(recipe, context).values


def test_the_paper_as_it_is(projects):
    spec = resolved(projects["paper"].context)
    model, training = spec["model"], spec["training"]
    assert (training["steps"], training["batch"], training["warmup_steps"]) == (250_200, 256, 20_016)
    assert (model["image_size"], model["holistic_tokens"], model["shift"]) == (336, 128, 4)
    assert (model["foundation"], model["dropout"], model["gan_start_step"]) == ("dinov2_registers", 0.1, 20_016)
    assert model["network"] == {"channels": 128, "multipliers": [1, 1, 2, 2, 4], "res_blocks": 2}
    assert model["encoder"] == model["decoder"] == {"width": 512, "blocks": 3, "heads": 8}
    assert tokens_of(spec["module"], model) == Tokens(569, 8, "sequence", 16384)


@pytest.mark.parametrize("scale", ["paper", "released"])
def test_its_own_recipe_takes_published_weights(projects, scale):
    project = projects[scale]
    spec = specs.tokenizer(project.every_tokenizer["hita"], project.context).values
    assert spec["official"] == {"file": "hita/hita-tok.pt", "importer": "tesserae.tokenizers.hita_weights"}
    assert "training" not in spec and spec["model"]["gan_start_step"] is None


def test_a_generator_has_a_slot_for_each_code(projects):
    project = projects["paper"]
    tokenizer, generator = project.every_tokenizer["hita"], project.generators["maskgit_hita"]
    learned = specs.tokenizer(tokenizer, project.context)
    model = specs.generator(generator, learned, project.context.dataset(tokenizer)[1], project.context).values["model"]
    assert (model["slots"], model["vocabulary"], model["ragged"], model["places"]) == (569, 16384, False, 0)
    with torch.device("meta"):
        assert sum(p.numel() for p in build(model).parameters()) == 196_501_504  # the paper prints 177 million


def test_a_small_scale(projects):
    model = resolved(projects["pocket"].context)["model"]
    assert (model["image_size"], model["holistic_tokens"], model["codebook_size"]) == (32, 18, 256)
    assert (model["foundation"], model["dropout"], model["perceptual"]) == ("lite2", 0.0, "none")
    assert (model["patch_code_width"], model["holistic_code_width"]) == (4, 4)
    assert model["loss_weights"] == {"reconstruction": 2.0, "perceptual": 1.0, "quantizer": 0.1, "gan": 0.5}
    project = projects["pocket"]
    assert specs.tokenizer(project.every_tokenizer["hita"], project.context).values["model"]["gan_start_step"] is None
    assert tokens_of("tesserae.tokenizers.hita", model).length == 18 + 64


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"image_size": 250}, "network.multipliers", "250 is not divisible by the 16 pixels .*choose fewer levels"),
        ({"shift": 129}, "shift", "129 tokens early behind 128 holistic ones.*choose a smaller shift"),
        ({"holistic_tokens": 3}, "shift", "4 tokens early behind 3 holistic ones.*or more holistic tokens"),
        ({"shift": -1}, "shift", "greater than or equal to 0"),
        ({"holistic_tokens": 0}, "holistic_tokens", "greater than 0"),
        ({"foundation": "dinov2"}, "foundation", "dinov2_registers"),
        ({"dropout": 1.0}, "dropout", "less than 1"),
        ({"decoder": "large"}, "decoder", "unknown size 'large'.*encoder, decoder"),
        ({"source": "official"}, "", "`file` belongs to `source: official`"),
    ],
)
def test_what_cannot_be_is_refused_at_its_key(projects, changes, key, words):
    with pytest.raises(ConfigError, match=f"(?s){words}") as error:
        resolved(projects["paper"].context, **changes)
    (problem,) = error.value.problems
    assert str(problem.file) == str(FILE)
    assert problem.key in {f"tokenizers.{recipe}.{key}".rstrip(".") for recipe in ("mine", "hita")}


@pytest.mark.parametrize(
    ("ours", "key", "words"),
    [
        ({"shift": 19}, "systems.hita.shift", "19 tokens early behind 18 holistic ones"),
        (
            {"network": {"channels": 8, "multipliers": [1] * 7, "res_blocks": 1}},
            "systems.hita.network.multipliers",
            "an image side of 32 is not divisible by the 64 pixels",
        ),
    ],
)
def test_a_scale_that_does_not_fit_is_named(projects, ours, key, words):
    context = projects["pocket"].context
    mine = type(context.scale.systems.hita).model_validate(context.scale.systems.hita.model_dump() | ours)
    systems = context.scale.systems.model_copy(update={"hita": mine})
    with pytest.raises(ConfigError, match=f"mine: .*{words}") as error:
        resolved(replace(context, scale=context.scale.model_copy(update={"systems": systems})))
    assert error.value.file == str(context.scale_file) and error.value.key == key


@pytest.mark.parametrize(
    ("part", "size", "words"),
    [
        ("decoder", {"width": 32, "blocks": 1, "heads": 2}, "of different width"),
        ("encoder", {"width": 64, "blocks": 1, "heads": 5}, "a width of 64 is not divisible by 5 heads"),
    ],
)
def test_sizes_that_do_not_fit_are_named(projects, part, size, words):
    context = projects["pocket"].context
    named = context.scale.sizes["hita"]
    changed = named | {part: type(named[part]).model_validate(size)}
    scale = context.scale.model_copy(update={"sizes": context.scale.sizes | {"hita": changed}})
    with pytest.raises(ConfigError, match=words) as error:
        resolved(replace(context, scale=scale))
    assert error.value.key.endswith(part)
