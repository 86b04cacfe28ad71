"""SFTok's settings: three stages and their proxy, what a recipe becomes at the scales, and what is refused."""

from copy import deepcopy

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.config.registry import tokens_of
from tesserae.workflow.graph.tokenizers import made_after, tokenizer_spec_of
from tesserae.workflow.graph.whole import jobs
from tesserae.workflow.plan import open_plan
from tests.config.test_config import edit
from tests.conftest import ROOT

PAPER = "papers/tatok.yaml"
CHAIN = ("sftok_b57_single", "sftok_b57_guided", "sftok_b57")


@pytest.fixture(scope="module")
def paper():
    return read_project(ROOT, "paper")


def spec_of(project, name):
    return tokenizer_spec_of(project, project.tokenizers[name]).values


def test_the_paper_as_it_is(paper):
    specs = [spec_of(paper, name) for name in CHAIN]
    trainings, models = ([spec[key] for spec in specs] for key in ("training", "model"))
    assert [training["steps"] for training in trainings] == [200_160, 800_640, 1_000_900]
    assert [training["batch"] for training in trainings] == [256, 256, 128]
    assert [training["warmup_steps"] for training in trainings] == [10_008, 10_008, 5004]
    assert [(model["learns"], model["replaced"], model["steps"]) for model in models] == [
        ("codes", None, 1),
        ("codes", 1.0, 8),
        ("pixels", 1.0, 8),
    ]
    assert [model["gan_start_step"] for model in models] == [None, None, 20_018]
    made = tokens_of(specs[2]["module"], models[2])
    assert (made.length, made.width, made.vocabulary, made.layout) == (57, 32, 8192, "sequence")
    published = spec_of(paper, "sftok_b64")
    assert published["official"]["importer"] == "tesserae.tokenizers.sftok_weights" and "training" not in published


@pytest.mark.parametrize("scale", ["smoke", "pocket", "desk"])
def test_small_scales_keep_the_ratios_to_titok(scale):
    project = read_project(ROOT, scale)
    ours, titoks = project.scale.systems.sftok, project.scale.systems.titok
    assert ours.latent_tokens == titoks.latent_tokens and ours.codebook_size == 2 * titoks.codebook_size
    assert project.scale.sizes["sftok"]["B"] == project.scale.sizes["titok"]["B"]


def test_the_first_stage_decodes_in_one_step_at_every_scale():
    project = read_project(ROOT, "desk")
    assert spec_of(project, "sftok_b64_single")["model"]["steps"] == 1
    assert spec_of(project, "sftok_b64")["model"]["steps"] == 8


def test_the_road_through_three_stages(paper):
    found, names = jobs(paper), [f"tokenizer/{name}" for name in CHAIN]
    single, guided, pixels = (found[name].inputs for name in names)
    learning = {"dataset", "proxy", *(f"codes.{n}" for n in range(1, 9))}
    assert single.keys() == learning and guided.keys() == learning | {"start"} and pixels.keys() == {"dataset", "start"}
    assert (guided["start"], pixels["start"]) == (names[0], names[1])
    assert [made_after(paper, paper.tokenizers[name]) for name in CHAIN] == [1, 2, 3]
    order = list(found)
    assert sorted(names, key=order.index) == names


def test_published_weights_need_neither_proxy_nor_stages():
    found = open_plan(ROOT, "released").jobs
    assert found["tokenizer/sftok_b64"].inputs == {"dataset": "dataset/imagenet-256"}
    assert not any(name.startswith(("tokenizer/sftok_b64_", "tokenizer/sftok_b57")) for name in found)


@pytest.mark.parametrize(
    ("recipe", "changes", "key", "words"),
    [
        ("sftok_b64", {"replaced": 0.8}, "sftok_b64", "knows no codes but its own: write replaced: 1.0"),
        ("sftok_b64_single", {"steps": 8}, "sftok_b64_single", "write steps: 1, not 8"),
        ("sftok_b64_guided", {"replaced": 1.5}, "sftok_b64_guided.replaced", "less than or equal to 1"),
        ("sftok_b64_guided", {"gan_start_epoch": 2}, "sftok_b64_guided", "no GAN: write gan_start_epoch: null"),
        ("sftok_b64", {"finetune": "titok_b64_proxy"}, "sftok_b64.finetune", "no sftok that learns codes"),
        ("sftok_b64_guided", {"code_width": 16}, "sftok_b64_guided.finetune", "has another code_width.*one network"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_key(project, recipe, changes, key, words):
    def change(paper):
        paper["tokenizers"][recipe] = deepcopy(paper["tokenizers"][recipe]) | changes

    edit(project, PAPER, change)
    with pytest.raises(ConfigError, match=f"(?s){words}") as error:
        jobs(read_project(project, "desk"))
    problem = error.value.problems[0]
    assert str(problem.file) == f"config/{PAPER}" and problem.key.endswith(key) and problem.remedy


def test_a_stage_that_learns_codes_again_makes_other_tokens(project):
    """So no generator of the first stage's codes can be decoded by the second, whose encoder has moved on."""

    def change(paper):
        paper["generators"]["maskgit_sftok"] = {"base": "maskgit", "tokenizer": "sftok_b64_single"}
        paper["decoded"] = {"again": {"generator": "maskgit_sftok", "decoder": "sftok_b64_guided"}}
        paper["tables"]["own_sftok"] = {
            "source": "Own table S",
            "title": "Decoded",
            "own": True,
            "rows": {"again": "Again"},
            "columns": {"gFID": {"artifact": "metrics/{row}-cfg", "value": "fid", "direction": "lower"}},
        }

    edit(project, PAPER, change)
    with pytest.raises(ConfigError, match="'sftok_b64_guided' is not a tokenizer that was fine-tuned from"):
        jobs(read_project(project, "desk"))
