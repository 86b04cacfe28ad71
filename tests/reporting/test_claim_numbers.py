"""Claims by the numbers that are there: of a scale that is run in part, what can be said is said."""

import json
from pathlib import Path

import pytest

from tesserae.reporting import claim_numbers

MEASURE = {"kind": "images", "extractor": "embedded", "samples": 500}
PRINTED = "table,group,row,subject,column,direction,value,note\n" + "".join(
    f"T,,{row},,FID,lower,{value},\n" for row, value in (("A", "2.0"), ("B", "3.0"), ("C", "4.0"))
)
SEEDS = {"A": [10.0, 10.2, 9.9], "B": [13.0, 13.3, 12.8], "C": [15.0, 15.1, 14.9]}


def name_of(row: str, seed: int, stage: str = "metrics") -> str:
    return f"{stage}/{row}" + (f".seed{seed}" if seed > 1 else "")


@pytest.fixture
def made(tmp_path) -> dict[str, Path]:
    """Artifacts of three rows and three seeds, and their controls."""
    folders = {}
    for row, values in SEEDS.items():
        for seed, value in enumerate(values, start=1):
            for stage, number in (("metrics", value), ("generation_control", 2 * value)):
                name = name_of(row, seed, stage)
                folders[name] = tmp_path / name
                folders[name].mkdir(parents=True)
                content = {"values": {"fid": number}, "measure": MEASURE}
                (folders[name] / "metrics.json").write_text(json.dumps(content))
    return folders


@pytest.fixture
def printed(tmp_path) -> Path:
    (tmp_path / "paper.csv").write_text(PRINTED)
    return tmp_path / "paper.csv"


@pytest.fixture
def spec() -> dict:
    cells = [
        {
            **{"table": "T", "row": row, "column": "FID", "value": "fid"},
            "artifacts": [name_of(row, seed) for seed in (1, 2, 3)],
            "controls": [name_of(row, seed, "generation_control") for seed in (1, 2, 3)],
        }
        for row in SEEDS
    ]
    claims = [
        {
            **{"id": f"{better}-{worse}", "claim": "better", "where": "Table 1", "relation": "lt", "margin": 0.0},
            **{"holds_in_print": True, "absent_within": 0.5, "absent_below": None},
            "cells": [("T", better, "FID"), ("T", worse, "FID")],
        }
        for better, worse in (("A", "B"), ("B", "C"))
    ]
    about = {"paper": "paper", "title": "P", "scale": "desk", "seeds": [1, 2, 3]}
    return {**about, "cells": cells, "claims": claims}


def judged(spec, there, printed) -> dict[str, dict]:
    narrowed = claim_numbers.so_far(spec, there)
    found = claim_numbers.evaluate(narrowed, there, printed)
    return {"seeds": found["seeds"]} | {record["id"]: record for record in found["claims"]}


def test_of_all_that_was_run_it_is_what_the_whole_says(spec, made, printed):
    whole = claim_numbers.evaluate(spec, made, printed)
    assert claim_numbers.evaluate(claim_numbers.so_far(spec, made), made, printed) == whole
    assert [record["verdict"] for record in whole["claims"]] == ["reproduced", "reproduced"]


def test_a_row_that_is_not_there_leaves_the_other_claims_alone(spec, made, printed):
    there = {name: folder for name, folder in made.items() if "/C" not in name}
    found, whole = judged(spec, there, printed)["A-B"], judged(spec, made, printed)["A-B"]
    assert found | {"holm": None} == whole | {"holm": None}
    assert found["holm"]["p"] == found["p"]  # the only one that was tested
    found = judged(spec, there, printed)
    assert (found["B-C"]["verdict"], found["B-C"]["reason"]) == ("not run", "not run yet (C)")


def test_fewer_seeds_are_fewer_seeds(spec, made, printed):
    there = {name: folder for name, folder in made.items() if not name.endswith("B.seed3")}
    found = judged(spec, there, printed)
    assert (found["A-B"]["seeds"], found["A-B"]["verdict"]) == ([1, 2], "inconclusive")
    assert found["seeds"] == [1, 2, 3]


def test_seeds_that_do_not_meet_say_nothing_yet(spec, made, printed):
    there = {name_of("A", 1): made[name_of("A", 1)], name_of("B", 2): made[name_of("B", 2)]}
    found = judged(spec, there, printed)
    assert (found["A-B"]["verdict"], found["A-B"]["reason"]) == ("not run", "its numbers have no seed in common")


def test_a_control_without_all_its_seeds_is_left_out(spec, made, printed):
    there = {name: folder for name, folder in made.items() if name != name_of("A", 2, "generation_control")}
    first, second = judged(spec, there, printed)["A-B"]["cells"]
    assert first["control"] is None and second["control"] == pytest.approx(2 * sum(SEEDS["B"]) / 3)


def test_nothing_is_there(spec, printed):
    found = judged(spec, {}, printed)
    assert {record["verdict"] for name, record in found.items() if name != "seeds"} == {"not run"}
