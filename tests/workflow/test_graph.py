"""The plan: only what is asked for, from its own start, decoder and seed."""

import json

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.config.seeds import of_seed
from tesserae.config.stages import STAGES, stage_of
from tesserae.workflow.graph.job import Job
from tesserae.workflow.graph.whole import jobs
from tesserae.workflow.plan import open_plan, open_plan_for, read_plan
from tests.config.test_config import edit
from tests.conftest import ROOT

PAPER, SCALE = "papers/detok.yaml", "scales/smoke.yaml"


def planned(project) -> dict[str, Job]:
    return jobs(read_project(project, "smoke"))


# ---- demand -----------------------------------------------------------------------------------------------------


def test_what_nothing_shows_is_not_made(project):
    before = planned(project)
    unused = {"base": "detok_bb_extended_tuned"}
    edit(project, PAPER, lambda c: c["tokenizers"].update(unused=unused))
    edit(project, PAPER, lambda c: c["generators"].update(unused={"base": "sit_b", "tokenizer": "unused"}))
    assert planned(project) == before
    edit(project, PAPER, lambda c: c["figures"]["figure_a1"]["rows"].update(unused="Unused"))
    assert planned(project).keys() - before.keys() == {"tokenizer/unused", "denoising/unused"}
    edit(project, PAPER, lambda c: c["figures"]["figure_4"]["inputs"]["SiT-B"].update(search="search/unused"))
    assert {f"{stage}/unused" for stage in ("tokens", "generator", "search_samples", "search")} <= planned(
        project
    ).keys()


@pytest.mark.parametrize("scale", ["smoke", "pocket", "desk", "released", "paper"])
def test_nothing_is_trained_twice(scale):
    trained: dict[tuple, list[str]] = {}
    for job in open_plan(ROOT, scale).jobs.values():
        if job.stage in ("tokenizer", "generator"):
            same = (json.dumps(job.spec, sort_keys=True), *sorted(job.inputs.values()))
            trained.setdefault(same, []).append(job.id)
    assert [names for names in trained.values() if len(names) > 1] == []


def test_everything_made_is_asked_for():
    for scale in ("smoke", "pocket", "paper"):
        found = open_plan(ROOT, scale).jobs
        read = {name for job in found.values() for name in job.inputs.values()}
        beyond = {name.split("/")[0] for name in found.keys() - read}
        assert beyond <= {"report", "forecast", "lineage", "spread"}  # what nobody reads but people


def test_sizes_are_the_papers_at_every_scale():
    small, full = (open_plan(ROOT, scale).jobs for scale in ("smoke", "paper"))
    assert "sizes/detok_ss" in small and "tokenizer/detok_ss" not in full
    for name, job in small.items():
        if job.stage == "sizes":
            assert job.spec == full[name].spec and not job.inputs
    assert small["sizes/mar_l_system"].spec["model"]["width"] == 1024  # and the scale does without the training


def test_searches_draw_what_is_shown():
    found = open_plan(ROOT, "smoke").jobs
    assert found["search_samples/mar_b_joint"].spec["unguided"] is True  # Table 1: w/o CFG FID
    assert found["search_samples/mar_b_mar_vae"].spec["unguided"] is False  # Table 2 shows it with guidance alone
    assert "samples/mar_b_mar_vae-nocfg" not in found and "samples/mar_b_mar_vae-cfg" in found


# ---- fine-tuned decoders ----------------------------------------------------------------------------------------


def test_a_fine_tuned_tokenizer_starts_from_its_start_and_decodes_its_tokens():
    found = open_plan(ROOT, "smoke").jobs
    start, tuned = "tokenizer/detok_bb_extended", "tokenizer/detok_bb_extended_tuned"
    assert found[tuned].inputs["start"] == start and found[tuned].reads[start] == ("weights.safetensors",)
    assert list(found).index(start) < list(found).index(tuned)
    assert "start" not in found[start].inputs
    drawn, decoded = (found[f"samples/{name}-cfg"] for name in ("mar_b_system", "mar_b_system_tuned"))
    assert decoded.inputs == drawn.inputs | {"tokenizer": tuned, "search": "search/mar_b_system_tuned"}
    assert decoded.inputs["tokens"] == "tokens/detok_bb_extended" and decoded.inputs["generator"].endswith("_system")


