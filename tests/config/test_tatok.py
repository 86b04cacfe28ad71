"""TaTok's settings: what a recipe becomes at the scales, and what is refused before anything is trained."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.files import read_yaml
from tesserae.config.project import read_project
from tesserae.config.recipes import concrete, read_recipe
from tesserae.config.registry import tokens_of
from tests.conftest import ROOT

FILE = Path("tests/recipes/tatok.yaml")
RECIPES = read_yaml(ROOT / FILE)["tokenizers"]


@pytest.fixture(scope="module")
def contexts():
    return {scale: read_project(ROOT, scale).context for scale in ("smoke", "pocket", "paper")}


def resolved(context, name="mine", **changes):
    """The spec's values of a recipe, or of one that differs from tatok_b56 in dotted keys."""
    entries = deepcopy(RECIPES)
    if changes:
        entries["mine"] = {"base": "tatok_b56"}
    for key, value in changes.items():
        *parents, last = key.split("__")
        at = entries["mine"]
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    recipe = read_recipe("tokenizers", name, entries, FILE, context.scale, context.scale_file)
    return specs.tokenizer(recipe, context).values


def test_the_paper_as_it_is(contexts):
    spec = resolved(contexts["paper"], "tatok_b56")
    model, training = spec["model"], spec["training"]
    assert (training["steps"], training["batch"], training["warmup_steps"]) == (250_200, 256, 20_016)
    assert (model["image_size"], model["patch_size"], model["gan_start_step"]) == (336, 16, 20_016)
    assert model["encoder"] == {"width": 512, "blocks": 6, "heads": 8} and model["network"] is None
    assert model["filtering"]["budget"] == 56.4 and model["filtering"]["epsilon"] is None
    assert resolved(contexts["paper"], "tatok_eps005")["model"]["filtering"]["epsilon"] == 0.05
    assert resolved(contexts["paper"], "tatok_hita_cnn")["model"]["network"]["multipliers"] == [1, 1, 2, 2, 4]


def test_what_a_length_does_not_use_makes_no_other_tokenizer(contexts):
    used = {
        name: {
            key
            for key in ("epsilon", "budget", "settling_images")
            if resolved(contexts["paper"], name)["model"]["filtering"][key] is not None
        }
        for name in ("tatok_b56", "tatok_eps005", "tatok_patch", "tatok_s2_16")
    }
    budget = {"budget", "settling_images"}
    assert used == {"tatok_b56": budget, "tatok_eps005": {"epsilon"}, "tatok_patch": set(), "tatok_s2_16": set()}


def test_ratios_at_a_small_scale(contexts):
    model = resolved(contexts["pocket"], "tatok_b56")["model"]
    assert (model["image_size"], model["patch_size"], model["global_tokens"]) == (32, 4, 4)
    assert (model["filtering"]["budget"], model["codebook_size"], model["thumbnail"]) == (16.0, 256, 4)
    losses = {scale: resolved(contexts[scale], "tatok_b56")["model"]["losses"] for scale in contexts}
    assert losses == {scale: "literal" if scale == "smoke" else "hita_gan" for scale in contexts}


def test_rows_of_codes(contexts):
    made = {}
    for name in concrete(RECIPES):
        spec = resolved(contexts["paper"], name)
        found = tokens_of(spec["module"], spec["model"])
        assert found.vocabulary == 4096 and found.layout == "sequence"
        made[name] = found.length, found.ragged
    assert made["tatok_b56"] == made["tatok_random"] == made["tatok_s2_16"] == (457, True)
    assert made["tatok_patch"] == made["tatok_patch_drop"] == (441, False) and made["tatok_s1_200"] == (641, False)
    assert made["tatok_literal"] == (441, True)


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"image_size": 250}, "patch_size", "250 is not divisible by patches of 16.*choose a divisor"),
        (
            {"filtering__budget": 500.0},
            "filtering.budget",
            r"500.0 tokens, .* from 17 \(16 global ones and a patch\) to 457",
        ),
        ({"filtering__budget": 16.5}, "filtering.budget", "from 17 .*choose one between them"),
        ({"filtering__epsilon": 1.0}, "filtering.epsilon", "less than 1"),
        ({"filtering__epsilon": -0.1}, "filtering.epsilon", "greater than or equal to 0"),
        ({"filtering__budget": None}, "filtering", "needs a number: give filtering.budget"),
        (
            {"filtering__epsilon": 1.0},
            "filtering.epsilon",
            r"found 1.0.*at least 0 and below 1 \(information loss rate",
        ),
        ({"filtering__epsilon": -0.1}, "filtering.epsilon", "found -0.1.*at least 0 and below 1"),
        ({"filtering__epsilon": "5%"}, "filtering.epsilon", "valid number.*see the JSON schema"),
        ({"filtering__threshold": 2.0}, "filtering", "threshold belongs to the length epsilon"),
        (
            {"layout": "literal", "filtering__length": "all"},
            "layout",
            "16 global tokens .*441 slots.*use the layout grid",
        ),
        ({"layout": "literal", "filtering__budget": 450.0}, "layout", "a smaller budget or fewer global tokens"),
        ({"layout": "literal", "filtering__length": "epsilon", "filtering__epsilon": 0.03}, "layout", "larger epsilon"),
        ({"filtering__length": "rest", "global_tokens": 441}, "global_tokens", "441 leave none of 441 patches"),
        ({"substrate": "hita_cnn", "network__multipliers": [1, 2]}, "network.multipliers", "2 levels .* of 16 pixels"),
    ],
)
def test_what_cannot_be_is_refused_at_its_key(contexts, changes, key, words):
    with pytest.raises(ConfigError, match=f"(?s){words}") as error:
        resolved(contexts["paper"], **changes)
    (problem,) = error.value.problems
    assert str(problem.file) == str(FILE)
    assert problem.key in {f"tokenizers.{recipe}.{key}" for recipe in ("mine", "tatok_b56", "tatok")}


def test_a_scale_that_does_not_fit_is_named(contexts):
    context = contexts["pocket"]
    systems = context.scale.systems.model_copy(
        update={"tatok": context.scale.systems.tatok.model_copy(update={"patch_size": 5})}
    )
    with pytest.raises(ConfigError, match="tatok_b56: an image side of 32 is not divisible by patches of 5") as error:
        resolved(replace(context, scale=context.scale.model_copy(update={"systems": systems})), "tatok_b56")
    assert error.value.file == str(context.scale_file) and error.value.key == "systems.tatok.patch_size"


def test_a_generator_of_one_length_is_refused(contexts):
    """Before it is trained on rows with gaps."""
    project = read_project(ROOT, "smoke")
    recipe = project.generators["llamagen_b_bb64"]
    tokenizer = read_recipe("tokenizers", "tatok_b56", RECIPES, FILE, project.scale, project.context.scale_file)
    spec, data = specs.tokenizer(tokenizer, project.context), project.context.dataset(tokenizer)[1]
    with pytest.raises(ConfigError, match=r"(?s)llamagen learns as many codes of every image.*vary in length") as error:
        specs.generator(recipe, spec, data, project.context)
    assert error.value.key == "generators.llamagen_b_bb64.tokenizer"
