"""Tables: published and measured never mix, best is best by direction, and every writer escapes what it prints."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.reporting import tables
from tesserae.reporting.published import PublishedError
from tesserae.reporting.tables import TableError, best, build_table
from tests.reporting.synthetic import COLUMNS, PRINTED, cells, description, metrics, published_frame, usual_cells

FID, IS, UNGUIDED = (column["name"] for column in COLUMNS)


@pytest.fixture
def printed(tmp_path):
    return published_frame(tmp_path)


@pytest.fixture
def table(printed):
    return build_table(description(), usual_cells(), printed, scale="pocket")


def with_values(printed, fid: dict[str, float | None], score: dict[str, float | None] | None = None):
    """The table with these guided FID and IS by row key; None is a blank."""
    score = score or {}
    given_cells = {
        (key, name): None if value is None else metrics(value, score.get(key, 1.0))
        for key, value in fid.items()
        for name in (FID, IS, UNGUIDED)
    }
    return build_table(description(), given_cells, printed, scale="pocket")


# ---- published and measured ------------------------------------------------------------------------------------


def test_each_number_stays_in_its_own_kind(table):
    cell = table.cells["baseline", FID]
    assert (cell.published, cell.printed, cell.measured, cell.shown) == (3.31, "3.31", 45.5, "45.50")
    blank = table.cells["extended", UNGUIDED]
    assert (blank.published, blank.measured, blank.printed, blank.shown) == (None, None, "", "")


def test_an_unmeasured_cell_shows_no_published_number_in_its_place(table):
    row = next(line for line in tables.to_markdown(table).splitlines() if line.startswith("| +Extended"))
    assert [field.strip() for field in row.strip("|").split("|")] == [
        "+Extended",
        "**2.43**",
        "–",
        "**266.50**",
        "–",
        "–",
        "–",
    ]


def test_the_printed_digits_are_kept(table):
    assert table.cells["baseline", UNGUIDED].printed == "16.70"
    assert "| 16.70 |" in tables.to_markdown(table)


# ---- best ------------------------------------------------------------------------------------------------------


def marked(found: set, column: str) -> set[str]:
    return {key for key, name in found if name == column}


def test_best_follows_direction(printed):
    table = with_values(
        printed, {"baseline": 30.0, "joint": 20.0, "extended": 40.0}, {"baseline": 3.0, "joint": 2.0, "extended": 4.0}
    )
    published, measured = best(table)
    assert marked(measured, FID) == {"joint"}
    assert marked(measured, IS) == {"extended"}
    assert marked(published, FID) == {"extended"}
    assert marked(published, IS) == {"extended"}
    assert marked(published, UNGUIDED) == {"joint"}  # +Extended is a blank here


def test_numbers_printed_alike_are_all_best(printed):
    table = with_values(printed, {"baseline": 20.001, "joint": 20.004, "extended": 20.01})
    assert marked(best(table)[1], FID) == {"baseline", "joint"}


def test_a_blank_is_never_best_and_a_lone_number_is_not_marked(printed):
    for joint, expected in ((21.0, {"baseline"}), (None, set())):
        table = with_values(printed, {"baseline": 20.0, "joint": joint, "extended": None})
        assert marked(best(table)[1], FID) == expected
    assert best(with_values(printed, {"baseline": None, "joint": None, "extended": None}))[1] == set()


def test_without_direction_nothing_is_best(table):
    columns = tuple(tables.Column(column.name, "none", column.value, column.artifact) for column in table.columns)
    silent = tables.Table(table.source, table.title, table.scale, table.rows, columns, table.cells)
    assert best(silent) == (set(), set())


# ---- what must not share a column ------------------------------------------------------------------------------


def test_two_extractors_in_one_column_raise(printed):
    mixed = usual_cells()
    mixed["joint", FID] = metrics(1.0, 1.0, guidance=4.0, extractor="inception")
    with pytest.raises(
        TableError,
        match=r"'MAR-B w/ CFG FID' mixes feature extractors: embedded \(Baseline\) and "
        r"inception \(Joint noise\)",
    ):
        build_table(description(), mixed, printed, scale="pocket")


@pytest.mark.parametrize(("field", "value"), [("samples", 500), ("quantisation", "round"), ("sampler", {"steps": 8})])
def test_two_measures_in_one_column_raise_and_name_the_field(printed, field, value):
    mixed = usual_cells()
    mixed["joint", FID] = metrics(1.0, 1.0, guidance=4.0, **{field: value})
    with pytest.raises(TableError, match=rf"'MAR-B w/ CFG FID' mixes measures: {field} "):
        build_table(description(), mixed, printed, scale="pocket")


def test_what_a_search_selects_may_differ(table):
    assert {table.cells[key, FID].measure["guidance"] for key in ("baseline", "joint")} == {3.0, 4.0}


def test_a_measured_guidance_that_was_not_the_selected_one_raises(printed):
    wrong = usual_cells()
    wrong["joint", FID]["selection"]["guidance"] = 2.0
    with pytest.raises(TableError, match=r"guidance 2\.0 was selected, but 4\.0 was measured"):
        build_table(description(), wrong, printed, scale="pocket")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_raises(printed, value):
    wrong = usual_cells()
    wrong["joint", FID]["values"]["fid"] = value
    with pytest.raises(TableError, match="row 'Joint noise', column 'MAR-B w/ CFG FID': the measured value is"):
        build_table(description(), wrong, printed, scale="pocket")


def test_metrics_without_the_value_and_cells_not_given_raise(printed):
    missing = usual_cells()
    missing["joint", IS] = missing["joint", FID] = missing["joint", FID] | {"values": {"rfid": 1.0}}
    with pytest.raises(TableError, match="the metrics have no 'fid', only rfid"):
        build_table(description(), missing, printed, scale="pocket")
    forgotten = usual_cells()
    del forgotten["extended", IS]
    with pytest.raises(TableError, match=r"'\+Extended', column 'MAR-B w/ CFG IS': no cell is given"):
        build_table(description(), forgotten, printed, scale="pocket")


def test_a_row_that_the_paper_does_not_print_raises(printed):
    rows = {"baseline": "Baseline", "other": "Another"}
    with pytest.raises(PublishedError, match="no row 'Another' in 'Table 1'"):
        build_table(description(rows), cells(baseline=(None, None), other=(None, None)), printed, scale="pocket")


def test_a_direction_against_the_published_file_raises(printed):
    wrong = description() | {"columns": [COLUMNS[0] | {"direction": "higher"}]}
    with pytest.raises(TableError, match="direction 'higher', but 'lower' in the published file"):
        build_table(wrong, usual_cells(), printed, scale="pocket")


# ---- what is printed under the table ---------------------------------------------------------------------------


def test_notes_say_how_each_number_was_obtained(table):
    notes = "\n".join(tables.notes(table))
    for expected in (
        "Measured: scale pocket; extractor embedded (layer 320), 1000 samples per number",
        "not comparable in absolute value",
        "MAR-B w/ CFG: guidance 3 (Baseline); guidance 4, at the edge of the candidates (Joint noise); "
        "selected by the lowest FID on 256 samples among 1, 2, 3, 4.",
        "MAR-B w/o CFG: guidance 1, temperature 0.97 (Baseline, Joint noise); fixed, nothing was selected.",
        "MAR-B w/ CFG ab12cd34ef567890",
        "Not run at this scale (–): +Extended.",
    ):
        assert expected in notes


def test_a_temperature_that_the_sampler_does_not_know_is_not_mentioned(printed):
    flow = cells(baseline=(metrics(1.0, 1.0, temperature=None), None), joint=(None, None), extended=(None, None))
    notes = "\n".join(tables.notes(build_table(description(), flow, printed, scale="pocket")))
    assert "guidance 3 (Baseline)" in notes
    assert "temperature" not in notes
    assert "Joint noise; +Extended" in notes.splitlines()[-1]


def test_an_empty_table_says_that_nothing_was_measured(printed):
    blank = build_table(
        description(), cells(baseline=(None, None), joint=(None, None), extended=(None, None)), printed, scale="paper"
    )
    assert "scale paper; nothing was measured" in tables.notes(blank)[0]
    assert "3.31" in tables.to_html(blank)


# ---- writers ---------------------------------------------------------------------------------------------------


def test_csv_round_trip(table, tmp_path):
    tables.write(table, tmp_path)
    frame = tables.read_csv(tmp_path / "table.csv")
    assert len(frame) == len(table.rows) * len(table.columns)
    for line in frame.to_dict("records"):
        key = next(key for key, label in table.rows if label == line["row"])
        cell = table.cells[key, line["column"]]
        for name in ("published", "measured"):
            expected = getattr(cell, name)
            assert (line[name] == expected) if expected is not None else (line[name] != line[name])
        assert line["measure_id"] == cell.measure_id
        assert line["artifact"] == cell.artifact
        assert line["scale"] == "pocket"
        assert line["extractor"] == ("" if cell.measured is None else "embedded")
        assert line["guidance"] == cell.measure["guidance"] if cell.measure else line["guidance"] != line["guidance"]


def test_summary_names_what_was_not_run(table, tmp_path):
    tables.write(table, tmp_path)
    text = tables.summary(tables.read_csv(tmp_path / "table.csv"))
    assert "Scale **pocket**, feature extractor `embedded`, 1000 samples per number: 6 of 9 cells" in text
    assert "- Not run: +Extended" in text


class Cells(HTMLParser):
    """Texts of all th and td, and their classes."""

    def __init__(self, html: str):
        super().__init__()
        self.cells, self.depth, self.open = [], 0, []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag in ("th", "td"):
            self.cells.append([tag, dict(attributes), ""])
            self.depth += 1
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.depth -= tag in ("th", "td")

    def handle_data(self, data):
        if self.depth:
            self.cells[-1][2] += data


def test_html_groups_headings_and_pairs_columns(table):
    parsed = Cells(tables.to_html(table))
    assert parsed.open == []
    heads = [(text.strip(), attributes.get("colspan")) for tag, attributes, text in parsed.cells if tag == "th"]
    assert heads[:7] == [
        ("Setup", None),
        ("MAR-B", "6"),
        ("w/ CFG", "4"),
        ("w/o CFG", "2"),
        ("FID ↓", "2"),
        ("IS ↑", "2"),
        ("FID ↓", "2"),
    ]
    assert [text for text, _ in heads[7:13]] == ["published", "measured"] * 3
    row = [(attributes["class"].split(), text.strip()) for tag, attributes, text in parsed.cells if tag == "td"][6:12]
    assert [classes[0] for classes, _ in row] == ["published", "measured"] * 3
    assert [text for _, text in row] == ["2.65", "40.12", "263.03", "3.50 ±\u200a0.10", "7.48", "55.50"]
    assert [("best" in classes) for classes, _ in row] == [False, True, False, True, True, True]


CHARACTERS = st.sampled_from("&<>\"'|*_`~^$#%{}[]\\-–γ±! aZ9/().+:;=@,")
SPECIAL = st.text(CHARACTERS, min_size=1, max_size=24).filter(str.strip)


def labelled(folder, label: str, title: str):
    frame = published_frame(folder, {label: PRINTED["Baseline"]})
    given_cells = cells(row=(metrics(45.5, 2.5), None))
    return build_table(description({"row": label}, title), given_cells, frame, scale="pocket")


@settings(max_examples=60, deadline=None)
@given(label=SPECIAL, title=SPECIAL)
def test_html_shows_any_label_as_it_is(tmp_path_factory, label, title):
    table = labelled(tmp_path_factory.mktemp("published"), label, title)
    parsed = Cells(tables.to_html(table))
    assert parsed.open == []
    body = [text for tag, attributes, text in parsed.cells if tag == "th" and attributes.get("scope") == "row"]
    assert body == [" ".join(label.split())]


def unescape_latex(text: str) -> str:
    """The inverse of escape_latex, by reading LaTeX: fails on any special character that is not escaped."""
    backward = {latex: character for character, latex in tables.LATEX_CHARACTERS.items()}
    tokens = sorted(map(re.escape, backward), key=len, reverse=True)
    plain = ""
    while text:
        match = re.match("|".join(tokens), text)
        if match:
            plain, text = plain + backward[match[0]], text[match.end() :]
        elif text.startswith("-{}"):
            plain, text = plain + "-", text[3:]
        else:
            assert text[0] not in "\\{}$&#%_^~", f"not escaped: {text!r}"
            plain, text = plain + text[0], text[1:]
    return plain


@settings(max_examples=200, deadline=None)
@given(text=SPECIAL)
def test_latex_escapes_and_nothing_is_lost(text):
    escaped = tables.escape_latex(text)
    assert unescape_latex(escaped) == " ".join(text.split())
    assert not re.search(r"--|^[\[*]", escaped)


@settings(max_examples=60, deadline=None)
@given(label=SPECIAL, title=SPECIAL)
def test_latex_is_balanced_whatever_the_labels(tmp_path_factory, label, title):
    text = tables.to_latex(labelled(tmp_path_factory.mktemp("published"), label, title))
    text = re.sub(r"(?<!\\)%.*", "", text)  # comments
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    bare = re.sub(r"\\[\\{}&#%_$]", "", text)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    rows = [line for line in text.splitlines() if line.endswith(" \\\\")]
    for row in rows:
        fields = re.sub(r"\\&", "", row).count("&") + 1
        spanned = sum(int(count) - 1 for count in re.findall(r"\\multicolumn\{(\d+)\}", row))
        assert fields + spanned == 1 + 2 * len(COLUMNS)


@settings(max_examples=100, deadline=None)
@given(label=SPECIAL)
def test_markdown_keeps_its_columns_whatever_the_label(tmp_path_factory, label):
    text = tables.to_markdown(labelled(tmp_path_factory.mktemp("published"), label, "Title"))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 3
    for line in lines:
        assert len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", line))) == 2 + 2 * len(COLUMNS)
    shown = re.sub(r"\\([\\`*_\[\]|~$^+#-])", r"\1", lines[2].split(" | 3.31")[0][2:])
    assert shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("\\", "") == (
        " ".join(label.split()).replace("\\", "")
    )


def test_equal_tables_are_equal_bytes(table, printed, tmp_path):
    again = build_table(description(), dict(reversed(usual_cells().items())), printed, scale="pocket")
    first, second = tables.write(table, tmp_path / "a"), tables.write(again, tmp_path / "b")
    assert [path.name for path in first] == ["table.csv", "table.md", "table.tex", "table.html"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_reporting_imports_no_torch():
    code = (
        "import sys; from tesserae.reporting import published, tables, figures, report, style; "
        "assert 'torch' not in sys.modules, 'torch'; assert 'matplotlib' not in sys.modules, 'matplotlib'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