@pytest.mark.parametrize(
    ("file", "change", "key", "problem"),
    [
        (
            PAPER,
            lambda c: c["decoded"]["mar_b_system_tuned"].update(decoder="mar_vae_denoising"),
            "decoded.mar_b_system_tuned.decoder",
            "not a tokenizer that was fine-tuned from detok_bb_extended",
        ),
        (
            PAPER,
            lambda c: c["decoded"]["mar_b_system_tuned"].update(decoder="detok_bb_extended"),
            "decoded.mar_b_system_tuned.decoder",
            "not a tokenizer that was fine-tuned",
        ),
        (
            PAPER,
            lambda c: c["decoded"]["mar_b_system_tuned"].update(decoder="nothing"),
            "decoded.mar_b_system_tuned.decoder",
            "'nothing' is not a tokenizer",
        ),
        (
            PAPER,
            lambda c: c["decoded"]["mar_b_system_tuned"].update(generator="nothing"),
            "decoded.mar_b_system_tuned.generator",
            "unknown generator 'nothing'",
        ),
        (
            PAPER,
            lambda c: c["tokenizers"]["detok_bb_extended_tuned"].update(finetune="nothing"),
            "tokenizers.detok_bb_extended_tuned.finetune",
            "unknown tokenizer recipe 'nothing'",
        ),
        (SCALE, lambda c: c["omit"][0].pop("reason"), "omit.0.reason", "Field required"),
        (SCALE, lambda c: c["omit"][0].update(reason="x" * 25), "omit.0.reason", "at most 24 characters"),
        (SCALE, lambda c: c.update(seeds=0), "seeds", "greater than 0"),
    ],
)
def test_references_to_nothing_are_refused(project, file, change, key, problem):
    edit(project, file, change)
    with pytest.raises(ConfigError) as caught:
        planned(project)
    assert caught.value.file == f"config/{file}" and caught.value.key == key
    assert problem in str(caught.value) and caught.value.remedy


# ---- what a scale does without ----------------------------------------------------------------------------------


FROM_EXTENDED = ["detok_bb_ext*ded*", "*_b_extended", "mar_[bl]_system", "mar_[bl]_system_tuned"]  # and all on it


def omitting(project, *groups: tuple[str, list[str]]) -> None:
    edit(project, SCALE, lambda c: c.update(omit=[{"reason": why, "recipes": names} for why, names in groups]))


def test_what_a_scale_does_without_says_why_in_its_place(project):
    omitting(project, ("too dear", FROM_EXTENDED), ("at desk", ["sit_b_gamma*", "titok_bl*"]))
    told, found = read_project(project, "smoke"), planned(project)
    assert told.omitted["detok_bb_extended"] == told.omitted["mar_b_system_tuned"] == "too dear"
    assert told.omitted["sit_b_gamma1"] == told.omitted["titok_bl64"] == "at desk"
    assert not {"detok_bb_baseline", "mar_b_joint", "mar_b_mar_vae_denoising"} & told.omitted.keys()
    of_omitted = {stage_of(name) for name in found if name.split("/")[1].split("-")[0] in told.omitted}
    assert of_omitted <= {"sizes", "settings"}  # what is said of recipes alone
    missing = {(cell["row"], cell["column"]): cell["reason"] for cell in found["table/detok_table_1"].spec["missing"]}
    assert len(missing) == 6 and {row for row, _ in missing} == {"extended"} and set(missing.values()) == {"too dear"}
    assert {cell["row"]: cell["reason"] for cell in found["figure/detok_figure_a1"].spec["missing"]} == {
        "detok_bb_extended": "too dear",
        "detok_bb_extended_tuned": "too dear",
    }
    assert {(cell["row"], cell["reason"]) for cell in found["figure/detok_figure_2b"].spec["missing"]} == {
        (row, "at desk") for row in ("gamma1", "gamma2", "gamma4")
    }
    unfounded = {cell["row"]: cell["reason"] for cell in found["claims/detok"].spec["cells"] if "reason" in cell}
    assert unfounded["+Extended"] == "too dear" and unfounded["SiT-B | interpolative gamma=1.0"] == "at desk"


