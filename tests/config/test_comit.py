"""COMiT's settings: what its recipes become at the scales, and what is refused before anything is trained."""

from copy import deepcopy
from pathlib import Path

import pytest

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.files import read_yaml
from tesserae.config.project import read_project
from tesserae.config.recipes import read_recipe
from tesserae.config.registry import tokens_of
from tesserae.config.resolve import Tokens
from tests.conftest import ROOT

FILE = Path("config/papers/comit.yaml")
ENTRIES = read_yaml(ROOT / FILE)["tokenizers"]


@pytest.fixture(scope="module")
def projects():
    return {scale: read_project(ROOT, scale) for scale in ("pocket", "paper", "released")}


def resolved(project, base="comit_b", **changes):
    """The spec's values of a recipe that differs from a recipe in dotted keys."""
    entries = deepcopy(ENTRIES) | {"mine": {"base": base}}
    for key, value in changes.items():
        *parents, last = key.split("__")
        at = entries["mine"]
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    context = project.context
    recipe = read_recipe("tokenizers", "mine", entries, FILE, context.scale, context.scale_file)
    return specs.tokenizer(recipe, context).values


def test_the_paper_as_it_is(projects):
    spec = resolved(projects["paper"])
    model, training = spec["model"], spec["training"]
    assert (training["steps"], training["batch"], training["warmup_steps"]) == (500_400, 512, 5000)
    assert (training["lr"], training["decay"], training["ema"]) == (3e-4, "square_root", 0.999)
    assert training["lr"] * training["final"] == pytest.approx(1e-7, rel=1e-4)
    assert (model["image_size"], model["crop"], model["patch_size"]) == (256, 96, 2)
    assert (model["first_stage"], model["mask"], model["teacher"]) == ("sd_vae_mse", "causal", "dinov2_vitb14")
    assert model["transformer"] == {"width": 768, "blocks": 12, "heads": 12}
    assert model["sampling"]["projection"] == {"momentum": -0.5, "norm_limit": 2.5, "parallel": 0.0}
    assert tokens_of(spec["module"], model) == Tokens(256, 6, "sequence", 64000)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("comit_b_nosrepa", {"loss_weights": {"srepa": 0.0, "repa": 0.5, "perceptual": 0.0, "spread": 0.0}}),
        ("comit_b_m", {"message_tokens": 128, "codebook_size": 15360}),
        ("comit_b_s", {"message_tokens": 64, "codebook_size": 1000}),
        ("comit_xl", {"transformer": {"width": 1152, "blocks": 28, "heads": 16}}),
    ],
)
def test_variants_differ_in_what_they_say_alone(projects, recipe, told):
    model, base = (resolved(projects["paper"], name)["model"] for name in (recipe, "comit_b"))
    assert {key: model[key] for key in told} == told
    assert {key for key in model if model[key] != base[key]} <= {*told, "levels"}


def test_without_local_crops_every_look_is_at_the_whole_image(projects):
    for project in projects.values():
        looks, others = (resolved(project, name)["model"]["looks"] for name in ("comit_b_nolocal", "comit_b"))
        assert (looks["most"], looks["whole_probability"]) == (1, 1.0) and others["most"] > 1
        assert looks["unconditional_probability"] == others["unconditional_probability"]


def test_its_released_weights_are_masked_as_the_official_code_does(projects):
    project = projects["released"]
    for size in "blx":
        name = "comit_xl" if size == "x" else f"comit_{size}"
        spec = specs.tokenizer(project.every_tokenizer[name], project.context).values
        assert spec["official"]["importer"] == "tesserae.tokenizers.comit_weights"
        assert spec["model"]["mask"] == "additive_one" and "training" not in spec
    assert project.omitted["comit_b_nosrepa"] == "no released weights"


def test_a_teacher_is_asked_only_where_a_loss_needs_it(projects):
    context = projects["paper"].context
    without = {"loss_weights__srepa": 0.0, "loss_weights__repa": 0.0}
    assert resolved(projects["paper"], **without)["model"]["teacher"] is None
    named = context.scale, context.scale_file
    entries = deepcopy(ENTRIES) | {"mine": {"base": "comit_b", "loss_weights": {"srepa": 0.0, "repa": 0.0}}}
    assert specs.teacher(read_recipe("tokenizers", "mine", entries, FILE, *named), context) is None
    assert specs.teacher(read_recipe("tokenizers", "comit_b", entries, FILE, *named), context).value == "dinov2_vitb14"


def test_a_small_scale(projects):
    model = resolved(projects["pocket"])["model"]
    assert (model["first_stage"], model["teacher"], model["image_size"]) == ("pixels", "lite2", 32)
    assert (model["levels"], model["codebook_size"], model["message_tokens"]) == ([8, 5, 5, 5], 1000, 16)
    assert resolved(projects["pocket"], "comit_b_s")["model"]["levels"] == [5, 5, 5]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"crop": 256}, r"mine: 3 x 3 crops of 256 pixels do not fit into images of 256.*crop|crop.*do not fit"),
        ({"crop": 100}, "a crop's side of 100 is not divisible by the 16 pixels of a patch"),
        ({"patch_size": 3}, "an image side of 256 is not divisible by the 24 pixels"),
        ({"policy__crops": 2}, "a policy of 2 crops in the order global, and there are 1"),
        (
            {"policy__order": "raster", "policy__crops": 11},
            "a policy of 11 crops in the order raster, and there are 10",
        ),
        ({"policy__order": "adaptive", "policy__crops": 3}, "codes alone do not say where the last crop was"),
        ({"policy__whole": False}, "the order global without the whole image"),
        ({"representation_layer": 12}, "block 12 of 12, counted from 0"),
        ({"codebook_size": 4096}, "make 64000 codes: write codebook_size: 64000"),
        ({"levels": [8, 8]}, "make 64 codes"),
        ({"sampling__guidance": 0.5}, "greater than or equal to 1"),
        ({"size": "H"}, "unknown size 'H' at scale paper"),
    ],
)
def test_what_does_not_fit_is_refused_with_key_and_remedy(projects, changes, problem):
    with pytest.raises(ConfigError, match=problem) as error:
        resolved(projects["paper"], **changes)
    assert error.value.key and error.value.remedy
