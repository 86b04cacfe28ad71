"""Tables: published and measured never mix, best is best by direction, and every writer escapes what it prints."""

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.reporting import escape, published, table_csv, table_files
from tesserae.reporting.notes import notes
from tesserae.reporting.published import PublishedError
from tesserae.reporting.seeds import over_seeds
from tesserae.reporting.table_files import best
from tesserae.reporting.tables import TableError, build_table
from tests.reporting.synthetic import COLUMNS, PRINTED, cells, description, metrics, published_frame, usual_cells

FID, IS, UNGUIDED = (column["name"] for column in COLUMNS)


@pytest.fixture
def printed(tmp_path):
    return published_frame(tmp_path)


@pytest.fixture
def table(printed):
    return build_table(description(), usual_cells(), printed, scale="pocket")


def said(table) -> list[str]:
    return table_files.notes(table, bold=any(best(table)))


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
    row = next(line for line in table_files.to_markdown(table).splitlines() if line.startswith("| +Extended"))
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
    assert "| 16.70 |" in table_files.to_markdown(table)


# ---- seeds -----------------------------------------------------------------------------------------------------


def of_three_seeds() -> dict:
    """`usual_cells` with three seeds each: FID 1 higher with each seed, and another guidance in the last."""

    def seeded(found):
        runs = [
            metrics(found["values"]["fid"] + k, found["values"]["is"], guidance=(3.0, 3.0, 4.0)[k]) for k in range(3)
        ]
        return over_seeds([run | {"measure": run["measure"] | {"seed": k}} for k, run in enumerate(runs)])

    return {place: found and seeded(found) for place, found in usual_cells().items()}


def test_seeds_are_a_mean_with_its_deviation(printed, tmp_path):
    table = build_table(description(), of_three_seeds(), printed, scale="pocket")
    cell = table.cells["baseline", FID]
    assert (cell.measured, cell.sd, cell.seeds, cell.deviation) == (46.5, 1.0, 3, None)
    assert (cell.shown, cell.spread) == ("46.50", "1.00")
    table_files.write(table, tmp_path)
    line = table_csv.read_csv(tmp_path / "table.csv").iloc[0]
    assert (line["measured"], line["sd"], line["n"], line["guidance"]) == (46.5, 1.0, 3, "3.0;3.0;4.0")
    notes = "\n".join(said(table))
    assert "means over 3 seeds ± the sample standard deviation" in notes
    assert "guidance 3, 3, 4, at the edge of the candidates (Baseline, Joint noise)" in notes
    assert "seed 0, 1, 2" in notes
    assert "over the splits" not in notes
    assert "46.50</a>" not in table_files.to_html(table) and "±&hairsp;1.00" in table_files.to_html(table)
    assert "| 46.50 ± 1.00 |" in table_files.to_markdown(table)


# ---- rows that are cited, cells that are not run ---------------------------------------------------------------


GROUPS = (
    "Table 1,distilled,VA,system,#params,none,675,\nTable 1,distilled,VA,system,FID,lower,1.42,\n"
    "Table 1,plain,Ours,system,#params,none,208,\nTable 1,plain,Ours,system,FID,lower,1.61,\n"
    "Table 1,plain,Large,system,FID,lower,1.43,\n"
)


def grouped(folder):
    """Two groups: a cited row, one of ours, and one that is not run and has no parameters."""
    path = folder / "paper.csv"
    path.write_text(f"{','.join(published.COLUMNS)}\n{GROUPS}")
    told = {
        "source": "Table 1",
        "title": "Systems",
        "rows": [["large", "Large"], ["ours", "Ours"]],
        "published_rows": ["VA"],
        "columns": [
            {
                "name": "#params",
                "direction": "none",
                "value": "parameters",
                "artifact": "sizes/{row}",
                "rows": ["ours"],
            },
            {"name": "FID", "direction": "lower", "value": "fid", "artifact": "metrics/{row}-cfg"},
        ],
        "missing": [{"row": "large", "column": "FID", "reason": "too large"}],
        "note": "Said below.",
    }
    measure = {"kind": "counted", "counted": "parameters in millions"}
    counted = {"values": {"parameters": 207.9248}, "measure": measure, "measure_id": "0", "selection": None}
    found = {("ours", "#params"): over_seeds([counted]), ("ours", "FID"): metrics(40.0, 2.0)}
    return told, found, published.load(path)


