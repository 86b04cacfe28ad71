"""What is read of a claim: the effect that is sought, the spread of its differences, and the seeds that tell it."""

import math

import pytest

from tesserae.deciding.power import pooled, seeds_needed, upper
from tesserae.deciding.undecided import Claim, Left, Spreads, Step, needed, paired_variance, read

PRINTED = {("T", "A", "FID"): 2.0, ("T", "B", "FID"): 4.0, ("T", "C", "FID"): 5.0, ("T", "D", "FID"): math.nan}


def cell(row: str, *values: float) -> dict:
    return {"table": "T", "row": row, "column": "FID", "values": list(values), "mean": sum(values) / len(values)}


def record(relation: str, *cells: dict, verdict: str = "inconclusive", **more) -> dict:
    """As claims.json has it, of numbers of several seeds."""
    differences = [
        [b - a for a, b in zip(one["values"], other["values"], strict=True)]
        for one, other in zip(cells, cells[1:], strict=False)
    ]
    steps = [{"differences": each, "sd": _sd(each)} for each in differences]
    told = {"id": "c-1", "claim": "A beats B", "relation": relation, "cells": list(cells), "steps": steps}
    return told | {"verdict": verdict, "reason": "why", "published": {"relative": 0.5}, "n": 3} | more


def _sd(each: list[float]) -> float | None:
    if len(each) < 2:
        return None
    mean = sum(each) / len(each)
    return math.sqrt(sum((one - mean) ** 2 for one in each) / (len(each) - 1))


def behind(seeds: int = 3) -> dict:
    return {
        place: {
            "artifacts": [
                f"metrics/{place[1].lower()}",
                *(f"metrics/{place[1].lower()}.seed{k}" for k in range(2, seeds + 1)),
            ],
            "value": "fid",
        }
        for place in PRINTED
    }


def claims(*records: dict) -> tuple[list[Claim], list[Left]]:
    return read("detok", records, behind(), PRINTED)


def test_the_effect_that_is_sought_is_the_published_one_at_the_size_of_the_measured_numbers():
    (claim,), left = claims(record("lt", cell("A", 100.0, 104.0, 99.0), cell("B", 120.0, 120.0, 120.0)))
    (step,) = claim.steps
    assert left == [] and claim.open and claim.seeds == 3
    assert step.sought == pytest.approx(120.0 * (4 - 2) / 4)  # relative to the right number
    assert step.size == pytest.approx((101 + 120) / 2) and step.n == 3
    assert claim.artifacts == ("metrics/a", "metrics/b") and claim.measures == ("metrics fid",)


def test_every_step_of_a_series_has_its_own_effect():
    numbers = cell("A", 10.0, 12.0, 11.0), cell("B", 30.0, 28.0, 31.0), cell("C", 33.0, 33.0, 36.0)
    (claim,), _ = claims(record("increasing", *numbers))
    assert [step.sought for step in claim.steps] == pytest.approx([11.0 * 2 / 2, 11.0 * 1 / 2])  # relative to the first
    found = needed(claim, Spreads([claim]))
    sd = pooled([(step.sd / step.size, 2) for step in claim.steps])[0]
    second = upper(sd, 4) * claim.steps[1].size
    assert found.sd == pytest.approx(second) and found.basis == "upper bound of 2 differences"
    assert found.seeds == seeds_needed(5.5 / second, 0.9)  # each step with 90 %, so that both have 80 %


def test_a_correlation_compares_its_two_coefficients():
    numbers = [cell(row, 1.0, 2.0) for row in "ABC"]
    told = {"steps": [{"differences": [0.1, 0.2], "sd": 0.07}], "correlations": [[0.8, 0.9], [0.7, 0.7]]}
    (claim,), _ = claims(record("stronger_correlation", *numbers, **told))
    assert claim.steps == (Step(1.0, 0.07, 2, pytest.approx(0.5 * 0.7)),)


def test_spreads_of_few_seeds_are_pooled_with_those_of_decided_claims():
    (claim, decided), _ = claims(
        record("lt", cell("A", 100.0, 104.0, 99.0), cell("B", 120.0, 120.0, 120.0)),
        record("lt", cell("B", *range(100, 108)), cell("C", *[104.0, 90.0] * 4), verdict="reproduced"),
    )
    assert not decided.open
    spread = Spreads([claim, decided]).of(claim, claim.steps[0])
    each = [(step.sd / step.size, step.n - 1) for step in (*claim.steps, *decided.steps)]
    assert spread == (pytest.approx(pooled(each)[0]), "pooled of 2 differences")
    own = Spreads([claim, decided]).of(decided, decided.steps[0])
    assert own == (pytest.approx(each[1][0]), "own")
    other = Claim("titok", "c", "", True, claim.steps, claim.measures, (), 3)
    assert Spreads([decided]).of(other, claim.steps[0]) is None  # another paper's


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (record("lt", cell("A", 1.0), cell("B", 2.0)), "run the first look"),
        (record("lt", cell("A", 1.0, 1.0), cell("B", 2.0, 2.0)), "the same for every seed"),
        (record("lt", cell("A", 1.0, 2.0), cell("D", 2.0, 2.5)), "only plotted"),
        (record("lt", cell("A", 1.0, 2.0), cell("A", 2.0, 2.5)), "equal in print"),
        (record("lt", cell("A", 1.0, 2.0), cell("B", 2.0, 3.0), studies=[{}]), "draws of tokenizers"),
        (record("lt", cell("A", 1.0, 2.0), cell("B", 2.0, 3.0), steps=[]), "why"),
    ],
)
def test_no_seeds_are_proposed_without_a_reason_to_expect_something_of_them(told, reason):
    (claim,), _ = claims(told)
    found = needed(claim, Spreads([claim]))
    assert isinstance(found, Left) and reason in found.reason


def test_claims_that_were_not_run_are_listed_apart():
    assert claims(record("lt", cell("A", 1.0), cell("B", 2.0), verdict="not run")) == (
        [],
        [Left("detok", "c-1", "not run", "why")],
    )


def test_differences_without_any_spread_need_two_seeds():
    (claim,), _ = claims(record("lt", cell("A", 1.0, 2.0, 4.0), cell("B", 2.0, 3.0, 5.0)))
    assert needed(claim, Spreads([claim])).seeds == 2


def test_what_pairing_by_seed_brings():
    shared = record("lt", cell("A", 1.0, 2.0, 3.0), cell("B", 3.0, 4.0, 5.0))
    assert paired_variance([shared]) == 0.0  # what moves one moves the other as much
    apart = record("lt", cell("A", 1.0, 3.0, 1.0, 3.0), cell("B", 4.0, 4.0, 6.0, 6.0))
    assert paired_variance([apart]) == pytest.approx(1.0)
    against = record("lt", cell("A", 1.0, 3.0), cell("B", 6.0, 4.0))
    assert paired_variance([against]) == pytest.approx(2.0)
    one = record("lt", cell("A", 1.0), cell("B", 2.0))
    constant = record("lt", cell("A", 1.0, 1.0), cell("B", 2.0, 3.0))
    assert paired_variance([one, constant, one | {"verdict": "not run"}]) is None
