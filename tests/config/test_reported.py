"""Reported numbers: every line has a key of a printed number or none, and an edit moves tables and pages alone."""

import csv
from pathlib import Path

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.config.published import read
from tesserae.config.reported import COLUMNS, Report, address, by_difference, difference, read_reports
from tesserae.config.stages import STAGES
from tesserae.workflow.plan import read_plan
from tests.conftest import ROOT

FILE = Path("config/reported/detok.csv")
GOOD = {
    **{"table": "Table 2", "row": "MAR-VAE", "column": "rFID", "system": "MAR's tokenizer", "metric": "rFID"},
    **{"value": "0.5735", "against": "", "settings": "not told", "source": "hustvl/LightningDiT#26"},
    **{"date": "2025-03-11", "by": "others", "status": "closed", "resolved": "no", "found": "no cause"},
    "read": "whole",
}


def reports(root: Path, *lines: dict[str, str]) -> list[Report]:
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    with open(root / FILE, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return read_reports(root, FILE, read(ROOT / "config/published/detok.csv"))


def test_a_report_knows_the_printed_number(tmp_path):
    (one,) = reports(tmp_path, GOOD)
    assert (one.published, one.value, one.line) == ("0.53", "0.5735", 2)
    assert difference(one.plain()) == pytest.approx(0.0435)
    assert address(one.source) == "https://github.com/hustvl/LightningDiT/issues/26"


def test_without_a_key_the_thread_names_the_other_number(tmp_path):
    free = GOOD | {"table": "", "row": "", "column": "", "value": "3.6842", "against": "2.62"}
    alone = free | {"against": "", "value": "7"}
    found = [one.plain() for one in reports(tmp_path, alone, GOOD, free)]
    assert [difference(one) for one in found] == [None, pytest.approx(0.0435), pytest.approx(1.0642)]
    assert [one["value"] for one in by_difference(found)] == ["3.6842", "0.5735", "7"]


@pytest.mark.parametrize(
    ("wrong", "column", "remedy"),
    [
        ({"table": "Table 9"}, "table", "Table 2"),
        ({"row": "MAR-VAE of others"}, "row", "MAR-VAE"),
        ({"column": "gFID"}, "column", "rFID"),
        ({"column": ""}, "column", "none of them"),
        ({"value": "about 0.5"}, "value", "the thread tells"),
        ({"value": "nan"}, "value", "the thread tells"),
        ({"value": ""}, "value", "the thread tells"),
        ({"against": "x"}, "against", "the thread tells"),
        ({"settings": " "}, "settings", "does not tell"),
        ({"found": ""}, "found", "does not tell"),
        ({"source": "https://github.com/hustvl/LightningDiT"}, "source", "owner/repository#number"),
        ({"date": "March 2025"}, "date", "2025-12-16"),
        ({"by": "nobody"}, "by", "authors, others"),
        ({"status": "merged"}, "status", "open, closed"),
        ({"resolved": "perhaps"}, "resolved", "yes, no, unknown"),
        ({"read": "skimmed"}, "read", "whole, part"),
    ],
)
def test_a_wrong_line_is_an_error_that_names_file_line_column_and_remedy(tmp_path, wrong, column, remedy):
    with pytest.raises(ConfigError) as error:
        reports(tmp_path, GOOD, GOOD | {"settings": "other ones"} | wrong)
    assert str(error.value).startswith(f"{FILE}: line 3, {column}: ")
    assert remedy in error.value.remedy


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    with pytest.raises(ConfigError) as error:
        reports(tmp_path, GOOD | {"row": "nothing", "date": ""}, GOOD | {"value": "x"})
    assert len(error.value.problems) == 3


def test_a_number_given_twice_and_a_broken_line_are_errors(tmp_path):
    with pytest.raises(ConfigError, match="line 3, value: given twice, first on line 2"):
        reports(tmp_path, GOOD, GOOD)
    (tmp_path / FILE).write_text(",".join(COLUMNS) + "\nTable 2,MAR-VAE\n")
    with pytest.raises(ConfigError, match="line 2: 2 fields instead of 15"):
        read_reports(tmp_path, FILE, [])
    (tmp_path / FILE).write_text("table,row\n")
    with pytest.raises(ConfigError, match="line 1: columns table,row"):
        read_reports(tmp_path, FILE, [])
    (tmp_path / FILE).unlink()
    with pytest.raises(ConfigError, match="no such file"):
        read_reports(tmp_path, FILE, [])


def test_a_key_of_several_printed_numbers_says_too_little(tmp_path):
    (tmp_path / FILE).parent.mkdir(parents=True)
    with open(tmp_path / FILE, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([COLUMNS, [GOOD[name] for name in COLUMNS]])
    line = {"table": "Table 2", "row": "MAR-VAE", "column": "rFID", "printed": "0.53"}
    with pytest.raises(ConfigError, match="prints 2 such numbers"):
        read_reports(tmp_path, FILE, [line, line | {"printed": "1.22"}])


def test_every_paper_has_reports_and_none_names_anybody():
    project = read_project(ROOT, "pocket")
    assert {name for name, found in project.reported.items() if found} == {*project.papers}
    for found in project.reported.values():
        for one in found:
            assert "@" not in one.found + one.settings and len(one.found) < 300, one


def test_an_edited_report_moves_its_table_and_the_pages_alone(project):
    before = read_plan(project, "smoke")
    file = project / FILE
    text = file.read_text()
    assert "0.5735" in text
    file.write_text(text.replace("0.5735", "0.5736"))
    after = read_plan(project, "smoke")
    moved = {
        name for name, job in before.jobs.items() if before.fingerprint(job) != after.fingerprint(after.jobs[name])
    }
    assert "table/detok_table_2" in moved and "page/detok" in moved and "report/index" in moved
    assert "table/detok_table_1" not in moved
    assert {name.split("/")[0] for name in moved} <= {"table", "notebook", "lineage", "page", "report"}
    assert all(STAGES[name.split("/")[0]].shows for name in moved)
