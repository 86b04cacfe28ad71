"""The table of stages agrees with the modules there are and with what every scale plans."""

import pytest

from tesserae.config.stages import STAGES, stage_of
from tesserae.config.types import Measures
from tesserae.workflow.graph.job import reads_of
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT


def test_every_stage_has_its_module_and_every_module_its_stage():
    modules = {file.stem for file in (ROOT / "src/tesserae/stages").glob("*.py")} - {"__init__"}
    assert modules == STAGES.keys()


@pytest.mark.parametrize("name", STAGES)
def test_an_entry_is_consistent(name):
    stage, known = STAGES[name], list(STAGES)
    assert stage.purpose and "\n" not in stage.purpose and len(set(stage.files)) == len(stage.files) > 0
    assert "manifest" not in stage.outputs
    assert {*(stage.listed or ()), *filter(None, [stage.numbers])} <= set(stage.files)
    for producer, files in stage.reads.items():
        assert (known.index(producer) > known.index(name)) == (producer in stage.of_others)
        assert set(files) <= set(STAGES[producer].files)
    assert not stage.trains or ("curves.jsonl" in stage.files and stage.resumes)
    assert not stage.seeded or not stage.shows


@pytest.mark.parametrize("scale", ["smoke", "released", "paper"])
def test_jobs_read_what_the_table_says(scale):
    for job in open_plan(ROOT, scale).jobs.values():
        if not STAGES[job.stage].shows:
            assert job.reads == reads_of(job.stage, job.inputs)
        for name, files in job.reads.items():
            assert set(files) - {"manifest.json"} <= set(STAGES[stage_of(name)].files)


def test_an_input_that_the_table_does_not_name_is_refused():
    with pytest.raises(KeyError, match="metrics"):
        reads_of("tokenizer", {"numbers": "metrics/x-cfg"})


def test_every_diagnostic_can_be_made_from_its_entry():
    for name, stage in STAGES.items():
        if stage.diagnostic is not None:
            assert {"dataset", "tokenizer"} <= stage.reads.keys(), name
            assert (stage.diagnostic.settings is not None) == (name in Measures.model_fields), name
