"""Recipes that continue another one: what they are made from, at which rate, and what is refused and where."""

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.workflow.graph.tokenizers import tokenizer_spec_of
from tesserae.workflow.graph.whole import jobs
from tesserae.workflow.plan import open_plan
from tests.config.test_config import edit
from tests.conftest import ROOT

PAPER, SCALE = "papers/comptok.yaml", "scales/pocket.yaml"
ROWS = ("comptok", "comptok_no_mi", "comptok_no_swap", "comptok_no_afm", "comptok_plain")


def spec_of(project, name):
    return tokenizer_spec_of(project, project.tokenizers[name]).values


def test_small_scales_go_on_from_one_base_and_paper_from_none():
    found = open_plan(ROOT, "desk").jobs
    for seed in ("", ".seed2"):
        base = f"tokenizer/comptok_start{seed}"
        for row in ROWS:
            job = found[f"tokenizer/{row}{seed}"]
            assert job.inputs["continued"] == base and job.reads[base] == ("weights.safetensors",)
            assert list(found).index(base) < list(found).index(job.id)
            assert job.spec["training"]["steps"] < found[base].spec["training"]["steps"]
    assert len({found[f"tokenizer/{row}"].spec["training"]["steps"] for row in ROWS}) == 1
    whole = open_plan(ROOT, "paper").jobs
    assert "tokenizer/comptok_start" not in whole
    assert not any("continued" in whole[f"tokenizer/{row}"].inputs for row in ROWS)


def test_losses_are_on_from_the_first_continued_step():
    project = read_project(ROOT, "desk")
    base, full = spec_of(project, "comptok_start"), spec_of(project, "comptok")
    assert base["model"]["auxiliary_start_step"] is None and base["model"]["critic"] is None
    assert full["model"]["auxiliary_start_step"] == 0
    assert full["model"]["transport_steps"] == full["training"]["steps"]


def test_a_scale_says_at_which_rate_others_go_on(project):
    before = spec_of(read_project(project, "pocket"), "comptok_start")["training"]
    edit(project, SCALE, lambda c: c["tokenizer_training"].update(continued_rate=0.25))
    read = read_project(project, "pocket")
    base, full = (spec_of(read, name)["training"] for name in ("comptok_start", "comptok"))
    assert base == before and full["lr"] == 0.25 * base["lr"] and full["muon"]["lr"] == 0.25 * base["muon"]["lr"]


def test_a_base_cannot_be_omitted(project):
    edit(project, SCALE, lambda c: c["omit"][1]["recipes"].append("comptok_start"))
    with pytest.raises(ConfigError, match=r"comptok_start is omitted, and comptok,.* are made from it"):
        read_project(project, "pocket")


def of(**changes):
    return lambda scale: scale["exceptions"]["comptok"]["set"].update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (of(continues="nothing"), "unknown tokenizer recipe 'nothing'"),
        (of(continues="detok_sb_joint"), "comptok is a comptok, and detok_sb_joint, which it continues, a detok"),
        (of(token_width=4), None),  # the scale says how wide tokens are
        (of(image_size=512), "continues comptok_start, which has another image_size"),
        (of(null_probability=0.2), None),  # no part of the network
        (of(diffusion_steps=500), "continues comptok_start, which has another diffusion_steps.*one network"),
        (of(continues="comptok"), "it is made from itself: comptok from comptok"),
        (of(finetune="comptok_start"), "continues and finetune: a training starts from one tokenizer"),
        (of(source="official", file="a.pkl"), "published weights continue nothing"),
    ],
)
def test_what_does_not_fit_is_refused(project, change, words):
    edit(project, SCALE, change)
    if words is None:
        assert spec_of(read_project(project, "pocket"), "comptok")
        return
    with pytest.raises(ConfigError, match=f"(?s){words}") as error:
        jobs(read_project(project, "pocket"))
    problem = error.value.problems[0]
    assert "comptok" in problem.key and problem.remedy


def test_a_system_that_does_not_say_what_its_network_is_continues_none(project):
    edit(project, "papers/tatok.yaml", lambda c: c["tokenizers"]["tatok_last"].update(continues="tatok_b56"))
    with pytest.raises(ConfigError, match=r"(?s)does not say what its network is.*as .*comptok do"):
        jobs(read_project(project, "pocket"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch": 5, "components": 4}, "no multiple of the 10 of a patch of latents"),
        ({"patch": 4, "components": 49}, "49 components of patches of 48 values"),
    ],
)
def test_components_that_there_are_not(project, change, words):
    edit(project, SCALE, lambda c: c["systems"]["comptok"].update(first_stage=change))
    with pytest.raises(ConfigError, match=words) as error:
        jobs(read_project(project, "pocket"))
    assert str(error.value.file) == f"config/{SCALE}" and "systems.comptok.first_stage" in error.value.key
