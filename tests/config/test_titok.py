"""TiTok's settings: two stages and their proxy, what a recipe becomes at the scales, and what is refused and where."""

from copy import deepcopy
from pathlib import Path

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


@pytest.fixture(scope="module")
def paper():
    return read_project(ROOT, "paper")


def spec_of(project, name):
    return tokenizer_spec_of(project, project.tokenizers[name]).values


def test_the_paper_as_it_is(paper):
    first, second = spec_of(paper, "titok_b57_proxy"), spec_of(paper, "titok_b57")
    assert (first["training"]["steps"], first["training"]["warmup_steps"]) == (1_000_800, 10_008)
    assert (second["training"]["steps"], second["training"]["warmup_steps"]) == (500_400, 5004)
    assert first["training"]["betas"] == [0.9, 0.99] and second["training"]["betas"] == [0.9, 0.999]
    assert (first["model"]["learns"], first["model"]["gan_start_step"]) == ("codes", None)
    assert (second["model"]["learns"], second["model"]["gan_start_step"]) == ("pixels", 20_016)
    assert second["training"]["starts"] == {"discriminator": 20_016} and "starts" not in first["training"]
    made = tokens_of(second["module"], second["model"])
    assert (made.length, made.vocabulary, made.layout, made.ragged) == (57, 4096, "sequence", False)
    proxy = paper.tokenizers["maskgit_vqgan"]
    assert second["model"]["proxy"] == {
        key: tokenizer_spec_of(paper, proxy).values["model"][key]
        for key in ("channels", "multipliers", "res_blocks", "codebook_size", "code_width")
    }
    published = spec_of(paper, "titok_b64")
    assert published["official"]["importer"] == "tesserae.tokenizers.titok_weights" and "training" not in published
    assert published["model"]["proxy"] == second["model"]["proxy"]


@pytest.mark.parametrize("scale", ["smoke", "pocket", "desk"])
def test_small_scales_keep_the_ratios_to_the_budget(scale):
    project = read_project(ROOT, scale)
    budget = project.scale.systems.tatok.filtering.budget
    ours = project.scale.systems.titok.latent_tokens
    assert {paper: round(paper / 56.4 * budget) for paper in ours} == ours == {64: 18, 57: 16}


def test_the_road_from_the_proxy_to_pixels():
    found = open_plan(ROOT, "desk").jobs
    for seed in ("", ".seed3"):
        first, second = f"tokenizer/titok_b64_proxy{seed}", f"tokenizer/titok_b64{seed}"
        proxy = f"maskgit_vqgan{seed}"
        assert found[first].inputs == {
            "dataset": "dataset/emoji-32",
            "proxy": f"tokenizer/{proxy}",
            "codes": f"codes/{proxy}",
        }
        assert found[first].reads == {f"tokenizer/{proxy}": ("weights.safetensors",)}
        assert found[second].inputs == {"dataset": "dataset/emoji-32", "start": first}
        order = list(found)
        assert order.index(f"codes/{proxy}") < order.index(first) < order.index(second)


def test_codes_of_a_proxy_come_in_parts(paper):
    inputs = jobs(paper)["tokenizer/titok_b57_proxy"].inputs
    assert [inputs[f"codes.{n}"] for n in range(1, 9)] == [f"codes/maskgit_vqgan-{n}of8" for n in range(1, 9)]


def test_published_weights_need_no_proxy():
    """Neither its training nor its codes; its settings alone say what the decoder is."""
    found = open_plan(ROOT, "released").jobs
    assert found["tokenizer/titok_b64"].inputs == {"dataset": "dataset/imagenet-256"}
    assert found["generator/maskgit_titok_b64"].inputs == {}
    assert "tokenizer/titok_b64_proxy" not in found and "tokenizer/titok_b57" not in found


