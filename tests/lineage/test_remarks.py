"""Decisions and departures are found whole, wherever they stand."""

from tesserae.lineage.remarks import Found, collect
from tests.conftest import ROOT


def test_remarks_are_found_whole(tmp_path):
    (tmp_path / "a.py").write_text(
        "x = 1  # DECISION: one line\ny = 2  # no remark\n# DEPARTS: begins here\n#   and goes on\nz = 3\n"
    )
    assert collect({"a.py": tmp_path / "a.py"}) == [
        Found("DECISION", "a.py:1", "one line"),
        Found("DEPARTS", "a.py:3", "begins here and goes on"),
    ]


def test_the_recipes_of_the_paper_name_their_guesses():
    found = collect({name: ROOT / name for name in ("config/papers/detok.yaml", "config/scales/pocket.yaml")})
    assert {remark.word for remark in found} == {"DECISION", "DEPARTS"}
    assert any("official code" in remark.text for remark in found)
