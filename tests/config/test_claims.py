"""Claims are read as they are printed, and what is not a claim is refused with file, claim and key."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tesserae.config.claims import Claims, Correlation, Order, Series, read_claims
from tesserae.config.errors import ConfigError
from tests.conftest import ROOT

ORDER = """
- id: a-1
  claim: Noise helps.
  where: Table 1
  relation: lt
  left: {table: Table 1, row: Joint, column: FID}
  right: {table: Table 1, row: Base, column: FID}
  margin: 1
  holds_in_print: true
"""
SERIES = """
- id: a-2
  claim: More is better.
  where: Figure 2
  relation: decreasing
  series: {table: Figure 2, rows: [one, two, three], column: FID}
  margin: null
  holds_in_print: null
"""
CORRELATION = """
- id: a-3
  claim: IG predicts it.
  where: Table 2
  relation: stronger_correlation
  correlate: {table: Table 2, rows: [a, b, c], column: IG, against: gFID}
  than: {column: rFID}
  margin: 0.2
  holds_in_print: false
"""


def read(folder: Path, text: str):
    (folder / "p.claims.yaml").write_text(text)
    return read_claims(folder, Path("p.claims.yaml"))


def test_the_three_kinds_and_the_cells_they_are_about(tmp_path):
    order, series, correlation = read(tmp_path, ORDER + SERIES + CORRELATION)
    assert (type(order), type(series), type(correlation)) == (Order, Series, Correlation)
    assert order.cells() == [("Table 1", "Joint", "FID"), ("Table 1", "Base", "FID")]
    assert [row for _, row, _ in series.cells()] == ["one", "two", "three"]
    assert [(row, column) for _, row, column in correlation.cells()] == [
        *(("a", "IG"), ("b", "IG"), ("c", "IG")),
        *(("a", "gFID"), ("b", "gFID"), ("c", "gFID")),
        *(("a", "rFID"), ("b", "rFID"), ("c", "rFID")),
    ]
    assert series.plain() == {
        "id": "a-2",
        "claim": "More is better.",
        "where": "Figure 2",
        "relation": "decreasing",
        "margin": None,
        "holds_in_print": None,
        "absent_within": None,
        "absent_below": None,
        "cells": [["Figure 2", row, "FID"] for row in ("one", "two", "three")],
    }


def test_an_effect_is_absent_within_half_the_published_one_unless_its_claim_says_otherwise(tmp_path):
    def bounds(text: str) -> tuple[float | None, float | None]:
        (claim,) = read(tmp_path, text)
        return claim.plain()["absent_within"], claim.plain()["absent_below"]

    assert bounds(ORDER) == (0.5, None)
    assert bounds(ORDER + "  absent_within: 0.25\n") == (0.25, None)
    assert bounds(ORDER + "  absent_below: 0.02\n") == (None, 0.02)
    assert bounds(SERIES) == (None, None) and bounds(SERIES + "  absent_below: 0.02\n") == (None, 0.02)
    assert bounds(ORDER.replace("margin: 1", "margin: 0")) == (None, None)  # half of nothing


@pytest.mark.parametrize(
    "old, new, key, problem",
    [
        ("relation: lt", "relation: less", "a-1.relation", "unknown relation 'less'"),
        ("relation: lt", "relation: increasing", "a-1.series", "Field required"),
        ("relation: lt", "relation: [lt]", "a-1.relation", "unknown relation"),
        ("  where: Table 1\n", "", "a-1.where", "Field required"),
        ("where: Table 1", "where: Table 1\n  wehre: x", "a-1.wehre", "Extra inputs"),
        ("column: FID}\n  right", "colum: FID}\n  right", "a-1.left.column", "Field required"),
        ("row: Base", "row: ''", "a-1.right.row", "at least 1 character"),
        ("margin: 1", "margin: -1", "a-1.margin", "greater than or equal to 0"),
        ("margin: 1", "margin: '1'", "a-1.margin", "valid number"),
        ("holds_in_print: true", "holds_in_print: 1", "a-1.holds_in_print", "valid boolean"),
        ("margin: 1", "margin: 1\n  absent_within: 0", "a-1.absent_within", "greater than 0"),
        ("margin: 1", "margin: 1\n  absent_within: 1.5", "a-1.absent_within", "less than or equal to 1"),
        ("margin: 1", "margin: 1\n  absent_below: -0.1", "a-1.absent_below", "greater than 0"),
        ("margin: 1", "margin: 1\n  absent_within: 0.5\n  absent_below: 0.1", "a-1", "two bounds of one effect"),
        ("margin: 1", "margin: 0\n  absent_within: 0.5", "a-1", "there is none: give absent_below"),
        ("margin: null", "margin: null\n  absent_within: 0.5", "a-2", "there is none: give absent_below"),
        ("id: a-1", "id: A 1", "A 1.id", "should match pattern"),
        ("id: a-1", "id: a-2", "a-2", "an id of two claims"),
        ("- id: a-1\n  claim", "- claim", "claim 1.id", "Field required"),
        ("rows: [one, two, three]", "rows: [one]", "a-2.series.rows", "at least 2 items"),
        ("rows: [a, b, c]", "rows: [a, b]", "a-3.correlate.rows", "at least 3 items"),
        ("than: {column: rFID}", "than: rFID", "a-3.than", "valid dictionary"),
        ("- id: a-1", "- nonsense\n- id: a-1", "claim 1.relation", "unknown relation None"),
        ("claim: Noise helps.", "claim: x\n  claim: y", "line 2", "'claim' stands twice"),
    ],
)
def test_what_is_no_claim_is_named(tmp_path, old, new, key, problem):
    text = (ORDER + SERIES + CORRELATION).replace(old, new, 1)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert (caught.value.file, caught.value.key) == ("p.claims.yaml", key)
    assert problem in caught.value.problem


def test_a_file_must_be_a_list_and_be_there(tmp_path):
    with pytest.raises(ConfigError, match="expected a list at the top"):
        read(tmp_path, "claims: []")
    with pytest.raises(ConfigError, match=r"^q.claims.yaml: no such file"):
        read_claims(tmp_path, Path("q.claims.yaml"))


def test_l_detoks_claims_are_those_of_its_tables_and_figures():
    claims = read_claims(ROOT, Path("config/published/detok.claims.yaml"))
    assert len(claims) == 30
    kinds = [type(claim) for claim in claims]
    assert (kinds.count(Order), kinds.count(Series)) == (27, 3)
    assert claims[0].plain()["cells"] == [
        ["Table 1", "Joint noise", "MAR-B w/ CFG FID"],
        ["Table 1", "Baseline", "MAR-B w/ CFG FID"],
    ]


def test_editors_get_a_schema_that_tells_the_kinds_apart():
    schema = TypeAdapter(Claims).json_schema()
    assert set(schema["items"]["discriminator"]["mapping"]) == {
        *("lt", "le", "gt", "ge"),
        *("increasing", "decreasing", "stronger_correlation"),
    }
