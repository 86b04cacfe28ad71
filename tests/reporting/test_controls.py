"""Controls in tables: beside each number, at the foot, and the marks that follow from them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae.lineage.cells import beats
from tesserae.reporting import claims, table_csv, table_files
from tesserae.reporting.notes import caveats, notes
from tesserae.reporting.table_files import best
from tesserae.reporting.tables import CONTROLS, TableError, build_table
from tests.reporting.synthetic import COLUMNS, control, description, metrics, published_frame

FID, IS, UNGUIDED = (column["name"] for column in COLUMNS)
CELLS = {"baseline": (45.5, 2.5), "joint": (40.0, 3.5)}  # FID and IS of a row
BESIDE = {"baseline": (44.0, 2.0), "joint": (50.0, 1.5)}
FOOT = {"real": (5.0, 9.0), "mean": (90.0, 1.0)}


def told() -> dict:
    """A table whose rows have controls, and two at its foot."""
    known = [f"metrics/mar_b_{row}-{kind}" for row in CELLS for kind in ("cfg", "nocfg")]
    columns = [
        {**column, "rows": [*CELLS, "extended", *FOOT], "artifacts": {key: f"image_control/{key}" for key in FOOT}}
        for column in COLUMNS
    ]
    return description() | {
        "rows": {"baseline": "Baseline", "joint": "Joint noise", "extended": "+Extended", **{
            "real": "Real images (control)", "mean": "Mean colour (control)"
        }},
        "columns": columns,
        "controls": {name: f"generation_control/{name.split('_')[-1].split('-')[0]}" for name in known},
        "control_rows": list(FOOT),
        "missing": [{"row": "extended", "column": name, "reason": "too dear"} for name in (FID, IS, UNGUIDED)],
    }  # fmt: skip


def built(folder, beside=BESIDE, cells=CELLS, foot=FOOT, **measure):
    found = {(row, name): metrics(*numbers) for row, numbers in cells.items() for name in (FID, IS, UNGUIDED)}
    found |= {(row, name): control(*numbers) for row, numbers in foot.items() for name in (FID, IS, UNGUIDED)}
    given_ = {(row, name): control(*beside[row], **measure) for row in cells for name in (FID, IS, UNGUIDED)}
    frame = published_frame(folder)
    return build_table(told(), found, frame, scale="pocket", recipe="t", controls=given_)


def test_a_number_that_does_not_beat_its_control_is_marked_in_every_format(tmp_path):
    table = built(tmp_path)
    behind = {place for place, cell in table.cells.items() if cell.behind}
    assert behind == {("baseline", FID), ("baseline", UNGUIDED)}
    markdown = table_files.to_markdown(table)
    assert "| 45.50†<br>control 44.00 |" in markdown and "| **40.00**<br>control 50.00 |" in markdown
    assert r"\shortstack[r]{45.50\dag{}\\{\scriptsize control 44.00}}" in table_files.to_latex(table)
    html = table_files.to_html(table)
    assert re.search(r'<td class="measured behind"[^>]*><a [^>]*>45\.50†</a>', html)
    assert re.search(r'<td class="measured best"[^>]*><a [^>]*>40\.00</a>', html)
    link = re.search(
        r'title="control: a Gaussian of the tokens \(generation_control/baseline\)"><a href="([^"]+)"', html
    )
    assert link[1] == "../../lineage/detok/lineage.html#generation_control/baseline"
    table_files.write(table, tmp_path)
    frame = table_csv.read_csv(tmp_path / "table.csv").set_index(["row", "column"])
    assert frame.loc[("Baseline", FID), ["control", "behind"]].tolist() == [44.0, "yes"]
    assert frame.loc[("Joint noise", IS), ["control", "behind"]].tolist() == [1.5, "no"]
    assert frame.loc[("+Extended", FID), "behind"] == "" and frame.loc[("Mean colour (control)", FID), "behind"] == ""
    assert table_csv.summary(table_csv.read_csv(tmp_path / "table.csv")).count("6 of 9 cells are measured") == 1


def test_controls_stand_at_the_foot_and_compete_with_nobody(tmp_path):
    table = built(tmp_path)
    assert [key for key, _ in table.rows] == ["baseline", "joint", "extended", "real", "mean"]
    assert [table.groups[key] for key in ("joint", "real", "mean")] == ["", CONTROLS, CONTROLS]
    _, measured = best(table)
    assert {key for key, _ in measured} == {"joint"}
    lines = table_files.to_markdown(table).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"| *{CONTROLS}*"))
    assert lines[at + 1].startswith("| Real images (control) |  | 5.00 |")
    assert "(ours) (control)" not in "".join(lines)
    assert not any(cell.published for (key, _), cell in table.cells.items() if key in FOOT)


def test_below_the_table_stands_what_they_are_and_what_marks_mean(tmp_path):
    said = notes(built(tmp_path), bold=True)
    assert any(line.startswith("Control (ours)") and line.endswith("a Gaussian of the tokens.") for line in said)
    assert "†: does not beat its control." in said and "Mean colour (control): a Gaussian of the tokens." in said
    assert "Each number is of one training seed: a difference between rows may be chance." in said
    assert not any("carry no information" in line for line in said)


def test_a_column_where_no_number_beats_its_control_says_so(tmp_path):
    table = built(tmp_path, beside={"baseline": (44.0, 2.0), "joint": (39.0, 1.5)})
    line = f"No number beats its control, so that these columns carry no information: {FID}, MAR-B w/o CFG."
    assert caveats(table) == ["†: does not beat its control.", line]
    html = table_files.html_fragment(table)
    assert html.index(line) < html.index("<details>")  # seen without opening anything
    assert html.count(line) == 1


def test_tables_without_controls_say_nothing_of_them(tmp_path):
    plain = {**description(), "rows": {"baseline": "Baseline", "joint": "Joint noise", "extended": "+Extended"}}
    found = {(row, name): metrics(*CELLS.get(row, (1.0, 1.0))) for row in plain["rows"] for name in (FID, IS, UNGUIDED)}
    text = table_files.to_markdown(build_table(plain, found, published_frame(tmp_path), scale="pocket"))
    assert "ontrol" not in text and "†" not in text


@given(st.floats(0.1, 1e3), st.floats(0.1, 1e3))
def test_marks_follow_the_direction(number, other):
    assert beats(number, other, "lower") == beats(other, number, "higher")
    assert not (beats(number, other, "lower") and beats(number, other, "higher"))
    assert not beats(number, number, "lower") and not beats(number, number, "higher")  # equal is not better


@pytest.mark.parametrize(
    ("measure", "told_"),
    [
        ({"rounding": "round"}, "rounding truncate and round"),
        ({"extractor": "inception"}, "extractor embedded and inception"),
        ({"reference": "other train"}, "reference emoji-32 train and other train"),
        ({"sampler": {"steps": 3}}, "is no control"),
    ],
)
def test_a_control_that_was_measured_otherwise_is_refused(tmp_path, measure, told_):
    with pytest.raises(TableError, match=told_):
        built(tmp_path, **measure)


def test_a_control_that_is_not_there_is_refused(tmp_path):
    found = {(row, name): metrics(*numbers) for row, numbers in CELLS.items() for name in (FID, IS, UNGUIDED)}
    found |= {(row, name): control(*numbers) for row, numbers in FOOT.items() for name in (FID, IS, UNGUIDED)}
    with pytest.raises(TableError, match="its control, generation_control/baseline, has no 'fid'"):
        build_table(told(), found, published_frame(tmp_path), scale="pocket")


def test_controls_at_the_foot_are_measured_as_the_rows_are(tmp_path):
    found = {(row, name): metrics(*numbers) for row, numbers in CELLS.items() for name in (FID, IS, UNGUIDED)}
    found |= {(row, name): control(1.0, 1.0, layer="2048") for row in FOOT for name in (FID, IS, UNGUIDED)}
    beside = {(row, name): control(*BESIDE[row]) for row in CELLS for name in (FID, IS, UNGUIDED)}
    with pytest.raises(TableError, match=r"row 'Real images .control.': the control was measured otherwise: layer"):
        build_table(told(), found, published_frame(tmp_path), scale="pocket", controls=beside)


# ---- what ± is ---------------------------------------------------------------------------------------------------


def test_spreads_are_told_apart(tmp_path):
    found = {
        (row, name): metrics(*numbers) | {"deviation": {"is": 0.1, "fid": 1.25}}
        for row, numbers in CELLS.items()
        for name in (FID, IS, UNGUIDED)
    }
    found |= {(row, name): control(*numbers) for row, numbers in FOOT.items() for name in (FID, IS, UNGUIDED)}
    beside = {(row, name): control(*BESIDE[row]) for row in CELLS for name in (FID, IS, UNGUIDED)}
    table = build_table(told(), found, published_frame(tmp_path), scale="pocket", controls=beside)
    assert "45.50† ± 1.25<br>control 44.00" in table_files.to_markdown(table)
    (line,) = [line for line in notes(table, bold=False) if line.startswith("±")]
    assert "of IS over the splits" in line and "of FID over draws of as many images, by a jackknife" in line


# ---- claims ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("controls", "behind"), [((44.0, 39.0), True), ((44.0, 50.0), False), ((44.0, None), False), ((None, None), False)]
)
def test_a_claim_says_that_none_of_its_numbers_beats_its_control(tmp_path, controls, behind):
    places = [("Table 1", row, FID) for row in ("Joint noise", "Baseline")]
    claim = {"id": "c", "claim": "It is lower.", "where": "Table 1", "relation": "lt", "margin": None}
    claim |= {"holds_in_print": True, "cells": [list(place) for place in places]}
    measure = metrics(1.0, 1.0)["measure"]
    cells = {
        place: {
            "values": [value],
            "measures": [measure],
            "artifacts": ["m"],
            "controls": [] if worth is None else [worth],
        }
        for place, value, worth in zip(places, (40.0, 45.5), reversed(controls), strict=True)
    }
    record = claims.evaluate(claim, cells, published_frame(tmp_path))
    assert record["verdict"] == "inconclusive"  # the verdict is the same
    assert record["reason"].endswith(claims.NOTHING_BEATS) == behind