@pytest.mark.parametrize(
    ("groups", "key", "problem", "remedy"),
    [
        (
            [("at desk", ["titok_*"]), ("too dear", ["tatitok_*", "mar_b_gama*"])],
            "omit.1.recipes: mar_b_gama*",
            "no recipe has such a name",
            "mar_b_gamma",
        ),
        ([("at desk", ["titok_*"]), ("too dear", ["titok_bl64"])], "omit.1.recipes", "already", "let one group"),
        (
            [("at desk", ["mar_h_*"]), ("too dear", ["detok_sb_gamma2"])],
            "omit.1.recipes",
            "detok_sb_gamma2 is omitted, and mar_b_gamma2, sit_b_gamma2 are made from it",
            "omit them too, or keep detok_sb_gamma2",
        ),
        (
            [("too dear", ["mar_vae", "*_b_mar_vae", "mar_*_system_mar_vae"])],
            "omit.0.recipes",
            "mar_vae is omitted, and mar_vae_denoising, comptok",
            "omit them too, or keep mar_vae",
        ),
        ([("too dear", ["llamagen_tok"])], "omit.0.recipes", "llamagen_b_c2i is made from it", "omit it too"),
        ([("too dear", ["siglip_sae"])], "omit.0.recipes", "siglip_sae is omitted, and concepttok", "omit them too"),
    ],
)
def test_what_cannot_be_omitted_is_refused(project, groups, key, problem, remedy):
    omitting(project, *groups)
    with pytest.raises(ConfigError) as caught:
        read_project(project, "smoke")
    first = caught.value.problems[0]
    assert (first.file, first.key) == ("config/scales/smoke.yaml", key)
    assert problem in first.problem and remedy in first.remedy


# ---- seeds ------------------------------------------------------------------------------------------------------


@pytest.fixture
def twice(project) -> tuple[dict[str, Job], dict[str, Job]]:
    """The plan with one seed, and with two."""
    once = planned(project)
    edit(project, SCALE, lambda c: c.update(seeds=2))
    return once, planned(project)


def test_all_that_is_random_exists_once_per_seed(twice):
    once, found = twice
    single = {name for name, stage in STAGES.items() if not stage.seeded}
    for name, job in once.items():
        assert (of_seed(name, 2) in found) == (job.stage not in single), name
    assert found.keys() == once.keys() | {of_seed(name, 2) for name, job in once.items() if job.stage not in single}
    assert "metrics/mar_b_joint-cfg.seed2" in found  # the seed is the last part of a name
    for name in once.keys() - {name for name, job in once.items() if job.stage in single}:
        assert found[name].spec == once[name].spec and found[name].inputs == once[name].inputs, name


def test_a_seed_changes_the_seed_of_the_training_and_nothing_else(twice):
    _, found = twice
    for stage in ("tokenizer", "generator"):
        for name in [name for name in found if name.startswith(stage) and not name.endswith(".seed2")]:
            first, second = found[name].spec, found[of_seed(name, 2)].spec
            assert second["training"]["seed"] == first["training"]["seed"] + 1
            assert second == first | {"training": second["training"]}
            assert second["training"] | {"seed": 0} == first["training"] | {"seed": 0}
    assert "scales/smoke.yaml: seeds" in found["tokenizer/detok_sb_joint.seed2"].origins["training.seed"]


def test_what_a_seed_makes_is_made_from_what_the_same_seed_made(twice):
    once, found = twice
    for name, job in once.items():
        if of_seed(name, 2) in found:
            other = found[of_seed(name, 2)]
            assert other.inputs == {
                role: of_seed(producer, 2) if STAGES[stage_of(producer)].seeded else producer
                for role, producer in job.inputs.items()
            }, name
    generator = found["generator/sit_b_joint.seed2"]
    assert generator.inputs == {"tokens": "tokens/detok_sb_joint.seed2"}
    assert found["tokenizer/detok_bb_extended_tuned.seed2"].inputs["start"] == "tokenizer/detok_bb_extended.seed2"


def test_tables_figures_and_claims_read_all_seeds(twice):
    once, found = twice
    for name in ("table/detok_table_1", "table/detok_table_3", "figure/detok_figure_4", "claims/detok"):
        of_one = list(once[name].inputs.values())
        assert set(found[name].inputs) == set(of_one) | {
            of_seed(producer, 2) for producer in of_one if STAGES[stage_of(producer)].seeded
        }
        assert found[name].spec["seeds"] == [1, 2] and once[name].spec["seeds"] == [1]
    cell = next(cell for cell in found["claims/detok"].spec["cells"] if cell["row"] == "Joint noise")
    assert len(cell["artifacts"]) == 2 and cell["artifacts"][1] == of_seed(cell["artifacts"][0], 2)


@pytest.mark.parametrize("stage", ["metrics", "lineage", "page", "forecast", "report"])
def test_a_job_plans_itself_as_the_whole_does(stage):
    whole = read_plan(ROOT, "pocket")
    own = open_plan_for(stage, ROOT, "pocket")
    for job in whole.jobs.values():
        if job.stage == stage:
            assert own.jobs[job.id] == job and own.fingerprint(own.jobs[job.id]) == whole.fingerprint(job)
    assert ("forecast/paper" in own.jobs) == (stage in ("forecast", "report"))