def test_a_proxy_that_the_scale_omits_will_do_for_published_weights(project):
    def without(scale):
        scale["omit"][0]["recipes"] += ["maskgit_vqgan"]

    edit(project, "scales/released.yaml", without)
    read = read_project(project, "released")
    assert read.omitted["maskgit_vqgan"] and "maskgit_vqgan" not in read.tokenizers
    assert spec_of(read, "titok_b64")["model"]["proxy"]["codebook_size"] == 1024


def test_a_proxy_cannot_be_omitted_where_its_codes_are_learned(project):
    edit(project, "scales/desk.yaml", lambda c: c["omit"][0]["recipes"].append("maskgit_vqgan*"))
    with pytest.raises(ConfigError, match=r"maskgit_vqgan is omitted, and titok_b64_proxy.*are made from it"):
        read_project(project, "desk")


@pytest.mark.parametrize(
    ("recipe", "changes", "key", "words"),
    [
        ("titok_b64_proxy", {"proxy": "nothing"}, "titok_b64_proxy.proxy", "unknown tokenizer recipe 'nothing'"),
        (
            "titok_b64_proxy",
            {"proxy": "tatok_patch_drop"},
            "titok_b64_proxy.proxy",
            "ends in the decoder of a maskgit_vqgan, and tatok_patch_drop is a tatok.*of system maskgit_vqgan",
        ),
        (
            "titok",
            {"image_size": 512},
            ".proxy",
            "reads images of 512 pixels, maskgit_vqgan of 32.*the same image_size",
        ),
        ("titok", {"patch_size": 8}, ".proxy", "has 8 pixels a side, a code of maskgit_vqgan 4.*patch_size"),
        (
            "titok_b64",
            {"finetune": None},
            "titok_b64",
            "goes on from a recipe that learns codes: name it as `finetune`",
        ),
        (
            "titok_b64",
            {"finetune": "maskgit_vqgan"},
            "titok_b64.finetune",
            "goes on from maskgit_vqgan, which is no titok that learns codes.*with `learns: codes`",
        ),
        (
            "titok_b64",
            {"latent_tokens": 57},
            "titok_b64.finetune",
            "goes on from titok_b64_proxy, which has another latent_tokens.*one network",
        ),
        ("titok_b64", {"proxy": "other"}, "titok_b64.proxy", "has the proxy other, .*another.*write maskgit_vqgan"),
        ("titok_b64_proxy", {"gan_start_epoch": 4}, "titok_b64_proxy", "no GAN: write gan_start_epoch: null"),
        (
            "titok_b64_proxy",
            {"source": "official", "file": "a.bin"},
            "titok_b64_proxy",
            "published weights are those of `learns: pixels`",
        ),
    ],
)
def test_what_does_not_fit_is_refused_at_its_key(project, recipe, changes, key, words):
    def change(paper):
        paper["tokenizers"]["other"] = {"base": "maskgit_vqgan"}
        paper["tokenizers"][recipe] = deepcopy(paper["tokenizers"][recipe]) | changes

    edit(project, PAPER, change)
    with pytest.raises(ConfigError, match=f"(?s){words}") as error:
        jobs(read_project(project, "smoke"))
    problem = error.value.problems[0]
    assert str(problem.file) == f"config/{PAPER}" and problem.key.endswith(key) and problem.remedy


def test_a_recipe_without_a_proxy_is_told_so(project):
    edit(project, PAPER, lambda c: c["tokenizers"]["titok"].pop("proxy"))
    with pytest.raises(ConfigError, match="Field required") as error:
        read_project(project, "smoke")
    assert {problem.key for problem in error.value.problems} == {"tokenizers.titok.proxy"}


def test_a_recipe_that_is_made_from_itself_is_refused(project):
    edit(project, PAPER, lambda c: c["tokenizers"]["maskgit_vqgan"].update(finetune="titok_b64"))
    read = read_project(project, "smoke")
    chain = "titok_b64 from titok_b64_proxy from maskgit_vqgan from titok_b64"
    with pytest.raises(ConfigError, match=chain) as error:
        made_after(read, read.tokenizers["titok_b64"])
    assert error.value.file == str(Path("config") / PAPER) and error.value.remedy
