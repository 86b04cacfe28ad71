"""Looks: over all of them a claim errs in one case of twenty, whoever stops when; levels are of the exact law of t."""

import math

import numpy as np
import pytest
from benchmarks import looks as exact
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import stdtr, stdtrit

from tesserae.reporting import sequential, study_claims, verdicts
from tesserae.reporting.sequential import ERROR, LOOKS

CORRELATION = {"relation": "stronger_correlation", "published": None}
RUNS = 40_000
# Three standard errors of a share of about ERROR among RUNS.
CHANCE = 3 * math.sqrt(ERROR * (1 - ERROR) / RUNS)


def t_at_looks(numbers: np.ndarray) -> np.ndarray:
    """Student's t of numbers (runs, 20) at each look: (runs, looks)."""
    found = [numbers[:, :n].mean(axis=1) / numbers[:, :n].std(axis=1, ddof=1) * n**0.5 for n in LOOKS]
    return np.stack(found, axis=1)


def bounds(error: float) -> np.ndarray:
    """What t has to reach at each look."""
    return np.array([sequential.quantile(at, error) for at in LOOKS])


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(20).standard_normal((RUNS, LOOKS[-1]))


# ------------------------------------------------------------------------------------------------ the false verdicts
def test_who_stops_at_the_verdict_that_pleases_him_errs_in_one_case_of_twenty(noise):
    """No effect: reproduced or contradicted at any look, as often as stated; by plain t three times as often."""
    t = t_at_looks(noise)
    share = (np.abs(t) >= bounds(ERROR / 2)).any(axis=1).mean()
    assert ERROR - 2 * CHANCE < share < ERROR + CHANCE
    plain = np.array([-stdtrit(at - 1, ERROR / 2) for at in LOOKS])
    assert (np.abs(t) >= plain).any(axis=1).mean() > 0.13


BOUND = 0.5  # of the relative effect, within which one is absent
WRONG = {0.0: ("reproduced", "contradicted"), 0.25: ("contradicted",), BOUND: ("absent", "contradicted")}


