"""AvgIG and MC in the graph: of tokenizers of all papers, on one set of images, by one critic; who has none and why."""

from functools import cache

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.workflow.graph.learnability import learnability_jobs, why_unmeasured
from tesserae.workflow.graph.shown import why_missing
from tesserae.workflow.graph.tokenizers import dataset_job, tokenizer_job
from tests.config.test_config import edit
from tests.conftest import ROOT


@cache
def project(scale):
    return read_project(ROOT, scale)


def jobs_of(here, *names):
    tokenizers = {
        name: tokenizer_job(here, recipe, dataset_job(here, recipe)) for name, recipe in here.tokenizers.items()
    }
    stages = ("information_gain", "mode_connectivity")
    made = learnability_jobs(here, tokenizers, {f"{stage}/{name}" for stage in stages for name in names})
    return {job.id: job for job in made}


def test_tokenizers_of_all_papers_are_measured_alike():
    names = ["comptok", "detok_sb_joint", "concepttok_bb64", "tatok_b56", "comit_b"]
    found = jobs_of(project("smoke"), *names)
    for stage in ("information_gain", "mode_connectivity"):
        jobs = [found[f"{stage}/{name}"] for name in names]
        assert {job.inputs["dataset"] for job in jobs} == {"dataset/emoji_few-32"}
        assert all(job.inputs["tokenizer"] == f"tokenizer/{name}" for job, name in zip(jobs, names, strict=True))
        own = ("tokenizer", "space", "roles")
        told = [{key: value for key, value in job.spec.items() if key not in own} for job in jobs]
        assert all(one == told[0] for one in told)
    walked = found["mode_connectivity/detok_sb_joint"]
    assert walked.inputs["judge"] == "tokenizer/comptok" and walked.inputs["pairs"] == "pairs/emoji_few-32"
    assert walked.spec["roles"] == {"": "judge", "_other": "other_judge"}
    own = found["mode_connectivity/comptok"]
    assert own.spec["roles"][""] == "tokenizer" and "judge" not in own.inputs
    assert found["calibration/concepttok_bb64"].inputs["dataset"] == "dataset/emoji_few_subgroups-32"


def test_a_seed_is_judged_by_the_critic_of_its_seed():
    found = jobs_of(project("desk"), "detok_sb_joint.seed2", "comptok_no_mi.seed2")
    assert found["mode_connectivity/detok_sb_joint.seed2"].inputs["judge"] == "tokenizer/comptok.seed2"
    assert found["mode_connectivity/comptok_no_mi.seed2"].spec["roles"]["_other"] == "tokenizer"


@pytest.mark.parametrize(
    ("scale", "stage", "name", "says"),
    [
        ("desk", "information_gain", "sftok_b64", "a choice has no gradient"),
        ("paper", "information_gain", "tatitok_bl64", "reads a prompt"),
        ("paper", "mode_connectivity", "tatok_b56", "its images have 336 pixels, those of the others 256"),
        ("released", "mode_connectivity", "mar_vae", "no critic: no released weights"),
        ("released", "information_gain", "mar_vae", None),
        ("desk", "mode_connectivity", "tatok_b56", None),
    ],
)
def test_who_is_not_measured_says_why_in_the_cell(scale, stage, name, says):
    found = why_missing(project(scale), f"{stage}/{name}", {}, "")
    assert found == why_unmeasured(project(scale), stage, name)
    assert (says is None) == (found is None) and (says is None or says in found)


@pytest.mark.parametrize(
    ("papers", "changes", "says"),
    [
        (["comptok", "detok"], {}, "let one paper's file say it"),
        (["comptok"], {"critic": "nobody"}, "unknown tokenizer recipe 'nobody'"),
        (["comptok"], {"critic": "comptok_no_afm"}, "comptok_no_afm is trained without a critic"),
        (["comptok"], {"data": "nothing"}, "no data set plays the role 'nothing'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(project, papers, changes, says):
    told = {}
    edit(project, "papers/comptok.yaml", lambda c: told.update(c["measures"]["learnability"] | changes))
    for paper in papers:
        edit(project, f"papers/{paper}.yaml", lambda c: c.setdefault("measures", {}).update(learnability=told))
    with pytest.raises(ConfigError, match=says):
        jobs_of(read_project(project, "smoke"), "comptok")