def test_rows_stand_in_the_papers_order_below_their_groups(tmp_path):
    table = build_table(*grouped(tmp_path), scale="smoke")
    assert [label for _, label in table.rows] == ["VA", "Ours", "Large"]
    html, markdown, latex = table_files.to_html(table), table_files.to_markdown(table), table_files.to_latex(table)
    assert Cells(html).open == []
    assert re.findall(r'scope="row(?:group)?"><?(?:span>)?([^<]*)', html) == [
        "distilled",
        "VA",
        "plain",
        "Ours",
        "Large",
    ]
    assert [line for line in markdown.splitlines() if line.startswith("|")][2:] == [
        "| *distilled* |  |  |  |  |",
        "| VA | 675 | — | **1.42** | — |",
        "| *plain* |  |  |  |  |",
        "| Ours | 208 | 207.92 | 1.61 | 40.00 |",
        "| Large |  |  | 1.43 | too large |",
    ]
    assert "\\multicolumn{5}{l}{\\textit{distilled}} \\\\" in latex


def test_what_is_cited_not_run_or_no_number_is_told_apart(tmp_path):
    table = build_table(*grouped(tmp_path), scale="smoke")
    notes = said(table)
    assert "Not run at scale smoke (too large): Large (FID)." in notes
    assert "—: cited by the paper, not run here." in notes
    assert notes[-1] == "Said below."
    assert "#params: parameters in millions; FID: extractor embedded" in notes[0]
    told, *given = grouped(tmp_path)
    notes = said(build_table(told | {"contradictions": ["3. 1.42 is\n printed twice."]}, *given, scale="smoke"))
    assert notes[-2:] == ["Said below.", "Contradiction 3. 1.42 is printed twice."]
    assert 'title="too large">too large</td>' in table_files.to_html(table)
    table_files.write(table, tmp_path)
    text = table_csv.summary(table_csv.read_csv(tmp_path / "table.csv"))
    assert "2 of 3 cells are measured.\n- Not run: Large" in text
    assert "VA" not in text


def test_a_number_where_nothing_is_run_raises(tmp_path):
    told, found, printed = grouped(tmp_path)
    with pytest.raises(TableError, match="there are numbers, though too large"):
        build_table(told, found | {("large", "FID"): metrics(1.0, 1.0)}, printed, scale="smoke")


def test_a_table_of_which_the_paper_prints_nothing_says_so(tmp_path):
    silent = published_frame(tmp_path, dict.fromkeys(PRINTED, ("", "", "")))
    table = build_table(description(title="Does it help?"), usual_cells(), silent, scale="smoke")
    assert said(table)[0].startswith("The paper prints no number (Table 1). Measured: scale smoke")
    assert "Does it help?</caption>" in table_files.to_html(table)


def test_a_table_of_which_the_paper_prints_nothing_shows_measured_numbers_alone(tmp_path):
    silent = published_frame(tmp_path, dict.fromkeys(PRINTED, ("", "", "")))
    table = build_table(description(), usual_cells(), silent, scale="smoke")
    header, _, *rows = [line for line in table_files.to_markdown(table).splitlines() if line.startswith("|")]
    assert header == f"| Setup | {FID} ↓ | {IS} ↑ | {UNGUIDED} ↓ |"
    assert {line.count(" | ") for line in rows} == {3} and len(rows) == len(PRINTED)
    parsed = Cells(table_files.to_html(table))
    assert parsed.open == [] and not any(text in ("published", "measured") for _, _, text in parsed.cells)
    assert {attributes["class"].split()[0] for tag, attributes, _ in parsed.cells if tag == "td"} == {"measured"}
    latex = table_files.to_latex(table)
    assert "Measured at scale smoke.}" in latex and "publ." not in latex
    for row in (line for line in latex.splitlines() if line.endswith(" \\\\")):
        spanned = sum(int(count) - 1 for count in re.findall(r"\\multicolumn\{(\d+)\}", row))
        assert row.count(" & ") + 1 + spanned == 4
    assert "Bold: the best of its column." in said(table)


# ---- wide tables -----------------------------------------------------------------------------------------------


def wide(folder):
    """Two rows of five systems with FID and IS each: too wide for published and measured side by side."""
    names = [f"G{number} {metric}" for number in range(5) for metric in ("FID", "IS")]
    path = folder / "paper.csv"
    lines = [f"Table 2,g,{row},s,{name},lower,1.50," for row in ("One", "Two") for name in names]
    path.write_text("\n".join([",".join(published.COLUMNS), *lines]) + "\n")
    columns = [{"name": name, "direction": "lower", "value": "fid", "artifact": "metrics/{row}"} for name in names]
    told = {"source": "Table 2", "title": "Wide", "rows": {"a": "One", "b": "Two"}, "columns": columns}
    found = {(row, name): metrics(40.0 + (row == "b"), 2.0) for row in "ab" for name in names}
    return build_table(told, found, published.load(path), scale="pocket")


