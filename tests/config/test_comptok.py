"""CompTok's settings: what recipes become at the scales, what depends on a training's steps, what is refused."""

from dataclasses import replace
from functools import cache

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.files import read_yaml
from tesserae.config.project import read_project
from tesserae.config.recipes import read_recipe
from tesserae.config.registry import tokens_of
from tesserae.workflow.graph.tokenizers import dataset_job, made_after, tokenizer_job, tokenizer_spec_of
from tests.conftest import ROOT

RECIPES = ROOT / "config/papers/comptok.yaml"


@cache
def project(scale):
    found = read_project(ROOT, scale)
    return replace(found, tokenizers=found.every_tokenizer | found.tokenizers)


def recipe(name, scale="paper", **changes):
    here, entries = project(scale), read_yaml(RECIPES)["tokenizers"]
    return read_recipe(
        "tokenizers", name, entries | {name: entries[name] | changes}, RECIPES, here.scale, here.context.scale_file
    )


def spec_of(name, scale="paper", **changes):
    return tokenizer_spec_of(project(scale), recipe(name, scale, **changes)).values


def test_the_paper_as_it_is():
    spec = spec_of("comptok")
    model, training = spec["model"], spec["training"]
    assert (training["steps"], training["warmup_steps"], training["lr"]) == (250_000, 62_500, 2e-4)
    assert training["decay"] == "late_cosine" and training["clip"] == 3.0
    assert training["groups"] == {
        "critic": {
            "lr": 1e-4,
            "betas": [0.0, 0.9],
            "weight_decay": 0.01,
            "clip": 5.0,
            "decay": "constant",
            "warmup_steps": 0,
            "muon": None,
        }
    }
    assert (model["auxiliary_start_step"], model["transport_steps"]) == (62_500, 250_000)
    assert (model["teacher"], model["teacher_side"], model["latent_scale"]) == ("dinov2_vitb14", 16, 0.2325)
    assert model["nested_start_step"] is None and model["first_stage"]["latent_channels"] == 16
    made = tokens_of(spec["module"], model)
    assert (made.length, made.width, made.layout, made.vocabulary) == (256, 16, "sequence", None)


def test_ablations_and_semanticist():
    full, fewer = spec_of("comptok")["model"], spec_of("comptok_no_afm")["model"]
    changed = {key for key in full if full[key] != fewer[key]}
    assert changed == {"critic", "loss_weights"} and "groups" not in spec_of("comptok_no_afm")["training"]
    for name in ("comptok_no_mi", "comptok_no_swap"):
        other = spec_of(name)["model"]
        assert {key for key in full if full[key] != other[key]} == {"loss_weights"}
    model = spec_of("semanticist")["model"]
    assert (model["nested_start_step"], model["auxiliary_start_step"], model["critic"]) == (31_250, None, None)


def test_published_weights_need_no_steps():
    official = {"source": "official", "file": "semanticist_tok_L.pkl"}
    spec = spec_of("semanticist", "released", **official)
    assert "training" not in spec and spec["official"]["importer"] == "tesserae.tokenizers.comptok_weights"
    assert spec["model"]["nested_start_step"] is None


@pytest.mark.parametrize("scale", ["smoke", "pocket", "desk"])
def test_small_scales_predict_clean_latents_and_compute_how_large_latents_are(scale):
    model = spec_of("comptok", scale)["model"]
    assert (model["prediction"], model["latent_scale"], model["teacher"]) == ("clean", None, "lite2")
    assert model["auxiliary_start_step"] < model["transport_steps"]


def test_the_first_stage_is_made_before_and_read():
    here, wanted = project("smoke"), recipe("comptok", "smoke")
    job = tokenizer_job(here, wanted, dataset_job(here, wanted))
    assert job.inputs["first_stage"] == "tokenizer/mar_vae"
    assert [role for role in job.inputs if role.startswith("teacher_features")] and made_after(here, wanted) == 2


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({"latents_of": "detok_sb_baseline"}, "latents_of", "draws in the latents of a kl_vae"),
        ({"latents_of": "nothing"}, "latents_of", "unknown tokenizer recipe"),
        ({"critic": None}, "comptok", "give both, or null and 0"),
        ({"aligned_block": 25}, "aligned_block", "the decoder has 24"),
        ({"patch_size": 24}, "patch_size", "not divisible"),
    ],
)
def test_what_does_not_fit_is_refused(changes, key, says):
    with pytest.raises(ConfigError, match=says) as caught:
        spec_of("comptok", **changes)
    assert caught.value.key.endswith(key)
