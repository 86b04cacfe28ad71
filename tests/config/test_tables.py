"""Tables held against the published file when the configuration is read; what is ours is declared."""

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.config.published import read
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit
from tests.conftest import ROOT

PAPER = "papers/detok.yaml"
FID = "MAR-B w/ CFG FID"


def changed(project, change, table: str = "table_1"):
    edit(project, PAPER, lambda content: change(content["tables"][table]))
    return read_project(project, "pocket")


def test_a_row_of_ours_is_planned_in_a_printed_table(project):
    def add(content):
        content["tokenizers"]["detok_sb_strong"] = {"base": "detok_sb", "gamma": 5.0}
        for name in ("mar_b", "sit_b"):
            content["generators"][f"{name}_strong"] = {"base": name, "tokenizer": "detok_sb_strong"}
        content["tables"]["table_1"]["rows"]["strong"] = "Strong noise"
        content["tables"]["table_1"]["own_rows"] = ["strong"]

    edit(project, PAPER, add)
    found = jobs(read_project(project, "pocket"))
    assert "metrics/sit_b_strong-cfg" in found["table/detok_table_1"].inputs.values()
    assert found["table/detok_table_1"].spec["own_rows"] == ["strong"]
    assert "mar_b_strong" not in read_project(project, "released").generators  # which leaves out what it is made from


@pytest.mark.parametrize(
    ("change", "key", "problem", "remedy"),
    [
        (
            lambda t: t["rows"].update(joint="Joint noize"),
            "tables.table_1.rows.joint",
            "Table 1 has no row 'Joint noize'",
            "one of 'Joint noise'",
        ),
        (
            lambda t: t["rows"].update(strong="Strong noise"),
            "tables.table_1.rows.strong",
            "Table 1 has no row 'Strong noise'",
            "or own_rows: [strong] for a row of ours",
        ),
        (lambda t: t.update(own_rows=["joint"]), "tables.table_1.rows.joint", "prints the row 'Joint noise'", "take"),
        (lambda t: t.update(own_rows=["strong"]), "tables.table_1", "'strong' is not a key of rows", "schema"),
        (
            lambda t: t["columns"].update({"MAR-B CFG": t["columns"][FID]}),
            "tables.table_1.columns.MAR-B CFG",
            "Table 1 has no column 'MAR-B CFG'",
            "or own: true for a column of ours",
        ),
        (lambda t: t["columns"][FID].update(own=True), f"tables.table_1.columns.{FID}", "prints the column", "take"),
        (lambda t: t["columns"][FID].update(direction="higher"), "direction", "but 'lower' in", "write lower"),
        (lambda t: t["columns"][FID].update(digits=-1), "digits", "greater than or equal to 0", "schema"),
        (lambda t: t.update(published_rows=["ADM"]), "tables.table_1.published_rows", "no row 'ADM'", "one of"),
        (lambda t: t.update(source="Table 8"), "tables.table_1.source", "has no table 'Table 8'", "or `own: true`"),
        (lambda t: t.update(own=True), "tables.table_1.own", "has numbers of Table 1", "`own`"),
        (lambda t: t.update(own=True, own_rows=["joint"]), "tables.table_1", "a table of ours", "schema"),
    ],
)
def test_what_is_neither_printed_nor_ours_is_refused_when_it_is_read(project, change, key, problem, remedy):
    with pytest.raises(ConfigError) as caught:
        changed(project, change)
    told = caught.value
    assert told.file == f"config/{PAPER}" and key in told.key and problem in told.problem and remedy in told.remedy


def test_a_published_file_that_cannot_be_read_is_named(project):
    file = project / "config/published/detok.csv"
    file.write_text(file.read_text().replace("16.70", "16.7x", 1))
    with pytest.raises(ConfigError, match=r"detok\.csv: .*value '16.7x' of .* is not a number"):
        read_project(project, "pocket")
    file.unlink()
    with pytest.raises(ConfigError, match=r"published: no such file: config/published/detok\.csv"):
        read_project(project, "pocket")


def test_published_files_hold_no_table_of_ours():
    for paper in read_project(ROOT, "pocket").papers.values():
        printed = {line["table"] for line in read(ROOT / paper.published)}
        own = {table.source for table in paper.tables.values() if table.own}
        assert own and not own & printed