def test_a_wide_table_has_a_line_for_each_kind(tmp_path):
    table = wide(tmp_path)
    lines = [line for line in table_files.to_markdown(table).splitlines() if line.startswith("|")][2:]
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| One", "published", "**1.50**"],
        ["| ", "measured", "**40.00**"],
        ["| Two", "published", "**1.50**"],
        ["| ", "measured", "41.00"],
    ]
    assert {len(line.split(" | ")) for line in lines} == {12}
    parsed = Cells(table_files.to_html(table))
    assert parsed.open == []
    spans = [(text, attributes.get("colspan")) for tag, attributes, text in parsed.cells if tag == "th"]
    assert spans[2:7] == [(f"G{number}", "2") for number in range(5)]
    latex = [line for line in table_files.to_latex(table).splitlines() if line.endswith(" \\\\")]
    for row in latex:
        spanned = sum(int(count) - 1 for count in re.findall(r"\\multicolumn\{(\d+)\}", row))
        assert row.count(" & ") + 1 + spanned == 12


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
    silent = replace(table, columns=tuple(replace(column, direction="none") for column in table.columns))
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


def test_a_column_may_say_in_what_its_rows_differ_and_its_notes_say_how(printed):
    mixed = usual_cells()
    mixed["joint", FID] = metrics(1.0, 1.0, guidance=4.0, reference="other")
    told = description()
    next(column for column in told["columns"] if column["name"] == FID)["varies"] = ["reference"]
    lines = notes(build_table(told, mixed, printed, scale="pocket"), bold=True)
    (line,) = [line for line in lines if line.startswith(f"{FID}: rows differ in their reference, as the paper's do: ")]
    assert "other (Joint noise)" in line
    mixed["joint", FID] = metrics(1.0, 1.0, guidance=4.0, rounding="round")
    with pytest.raises(TableError, match="mixes measures: rounding"):
        build_table(told, mixed, printed, scale="pocket")


@pytest.mark.parametrize(("field", "value"), [("samples", 500), ("rounding", "round"), ("sampler", {"steps": 8})])
def test_two_measures_in_one_column_raise_and_name_the_field(printed, field, value):
    mixed = usual_cells()
    mixed["joint", FID] = metrics(1.0, 1.0, guidance=4.0, **{field: value})
    with pytest.raises(TableError, match=rf"'MAR-B w/ CFG FID' mixes measures: {field} "):
        build_table(description(), mixed, printed, scale="pocket")


def test_reported_numbers_are_notes_and_in_no_cell(printed, table):
    one = {"row": "Baseline", "column": FID, "value": "98.7654", "published": "3.31", "source": "somebody/code#8"}
    one |= {"date": "2025-12-16"}
    reported = [one, one | {"value": "98.7", "source": "somebody/code#9"}, one | {"column": IS, "published": ""}]
    found = build_table(description() | {"reported": reported}, usual_cells(), printed, scale="pocket")
    lines = [line for line in said(found) if line.startswith("Reported elsewhere, not measured here: ")]
    assert lines == [
        f"Reported elsewhere, not measured here: Baseline, {FID}, published 3.31: 98.7654 (somebody/code#8, "
        "2025-12-16), 98.7 (somebody/code#9, 2025-12-16).",
        f"Reported elsewhere, not measured here: Baseline, {IS}: 98.7654 (somebody/code#8, 2025-12-16).",
    ]
    assert (found.cells, best(found)) == (table.cells, best(table))
    assert "98.7" not in table_csv.to_csv(found) and "98.7" in table_files.to_markdown(found)


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
    notes = "\n".join(said(table))
    for expected in (
        "Measured: scale pocket; extractor embedded (layer 320), 1000 samples per number",
        "not comparable in absolute value",
        "MAR-B w/ CFG: guidance 3 (Baseline); guidance 4, at the edge of the candidates (Joint noise); "
        "selected by the lowest FID on 256 samples among 1, 2, 3, 4.",
        "MAR-B w/o CFG: guidance 1, temperature 0.97 (Baseline, Joint noise); fixed, nothing was selected.",
        "MAR-B w/ CFG ab12cd34ef567890",
        "Not run at scale pocket (–): +Extended.",
        "Each number is of one training seed",
    ):
        assert expected in notes


