"""The page of what the last run changed."""

import pytest

from tesserae.reporting.changes import MOST, write
from tests.reporting.pages import Page

TABLE = {"table": "table/detok_table_1", "paper": "detok", "source": "Table 1", "title": "Are <b> & c better?"}
RUN = {
    "scale": "pocket",
    "started": "2026-01-05T10:11:12.345+00:00",
    "ended": "2026-01-05T10:21:12.345+00:00",
    "finished": True,
    "made": {"tokenizer": ["a", "b"], "table": ["detok_table_1"]},
    "again": 2,
    "seconds": 75.0,
    "reasons": [["tokenizer/a, b", ["gamma 3.0 → 2.0", "loss <x> changed"]]],
    "tables": [
        TABLE
        | {
            "first": False,
            "numbers": 30,
            "moved": [["Joint", "FID", 50.0, 45.0], ["Joint", "IS", None, 2.0], ["New/old", "IS", 0.0, 1.0]],
        }
    ],
    "verdicts": [
        {"paper": "detok", "claim": "t1-joint", "old": "inconclusive", "new": "reproduced"},
        {"paper": "detok", "claim": "t2-new", "old": None, "new": "not run"},
    ],
}


@pytest.fixture
def shown(tmp_path):
    return lambda **other: Page(write(tmp_path, RUN | other).read_text())


def test_what_was_made_what_moved_and_why(shown):
    page = shown()
    for expected in (
        "3 artifacts made or restored, 2 of them in the place of earlier ones; their jobs took 1 min 15 s. "
        "2026-01-05 10:11:12 UTC to 2026-01-05 10:21:12 UTC.",
        "tokenizer 2 · table 1",
        "t1-joint : ? inconclusive → ✓ reproduced",
        "t2-new : new → – not run",
        "detok, Table 1: Are <b> & c better? : 3 of 30 moved",
        "Joint FID 50 45 −10 % Joint IS – 2 New/old IS 0 1",
        "tokenizer/a, b: gamma 3.0 → 2.0; loss <x> changed",
    ):
        assert expected in page.words
    assert "did not finish" not in page.words


def test_its_links_lead_out_of_the_frame_to_claims_cells_and_tables(shown):
    page = shown()
    assert ("base", {"target": "_top"}) in [(tag, attributes) for tag, attributes, _ in page.elements]
    assert page.links == [
        "claims/detok/claims.html#t1-joint",
        "claims/detok/claims.html#t2-new",
        "page/detok/index.html#table-detok_table_1",
        *(
            f"lineage/detok/lineage.html#table/detok_table_1/{cell}"
            for cell in ("Joint/FID", "Joint/IS", "New%2Fold/IS")
        ),
    ]


def test_a_table_for_the_first_time_lists_no_numbers(shown):
    page = shown(tables=[TABLE | {"first": True, "numbers": 30, "moved": []}], reasons=[], verdicts=[])
    assert "30 numbers, for the first time" in page.words
    assert not {"Why", "Verdicts"} & set(page.words.split()) and "table" not in [tag for tag, *_ in page.elements]


def test_nothing_moved_and_a_run_that_failed(shown):
    assert "None moved in any table." in shown(tables=[]).words
    assert "The run did not finish" in shown(finished=False).words


def test_of_many_numbers_the_first_are_listed_and_the_rest_is_said(shown):
    moved = [["Row", f"Column {number}", 1.0, 2.0] for number in range(MOST + 5)]
    page = shown(tables=[TABLE | {"first": False, "numbers": 99, "moved": moved}])
    assert page.text.count("+100 %") == MOST and "and 5 more: changes.json has all" in page.words
