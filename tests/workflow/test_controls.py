"""Planned controls: each number of images has its own, told what the number is told."""

import pytest

from tesserae.config.project import read_project
from tesserae.config.stages import STAGES, stage_of
from tesserae.lineage import cells
from tesserae.workflow.graph.whole import jobs
from tesserae.workflow.plan import open_plan
from tests.config.test_config import edit
from tests.conftest import ROOT

ALIKE = ("extractor", "layer", "splits", "rounding", "neighbourhood")
CONTROLS = {stage.control for stage in STAGES.values() if stage.control} | {"image_control"}


@pytest.fixture(scope="module", params=["smoke", "released"])
def planned(request):
    return open_plan(ROOT, request.param).jobs


def test_every_number_of_images_in_a_table_has_its_control(planned):
    counted = 0
    for job in planned.values():
        for row, column, source in cells.sources(job.spec) if job.stage == "table" else ():
            control = STAGES[stage_of(source.artifacts[0])].control if source.artifacts else None
            beside = cells.control(job.spec, row, column)
            described = next(it for it in job.spec["columns"] if cells.plain(it["name"]) == column)
            if described["direction"] == "none":  # a fact has nothing to beat
                control = None
            assert (beside is not None) == (control is not None), (job.id, row, column)
            if control:
                assert all(stage_of(name) == control and name in job.inputs for name in beside.artifacts)
                counted += 1
    assert counted > 20


def test_controls_are_told_what_their_numbers_are_told(planned):
    for job in planned.values():
        for artifact, control in job.spec.get("controls", {}).items() if job.stage == "table" else ():
            of, worth = planned[artifact], planned[control]
            told = {**planned[next(iter(of.inputs.values()))].spec, **of.spec} if of.stage == "metrics" else of.spec
            assert {key: worth.spec[key] for key in ALIKE if key in worth.spec} == {
                key: told[key] for key in ALIKE if key in told
            }
            if of.stage == "probe":
                assert {**worth.spec, "control": 0} == {**of.spec, "control": 0}
                assert worth.inputs["targets"] == of.inputs["targets"]
                continue
            assert worth.inputs["reference"] == of.inputs["reference"]
            if of.stage == "metrics":
                samples = planned[next(name for name in of.inputs.values() if name.startswith("samples/"))]
                assert worth.inputs["tokenizer"] == samples.inputs["tokenizer"]
                assert [worth.spec[key] for key in ("samples", "labels", "seed")] == [
                    samples.spec[key] for key in ("samples", "labels", "seed")
                ]


def test_tables_without_numbers_of_images_know_of_no_controls(planned):
    for name in ("table/detok_table_a1", "table/concepttok_table_5"):
        assert not {"controls", "control_rows"} & planned[name].spec.keys()
    spec = planned["table/detok_table_3"].spec
    assert [row for row, _ in spec["rows"][-2:]] == spec["control_rows"] == ["control_real", "control_mean"]
    by_name = {column["name"]: column for column in spec["columns"]}
    assert by_name["#params"]["rows"] == [row for row, _ in spec["rows"][:-2]]
    assert by_name["w/ CFG FID"]["artifacts"]["control_real"].startswith("image_control/detok-")


def test_one_control_serves_all_tokenizers_of_a_size_and_one_all_generators_of_a_tokenizer():
    found = open_plan(ROOT, "smoke").jobs
    spec = found["table/detok_table_2"].spec
    assert spec["controls"]["reconstruction/mar_vae"] == "reconstruction_control/detok-emoji_few-32-64x8"
    assert spec["controls"]["reconstruction/maetok"] == "reconstruction_control/detok-emoji_few-32-64x8"
    assert spec["controls"]["metrics/sit_b_extended-cfg"] == "generation_control/detok_bb_extended"
    assert spec["controls"]["metrics/mar_b_extended-cfg"] == "generation_control/detok_bb_extended"
    tuned = found["generation_control/detok_bb_extended_tuned"]  # its tokens are those that the generator learned
    assert tuned.inputs["tokens"] == "tokens/detok_bb_extended"
    assert tuned.inputs["tokenizer"] == "tokenizer/detok_bb_extended_tuned"


def test_controls_of_published_generators_read_tokens_as_well():
    found = open_plan(ROOT, "released").jobs
    official = found["generator/llamagen_b_c2i"]
    assert not official.inputs  # it was trained elsewhere
    assert any(
        name.startswith("codes/llamagen_tok") for name in found["generation_control/llamagen_tok"].inputs.values()
    )


def test_controls_follow_the_papers_way_of_measuring(project):
    before = jobs(read_project(project, "smoke"))
    edit(project, "papers/detok.yaml", lambda c: c["measures"].update(rounding="round", labels="random"))
    after = jobs(read_project(project, "smoke"))
    changed = {name for name in before if "_control/" in name and before[name].spec != after[name].spec}
    assert changed == {name for name in before if "_control/" in name and before[name].papers == ("detok",)}


def test_seeds_have_controls_of_their_own_tokens(project):
    edit(project, "scales/smoke.yaml", lambda c: c.update(seeds=2))
    found = jobs(read_project(project, "smoke"))
    spec = found["table/detok_table_1"].spec
    assert cells.control(spec, "joint", "SiT-B w/ CFG FID").artifacts == (
        "generation_control/detok_sb_joint",
        "generation_control/detok_sb_joint.seed2",
    )
    assert cells.source(spec, "control_mean", "SiT-B w/ CFG FID").artifacts == (
        "image_control/detok-emoji_few-32-mean",
    )
    assert not [name for name in found if ".seed2" in name and stage_of(name) in CONTROLS - {"generation_control"}]


def test_claims_know_what_their_numbers_are_worth():
    spec = open_plan(ROOT, "smoke").jobs["claims/detok"].spec
    cell = next(cell for cell in spec["cells"] if (cell["row"], cell["column"]) == ("Baseline", "MAR-B w/ CFG FID"))
    assert cell["controls"] == ["generation_control/detok_sb_baseline"]