def test_a_temperature_that_the_sampler_does_not_know_is_not_mentioned(printed):
    flow = cells(baseline=(metrics(1.0, 1.0, temperature=None), None), joint=(None, None), extended=(None, None))
    notes = "\n".join(said(build_table(description(), flow, printed, scale="pocket")))
    assert "guidance 3 (Baseline)" in notes
    assert "temperature" not in notes
    assert "(–): Baseline (MAR-B w/o CFG); Joint noise; +Extended." in notes.splitlines()[-1]


def test_an_empty_table_says_that_nothing_was_measured(printed):
    blank = build_table(
        description(), cells(baseline=(None, None), joint=(None, None), extended=(None, None)), printed, scale="paper"
    )
    assert "scale paper; nothing was measured" in said(blank)[0]
    assert said(blank)[0].startswith("Published: printed in the paper (Table 1).")
    assert "3.31" in table_files.to_html(blank)


# ---- writers ---------------------------------------------------------------------------------------------------


def test_csv_round_trip(table, tmp_path):
    table_files.write(table, tmp_path)
    frame = table_csv.read_csv(tmp_path / "table.csv")
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
        assert line["guidance"] == (str(cell.measure["guidance"]) if cell.measure else "")
        assert (line["n"] == 1) == (cell.measured is not None)


def test_summary_names_what_was_not_run(table, tmp_path):
    table_files.write(table, tmp_path)
    text = table_csv.summary(table_csv.read_csv(tmp_path / "table.csv"))
    assert "Scale **pocket**, feature extractor `embedded`, 1000 samples per number, seeds: 1: 6 of 9 cells" in text
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
    parsed = Cells(table_files.to_html(table))
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
    parsed = Cells(table_files.to_html(table))
    assert parsed.open == []
    body = [text for tag, attributes, text in parsed.cells if tag == "th" and attributes.get("scope") == "row"]
    assert body == [" ".join(label.split())]


def unescape_latex(text: str) -> str:
    """The inverse of escape_latex, by reading LaTeX: fails on any special character that is not escaped."""
    backward = {latex: character for character, latex in escape.LATEX_CHARACTERS.items()}
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
    escaped = escape.escape_latex(text)
    assert unescape_latex(escaped) == " ".join(text.split())
    assert not re.search(r"--|^[\[*]", escaped)