def words_at_looks(differences: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The word of each run at each look, of numbers (runs, 20): the rules of the verdict, by t tests alone."""
    t, low, high = (t_at_looks(one) for one in (differences, BOUND * base + differences, BOUND * base - differences))
    absent = (low >= bounds(ERROR)) & (high >= bounds(ERROR))
    words = np.where(absent, "absent", "inconclusive")
    return np.where(t >= bounds(ERROR / 2), "reproduced", np.where(-t >= bounds(ERROR / 2), "contradicted", words))


@pytest.mark.parametrize("effect", WRONG)
@pytest.mark.parametrize("spread", [0.05, 0.3, 2.0])
def test_whatever_the_effect_hardly_any_word_is_ever_wrong(noise, effect, spread):
    """All wrong words at all looks together; what effects are relative to varies over seeds as well."""
    base = 1 + 0.1 * np.random.default_rng(3).standard_normal(noise.shape)
    wrong = np.isin(words_at_looks(effect * base + spread * noise, base), WRONG[effect]).any(axis=1)
    assert wrong.mean() < ERROR + CHANCE


def test_the_code_gives_those_words(noise):
    """So that the shares of wrong ones are its own."""
    base = 1 + 0.1 * np.random.default_rng(3).standard_normal(noise.shape)
    numbers = base[:150] * np.linspace(-0.6, 0.6, 150)[:, None] + 0.2 * noise[:150]
    found = []
    for differences, beside in zip(numbers.tolist(), base.tolist()):
        for at in LOOKS:
            step = verdicts.estimate(differences[:at], False)
            told = {"relation": "lt", "verdict": step["verdict"], "reason": ""}
            between = verdicts.relative_bounds(differences[:at], beside[:at])
            small = between is not None and between[0] > -BOUND and between[1] < BOUND
            told |= verdicts.of_size(told, bound=BOUND, reach=BOUND, p=0.0, small=small)
            found.append(told["verdict"])
    expected = words_at_looks(numbers, base[:150]).ravel().tolist()
    assert found == expected and {*expected} == {"reproduced", "contradicted", "absent", "inconclusive"}


def test_a_series_errs_no_more_often_than_one_step(noise):
    """No effect between any of five rows: one contradicted step of four is enough, and still rare."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((5, RUNS // 4, LOOKS[-1]))
    t = np.stack([t_at_looks(b - a) for a, b in zip(rows, rows[1:])])  # (steps, runs, looks)
    contradicted = (-t >= bounds(ERROR / 2 / 4)).any(axis=0)
    reproduced = (t >= bounds(ERROR / 2)).all(axis=0)
    assert (contradicted | reproduced).any(axis=1).mean() < ERROR + 2 * CHANCE
    unadjusted = (-t >= bounds(ERROR / 2)).any(axis=(0, 2))
    assert unadjusted.mean() > 1.4 * ERROR  # what the wider side is for


def test_correlations_that_do_not_differ_rarely_get_a_verdict(monkeypatch):
    """Draws of tokenizers and seeds, of two predictors that are as good as each other, at two looks."""
    monkeypatch.setattr(study_claims, "RESAMPLES", 1000)
    rng, runs, wrong = np.random.default_rng(8), 250, 0
    for _ in range(runs):
        true = rng.multivariate_normal(np.zeros(3), [[1, 0.8, 0.6], [0.8, 1, 0.8], [0.6, 0.8, 1]], size=10)
        numbers = true.T[:, :, None] + 0.3 * rng.standard_normal((3, 10, 8))
        cells = numbers.reshape(30, 8).tolist()
        words = [study_claims.of_rows(CORRELATION, [cell[:at] for cell in cells], at)["verdict"] for at in (3, 8)]
        wrong += "reproduced" in words or "contradicted" in words
    assert wrong / runs < ERROR


# ------------------------------------------------------------------------------------------------------- the power
def test_more_seeds_find_what_three_leave_open(noise):
    """An effect as large as its spread: three seeds alone find a tenth, all looks nearly all."""
    found = np.logical_or.accumulate(t_at_looks(noise[:10_000] + 1.0) >= bounds(ERROR / 2), axis=1).mean(axis=0)
    plain = (t_at_looks(noise[:10_000] + 1.0)[:, 0] >= -stdtrit(2, ERROR / 2)).mean()  # t of three seeds, never again
    assert found[0] < plain < 0.2 < found[2] and found[-1] > 0.9
    assert (np.diff(found) > 0.05).all()


# ------------------------------------------------------------------------------------------------------- the levels
def test_absent_is_found_once_there_are_seeds_enough(noise):
    """No effect, and a bound of twice the spread: three seeds show that rarely, eight mostly."""
    base = np.ones_like(noise[:5000])
    found = (words_at_looks(BOUND / 2 * noise[:5000], base) == "absent").mean(axis=0)
    assert found[0] < 0.5 and found[2] > 0.9


@pytest.fixture(scope="module")
def steps():
    return exact.transitions(160)


def test_levels_are_those_of_the_exact_law_of_t(steps):
    """Integrated anew, coarsely; between the kept levels, too."""
    for error in (0.05, 0.025, 0.035, 0.004):
        levels = [sequential.level(at, error) for at in LOOKS]
        assert exact.crossing(steps, levels) == pytest.approx(error, rel=0.02)


def test_few_errors_are_shared_out_evenly_at_last():
    """Far out looks hardly agree by chance: the second half of the error is shared by four of them."""
    assert sequential.level(20, 1e-7) == pytest.approx(1e-7 / 8, rel=0.1)


@given(st.floats(1e-9, 0.49), st.sampled_from(LOOKS))
def test_p_values_are_levels_backwards(error, at):
    assert sequential.over_looks(at, sequential.level(at, error)) == pytest.approx(error, rel=1e-9)
    assert sequential.level(at, error) < sequential.level(at, 1.01 * error) <= 1.01 * error


def test_the_last_look_reached_counts():
    assert [sequential.look(n) for n in (0, 1, 2, 3, 4, 5, 7, 8, 19, 20, 99)] == [None] * 3 + [
        3,
        3,
        5,
        5,
        8,
        12,
        20,
        20,
    ]
    assert sequential.over_looks(3, 0.0) == 0.0 and sequential.over_looks(8, 0.9) == 1.0


# ---------------------------------------------------------------------------------------------------- the estimates
def of_look(limit: float):
    return st.sampled_from(LOOKS[:3]).flatmap(
        lambda n: st.lists(st.floats(-limit, limit).map(lambda x: round(x, 3)), min_size=n, max_size=n)
    )


MIRRORED = {"reproduced": "contradicted", "contradicted": "reproduced", "inconclusive": "inconclusive"}


@given(of_look(100), st.floats(0.01, 100))
def test_verdicts_know_neither_unit_nor_side(differences, unit):
    assume(not verdicts.still(differences))
    one = verdicts.estimate(differences, False)
    other = verdicts.estimate([-value for value in differences], False)
    assert other["verdict"] == MIRRORED[one["verdict"]] and other["p_for"] == one["p_against"]
    scaled = verdicts.estimate([unit * value for value in differences], False)
    assert scaled["p_for"] == pytest.approx(one["p_for"], rel=1e-6)
    assert scaled["interval"] == pytest.approx([unit * bound for bound in one["interval"]], rel=1e-6, abs=1e-6)


@given(of_look(10), st.floats(0.01, 100))
def test_a_larger_effect_is_never_less_sure(differences, shift):
    """All differences moved by as much: the spread is the same, the effect larger."""
    assume(not verdicts.still(differences))
    one, other = (verdicts.estimate([value + by for value in differences], False) for by in (0.0, shift))
    assert other["p_for"] <= one["p_for"] * (1 + 1e-6) and other["p_against"] >= one["p_against"] * (1 - 1e-6)
    assert (one["verdict"], other["verdict"]) not in (("reproduced", "inconclusive"), ("inconclusive", "contradicted"))


@given(of_look(10))
def test_verdict_interval_and_p_value_agree(differences):
    assume(not verdicts.still(differences))
    for among in (1, 3):
        found = verdicts.estimate(differences, False, among=among)
        assume(all(abs(found[key] - ERROR) > 1e-6 for key in ("p_for", "p_against")))
        assert (found["p_for"] < ERROR) == (found["interval"][0] > 0) == (found["verdict"] == "reproduced")
        assert (found["p_against"] < ERROR) == (found["interval"][1] < 0) == (found["verdict"] == "contradicted")


def test_at_five_seeds_by_hand():
    """With the functions of another library: mean 2, of four degrees of freedom."""
    found = verdicts.estimate([1.0, 1.5, 2.0, 2.5, 3.0], False)
    t = 2 / (stats.tstd([1.0, 1.5, 2.0, 2.5, 3.0]) / 5**0.5)
    assert found["p_for"] == pytest.approx(2 * sequential.over_looks(5, float(stdtr(4, -t))))
    low, high = stats.t.interval(1 - 2 * sequential.level(5, 0.025), 4, 2, stats.sem([1.0, 1.5, 2.0, 2.5, 3.0]))
    assert found["interval"] == pytest.approx([low, high])


# ----------------------------------------------------------------------------------------------------- many claims
def test_holm_as_it_is_worked_out_by_hand():
    """The smallest of four p values counts fourfold, the next threefold, and none less than one before it."""
    assert verdicts.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert verdicts.holm([0.6, 0.5]) == [1.0, 1.0] and verdicts.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_lies_between_nothing_and_bonferroni(p):
    found = verdicts.holm(p)
    assert all(one <= adjusted <= min(1.0, len(p) * one) + 1e-12 for one, adjusted in zip(p, found))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(found)[order]) >= 0).all()
