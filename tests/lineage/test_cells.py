"""Which artifacts stand behind a cell, over the kinds of cells that there are; and as the graph of stages has them."""

import math

import pytest

from tesserae.config.seeds import of_seed, of_seeds, seed_of
from tesserae.lineage.cells import CITED, NO_NUMBER, Source, Summary, controls, over_seeds, rows, source, sources
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT

SPEC = {
    "rows": [["a", "Row A"], ["b", "Row B"]],
    "published_rows": ["ADM"],
    "seeds": [1, 2],
    "unseeded": ["sizes"],
    "missing": [{"row": "b", "column": "FID", "reason": "too dear"}],
    "columns": [
        {"name": "FID", "value": "fid", "artifact": "metrics/{row}-cfg"},
        {"name": "#params", "value": "parameters", "artifact": "sizes/{row}", "artifacts": {"b": "sizes/B"}},
        {"name": "rFID", "value": "rfid", "artifact": "reconstruction/{row}", "rows": ["b"], "values": {"b": "own"}},
    ],
}


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ("a", "FID", Source(("metrics/a-cfg", "metrics/a-cfg.seed2"), "fid", "measured")),
        ("b", "FID", Source((), "fid", "omitted", "too dear")),
        ("a", "#params", Source(("sizes/a",), "parameters", "measured")),  # which no seed changes
        ("b", "#params", Source(("sizes/B",), "parameters", "measured")),
        ("a", "rFID", Source((), "rfid", "blank", NO_NUMBER)),
        ("b", "rFID", Source(("reconstruction/b", "reconstruction/b.seed2"), "own", "measured")),
        ("ADM", "FID", Source((), "fid", "cited", CITED)),
        ("a", " FID\n", Source(("metrics/a-cfg", "metrics/a-cfg.seed2"), "fid", "measured")),
    ],
)
def test_each_kind_of_cell(row, column, expected):
    assert source(SPEC, row, column) == expected


def test_all_cells_row_by_row():
    found = [(row, column) for row, column, _ in sources(SPEC)]
    assert found == [(row, column["name"]) for row in ("a", "b", "ADM") for column in SPEC["columns"]]
    assert rows(SPEC)[-1] == ("ADM", "ADM")


def test_a_table_of_one_seed_need_say_nothing_of_it():
    spec = {"rows": [["a", "Row A"]], "columns": [SPEC["columns"][0]]}
    assert source(spec, "a", "FID").artifacts == ("metrics/a-cfg",)


@pytest.mark.parametrize(("row", "column"), [("c", "FID"), ("a", "KID")])
def test_a_cell_that_the_table_does_not_have(row, column):
    with pytest.raises(KeyError, match="no cell"):
        source(SPEC, row, column)


def test_mean_and_scatter_over_seeds():
    assert over_seeds([2.0]) == Summary(2.0, None, 1)
    assert over_seeds([1.0, 2.0, 6.0]) == Summary(3.0, 7**0.5, 3)
    broken = over_seeds([1.0, math.inf])
    assert math.isnan(broken.mean) and (broken.sd, broken.n) == (None, 2)


def test_names_of_seeds():
    assert of_seeds("metrics/x-cfg", [1, 2, 3]) == ["metrics/x-cfg", "metrics/x-cfg.seed2", "metrics/x-cfg.seed3"]
    for name in ("tokenizer/x", "tokenizer/x.seedling", "tokenizer/x.seed"):
        assert [seed_of(of_seed(name, seed)) for seed in (1, 2, 10)] == [(name, 1), (name, 2), (name, 10)]


@pytest.mark.parametrize("scale", sorted(file.stem for file in (ROOT / "config/scales").glob("*.yaml")))
def test_the_cells_of_every_table_are_what_its_job_reads(scale):
    tables = [job for job in open_plan(ROOT, scale).jobs.values() if job.stage == "table"]
    assert tables
    for job in tables:
        found = [cell for _, _, cell in sources(job.spec)]
        beside = [cell for _, _, cell in controls(job.spec)]
        assert {artifact for cell in [*found, *beside] for artifact in cell.artifacts} == set(job.inputs)
        assert all((cell.status == "measured") == bool(cell.artifacts) for cell in found)
        assert all(bool(cell.reason) == (not cell.artifacts) for cell in found)