@settings(max_examples=60, deadline=None)
@given(label=SPECIAL, title=SPECIAL)
def test_latex_is_balanced_whatever_the_labels(tmp_path_factory, label, title):
    text = table_files.to_latex(labelled(tmp_path_factory.mktemp("published"), label, title))
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
    text = table_files.to_markdown(labelled(tmp_path_factory.mktemp("published"), label, "Title"))
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
    first, second = table_files.write(table, tmp_path / "a"), table_files.write(again, tmp_path / "b")
    assert [path.name for path in first] == ["table.csv", "table.md", "table.tex", "table.html"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_reporting_imports_no_torch():
    code = (
        "import sys; from tesserae.reporting import curves, published, report, seeds, tables; "
        "from tesserae.reporting.figures import denoising, concepts, guidance_curves; "
        "assert 'torch' not in sys.modules, 'torch'; assert 'matplotlib' not in sys.modules, 'matplotlib'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- what is ours ----------------------------------------------------------------------------------------------


def test_a_row_of_ours_stands_where_the_configuration_puts_it_and_says_so(tmp_path):
    told, found, frame = grouped(tmp_path)
    told["rows"] = [["ours", "Ours"], ["strong", "Strong & new"], ["large", "Large"]]
    told["columns"][0]["rows"].append("strong")
    sized = {**found["ours", "#params"], "values": {"parameters": 9.0}}
    found |= {("strong", "#params"): sized, ("strong", "FID"): metrics(30.0, 2.0)}
    with pytest.raises(PublishedError, match="no row 'Strong & new'"):
        build_table(told, found, frame, scale="smoke")
    table = build_table(told | {"own_rows": ["strong"]}, found, frame, scale="smoke")
    assert [label for _, label in table.rows] == ["VA", "Ours", "Strong & new", "Large"]
    assert table.groups["strong"] == table.groups["ours"] == "plain"
    markdown, html, latex = table_files.to_markdown(table), table_files.to_html(table), table_files.to_latex(table)
    assert "| Strong &amp; new (ours) | – | 9.00 | – | **30.00** |" in markdown
    assert ">Strong &amp; new (ours)</th>" in html and "Strong \\& new (ours) &" in latex
    assert "(ours): not in the paper's table." in said(table)
    line = next(line for line in table_csv.to_csv(table).splitlines() if "Strong" in line and "FID" in line)
    assert line.startswith("Table 1,Strong & new,FID,lower,,30.0,images,embedded,smoke,")


def test_a_row_of_ours_may_be_the_first(tmp_path):
    told, found, frame = grouped(tmp_path)
    told |= {"rows": [["mine", "Mine"], *told["rows"]], "own_rows": ["mine"]}
    found |= {("mine", "FID"): metrics(30.0, 2.0)}
    table = build_table(told, found, frame, scale="smoke")
    assert [label for _, label in table.rows] == ["Mine", "VA", "Ours", "Large"] and table.groups["mine"] == "distilled"


def test_a_column_of_ours_needs_no_published_line(printed):
    own = {**COLUMNS[0], "name": "MAR-B w/ CFG Rec.", "direction": "higher", "value": "recall", "own": True}
    found = usual_cells() | {(key, own["name"]): usual_cells()[key, FID] for key in ("baseline", "joint", "extended")}
    told = description() | {"columns": [*COLUMNS, own]}
    table = build_table(told, found, printed, scale="pocket")
    header = table_files.to_markdown(table).splitlines()[2]
    assert "MAR-B w/ CFG Rec. (ours) ↑" in header and "FID (ours)" not in header
    assert ">Rec. (ours) ↑</th>" in table_files.to_html(table)
    assert table.cells["joint", own["name"]].shown == "0.250"
    told["columns"] = [*COLUMNS, own | {"own": False}]
    with pytest.raises(PublishedError, match=r"no column 'MAR-B w/ CFG Rec\.'"):
        build_table(told, found, printed, scale="pocket")


def test_a_table_of_ours_has_rows_in_the_order_of_the_configuration(printed):
    rows = {"joint": "Joint", "baseline": "Base"}
    told = description(rows) | {"source": "Own table A", "own": True}
    found = {key: value for key, value in usual_cells().items() if key[0] in rows}
    table = build_table(told, found, printed, scale="pocket")
    assert [label for _, label in table.rows] == ["Joint", "Base"] and table.kinds == ("measured",)
    assert set(table.groups.values()) == {""} and "(ours)" not in table_files.to_markdown(table)
    assert said(table)[0].startswith("The paper prints no number (Own table A).")


@pytest.mark.parametrize(
    ("digits", "expected"), [(0, ("46", "0")), (4, ("45.5000", "0.1000")), (None, ("45.50", "0.10"))]
)
def test_a_column_says_how_many_digits_it_shows(printed, digits, expected):
    told = description() | {"columns": [COLUMNS[0] | {"digits": digits}, COLUMNS[1] | {"digits": digits}]}
    table = build_table(told, usual_cells(), printed, scale="pocket")
    assert (table.cells["baseline", FID].shown, table.cells["baseline", IS].spread) == expected


def test_numbers_of_concepts_are_said_to_be_of_their_set_and_no_extractor(printed):
    measure = {"kind": "concepts", "concept_set": "topk_sae-emoji", "samples": 64, "reference": "emoji-32 val"}
    numbers = {"values": {"f1": 0.5}, "measure": measure, "measure_id": "ab", "selection": None}
    column = {"name": "F1", "direction": "higher", "value": "f1", "artifact": "concept_f1/{row}"}
    told = {**description({"a": "A", "b": "B"}), "columns": [column], "own": True}
    table = build_table(told, {("a", "F1"): numbers, ("b", "F1"): numbers}, printed, scale="pocket")
    text = " ".join(said(table))
    assert "concepts of topk_sae-emoji, 64 samples per number" in text and "extractor" not in text
    assert "different scales or sets of concepts are not comparable" in text
    other = {**numbers, "measure": measure | {"concept_set": "topk_sae-coco"}}
    with pytest.raises(TableError, match="mixes sets of concepts: topk_sae-emoji"):
        build_table(told, {("a", "F1"): numbers, ("b", "F1"): other}, printed, scale="pocket")
    with pytest.raises(TableError, match="mixes kinds of measures: concepts"):
        build_table(
            told,
            {("a", "F1"): numbers, ("b", "F1"): {**numbers, "measure": {"kind": "counted", "counted": "x"}}},
            printed,
            scale="pocket",
        )
