"""Published numbers: typed, blank stays blank, and every error says where."""

from pathlib import Path

import pytest

from tesserae.reporting import published
from tesserae.reporting.published import PublishedError, cell, find, load, lookup
from tests.reporting.synthetic import published_file, published_frame

DETOK = Path(__file__).parents[2] / "config" / "published" / "detok.csv"
HEADER = ",".join(published.COLUMNS)


def test_l_detoks_file_holds_its_table_1():
    frame = load(DETOK)
    assert lookup(frame, "Table 1", "Joint noise", "MAR-B w/ CFG FID") == 2.65
    assert lookup(frame, "Table 1", "Baseline", "SiT-B w/o CFG FID") == 26.82
    assert find(frame, "Table 1", "Baseline", "MAR-B w/o CFG FID")["printed"] == "16.70"
    assert frame["value"].dtype == "float64"
    assert (frame["table"] == "Table 1").sum() == 30


def test_what_is_only_plotted_is_a_blank():
    assert lookup(load(DETOK), "Figure 4", "MAR-B | Joint noise", "FID") is None


def test_blank_is_none(tmp_path):
    assert lookup(published_frame(tmp_path), "Table 1", "+Extended", "MAR-B w/o CFG FID") is None


@pytest.mark.parametrize(
    ("table", "row", "column", "expected"),
    [
        ("Table 9", "Baseline", "FID", "no table 'Table 9'; there is 'Table 1'"),
        ("Table 1", "Base", "FID", "no row 'Base' in 'Table 1'; there is 'Baseline', 'Joint noise', '+Extended'"),
        ("Table 1", "Baseline", "FID", "no column 'FID' in 'Table 1', row 'Baseline'; there is 'MAR-B w/ CFG FID', "),
    ],
)
def test_a_missing_key_names_the_file_and_what_is_there(tmp_path, table, row, column, expected):
    with pytest.raises(PublishedError, match=r"paper\.csv") as caught:
        lookup(published_frame(tmp_path), table, row, column)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Table 1,g,Row,s,FID,lower,2.5x,", "paper.csv:2: value '2.5x' of ('Table 1', 'Row', 'FID') is not a number"),
        (
            "Table 1,g,Row,s,FID,lower,nan,",
            "paper.csv:2: value 'nan' of ('Table 1', 'Row', 'FID') is not a finite number",
        ),
        (
            "Table 1,g,Row,s,FID,down,2.5,",
            "paper.csv:2: direction 'down' of ('Table 1', 'Row', 'FID') is not one of lower",
        ),
        ("Table 1,g,,s,FID,lower,2.5,", "paper.csv:2: row is empty"),
        ("Table 1,g,Row,s,FID,lower,2.5", "paper.csv:2: 7 fields instead of 8"),
        (
            "Table 1,g,Row,s,FID,lower,2.5,a\nTable 1,g,Row,s,FID,lower,2.6,b",
            "paper.csv:3: ('Table 1', 'Row', 'FID') is given twice, first on line 2",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, expected):
    path = tmp_path / "paper.csv"
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(PublishedError) as caught:
        load(path)
    assert expected in str(caught.value)


def test_a_line_number_is_right_after_a_field_with_a_line_break(tmp_path):
    path = tmp_path / "paper.csv"
    path.write_text(f'{HEADER}\nTable 1,g,Row,s,IS,higher,2,"two\nlines"\nTable 1,g,Row,s,FID,lower,x,\n')
    with pytest.raises(PublishedError, match=r"paper\.csv:4: value 'x'"):
        load(path)


def test_white_space_in_a_key_does_not_matter(tmp_path):
    path = tmp_path / "paper.csv"
    path.write_text(f"{HEADER}\nTable 1,g, Joint  noise ,s,FID,lower, 2.50,\n")
    assert find(load(path), "Table 1", "Joint noise", "FID")["printed"] == "2.50"


def test_a_wrong_header_is_refused(tmp_path):
    path = published_file(tmp_path / "paper.csv")
    path.write_text(path.read_text().replace("direction", "better", 1))
    with pytest.raises(PublishedError, match=r"paper\.csv:1: the columns must be table,group,row"):
        load(path)


def test_where_no_number_is_printed_at_all_there_is_no_cell():
    frame = load(DETOK)
    assert cell(frame, "Table A.1", "S-B tokenizer", "Heads") is None
    assert cell(frame, "Table A.1", "Base (B)", "Heads")["value"] == 12
    with pytest.raises(PublishedError, match="no row 'S-B'"):
        cell(frame, "Table A.1", "S-B", "Heads")
    with pytest.raises(PublishedError, match="no column 'Head'"):
        cell(frame, "Table A.1", "Base (B)", "Head")


def test_rows_are_told_in_the_printed_order_with_their_groups():
    rows = published.rows(load(DETOK), "Table 2")
    assert list(rows) == ["VA-VAE", "MAETok", "SD-VAE", "MAR-VAE", "l-DeTok"]
    assert list(rows.values()) == ["with semantics distillation"] * 2 + ["without semantics distillation"] * 3


def test_two_groups_with_one_key_are_ambiguous(tmp_path):
    path = tmp_path / "paper.csv"
    path.write_text(f"{HEADER}\nTable 1,a,Row,s,FID,lower,1,\nTable 1,b,Row,s,FID,lower,2,\n")
    frame = load(path)
    with pytest.raises(PublishedError, match=r"ambiguous: line 2 \(group 'a'.*line 3 \(group 'b'"):
        lookup(frame, "Table 1", "Row", "FID")
