"""metrics.json is written in one place."""

import json

from tesserae.lineage.measures.counted import Counted
from tesserae.stages.shared.numbers import write_numbers
from tests.conftest import ROOT
from tests.stages.works import work


def test_numbers_are_written_with_how_they_were_measured(tmp_path):
    job, measure = work("sizes", tmp_path, {}), Counted(counted="parameters")
    assert write_numbers(job, {"a": 1.5}, measure, deviation={"a": 0.5}, histogram=[1, 2]) == {"a": 1.5}
    assert json.loads((job.out / "metrics.json").read_text()) == {
        "values": {"a": 1.5},
        "deviation": {"a": 0.5},
        "measure": {"kind": "counted", "counted": "parameters"},
        "measure_id": measure.identity,
        "selection": None,
        "histogram": [1, 2],
    }


def test_no_stage_writes_its_measure_by_hand():
    writers = [file.name for file in (ROOT / "src/tesserae/stages").rglob("*.py") if "measure_id" in file.read_text()]
    assert sorted(writers) == ["numbers.py", "search.py"]  # a search has a sweep, and no numbers of its own
