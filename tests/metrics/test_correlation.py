"""Correlations: SciPy's and numpy's by other roads, what they may not depend on, and the paper's printed block."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from tesserae.metrics import correlation
from tesserae.metrics.correlation import Unfit
from tests.conftest import ROOT

NUMBER = st.integers(-1000, 1000).map(lambda value: value / 8)


@st.composite
def pairs(draw, least=4, most=9):
    """Two varying columns (n,)."""
    n = draw(st.integers(least, most))
    x, y = (np.array(draw(st.lists(NUMBER, min_size=n, max_size=n))) for _ in range(2))
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    return x, y


def some(n=8, seed=0, seeds=None):
    """Two columns that go together somewhat, (n,) or (n, seeds)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n,) if seeds is None else (n, 1))
    shape = x.shape if seeds is None else (n, seeds)
    return x + 0.1 * rng.normal(size=shape), x + rng.normal(size=shape)


@given(pairs(), st.floats(0.01, 100), st.floats(-100, 100), st.randoms(use_true_random=False))
def test_r_is_numpys_and_knows_neither_unit_nor_order(both, scale, shift, random):
    x, y = both
    r, p = correlation.pearson(x, y)
    assert r == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9) and 0 <= p <= 1
    order = random.sample(range(len(x)), len(x))
    assert correlation.pearson(scale * x[order] + shift, -y[order]).r == pytest.approx(-r, abs=1e-6)
    assert correlation.pearson(y, x).r == pytest.approx(r, abs=1e-9)
    ranks = stats.rankdata(x), stats.rankdata(y)
    assert correlation.spearman(x, y).r == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-9)
    assert correlation.spearman(x**3, y).r == pytest.approx(correlation.spearman(x, y).r, abs=1e-9)


def test_p_is_that_of_students_t():
    x, y = some(7)
    r, p = correlation.pearson(x, y)
    t = r * np.sqrt(5 / (1 - r**2))
    assert p == pytest.approx(2 * stats.t.sf(abs(t), 5))


@given(pairs(least=5))
def test_leaving_one_out_is_its_own_r_each_time(both):
    x, y = both
    keep = [np.arange(len(x)) != i for i in range(len(x))]
    assume(all(np.ptp(x[one]) > 0 and np.ptp(y[one]) > 0 for one in keep))
    each = [correlation.pearson(x[one], y[one]).r for one in keep]
    assert correlation.leave_one_out(x, y) == pytest.approx((min(each), max(each)), abs=1e-9)


def test_what_hangs_on_one_tokenizer_is_said_to():
    x, y = np.array([1.0, 1, 1, 1, 5]), np.array([1.0, 2, 3, 4, 9])
    assert correlation.pearson(x, y).r > 0.9
    with pytest.raises(Unfit, match="hangs on one"):
        correlation.leave_one_out(x, y)


@given(pairs(least=6), st.integers(-50, 50), st.integers(-50, 50))
def test_what_groups_differ_by_is_gone(both, one, other):
    """It is r of the residuals of a regression on the group; moving a whole group moves nothing."""
    x, y = both
    groups = ["2D"] * 3 + ["1D"] * (len(x) - 3)
    of_group = np.array([[group == "2D", group == "1D"] for group in groups], dtype=float)
    left = [values - of_group @ np.linalg.lstsq(of_group, values, rcond=None)[0] for values in (x, y)]
    assume(all(np.ptp(values) > 1e-6 for values in left))
    r = correlation.centred(x, y, groups)
    assert r == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-6)
    moved = x + one * of_group[:, 0], y + other * of_group[:, 1]
    assert correlation.centred(*moved, groups) == pytest.approx(r, abs=1e-6)


def test_a_contrast_of_two_groups_is_no_correlation_within_them():
    x, y = np.array([1.0, 2, 1, 11, 12, 11]), np.array([2.0, 1, 1, 12, 11, 11])
    groups = ["2D"] * 3 + ["1D"] * 3
    assert correlation.pearson(x, y).r > 0.98 and correlation.centred(x, y, groups) == pytest.approx(-0.5)
    with pytest.raises(Unfit, match="one kind alone"):
        correlation.centred(x, y, ["2D"] * 6)
    with pytest.raises(Unfit, match="differ by kind alone"):
        correlation.centred([0.1, 0.1, 0.1, 0.7, 0.7, 0.7], y, groups)


def test_resamples_of_one_seed_are_scipys_paired_bootstrap():
    x, y = some(12)
    drawn = correlation.resampled({"x": x[:, None]}, y[:, None], resamples=20000, seed=0)["x"]
    theirs = stats.bootstrap(
        (x, y), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False, n_resamples=4000,
        method="percentile", rng=1,
    ).confidence_interval  # fmt: skip
    assert correlation.bounds(drawn) == pytest.approx((theirs.low, theirs.high), abs=0.04)


def test_a_draw_takes_the_same_tokenizers_and_seeds_of_all_columns():
    x, y = some(6, seeds=3)
    drawn = correlation.resampled({"x": x, "same": 5 * x + 1, "opposite": -x}, y, resamples=500, seed=3)
    there = np.isfinite(drawn["x"])
    assert drawn["same"][there] == pytest.approx(drawn["x"][there], abs=1e-9)
    assert drawn["opposite"][there] == pytest.approx(-drawn["x"][there], abs=1e-9)
    again = correlation.resampled({"x": x}, y, resamples=500, seed=3)["x"]
    assert np.array_equal(again, drawn["x"], equal_nan=True)
    # Seeds that say the same add nothing, and seeds that disagree widen the interval.
    alike = np.repeat(x.mean(axis=1, keepdims=True), 3, axis=1), np.repeat(y.mean(axis=1, keepdims=True), 3, axis=1)
    noisy = alike[0], alike[1] + np.array([[4.0, 0, -4]]) * np.array([1, -1, 1, -1, 1, -1])[:, None]
    width = [
        np.ptp(correlation.bounds(correlation.resampled({"x": x}, y, resamples=4000, seed=0)["x"]))
        for x, y in (alike, noisy)
    ]
    assert width[1] > 1.1 * width[0]


def test_draws_of_one_tokenizer_again_and_again_have_no_number():
    x, y = (values[:, None] for values in some(4))
    drawn = correlation.resampled({"x": x}, y, resamples=4000, seed=0)["x"]
    assert np.isnan(drawn).mean() == pytest.approx(4 / 4**4, abs=0.01)
    assert np.isfinite(correlation.bounds(drawn)).all()
    with pytest.raises(Unfit, match="no draw varies"):
        correlation.bounds(np.full(3, np.nan))


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_rounding_cannot_move_r_out_of_its_range(seed):
    rng = np.random.default_rng(seed)
    x, y = np.round(some(6, seed), 1)
    assume(np.ptp(x) > 0.2 and np.ptp(y) > 0.2)
    low, high = correlation.within_rounding(x, y, 0.1, np.full(6, 0.1))
    assert low <= correlation.pearson(x, y).r <= high
    for _ in range(200):
        corners = (0.05 * rng.choice([-1.0, 1.0], size=6) * rng.uniform(size=6) ** 0.2 for _ in range(2))
        one, other = (values + moved for values, moved in zip((x, y), corners, strict=True))
        assert low - 1e-6 <= np.corrcoef(one, other)[0, 1] <= high + 1e-6
    assert correlation.within_rounding(x, y, 0.0, 0.0) == pytest.approx((correlation.pearson(x, y).r,) * 2)


def test_numbers_without_a_correlation_are_refused():
    x, y = some(6)
    for one, other, why in (
        (x[:3], y[:3], "3 of 4 needed"),
        ([*x[:5], np.nan], y, "not finite"),
        ([*x[:5], np.inf], y, "not finite"),
        (np.full(6, 0.1), y, "all alike"),
        (x, [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3, 0.3], "all alike"),
    ):
        for what in (correlation.pearson, correlation.spearman, correlation.leave_one_out):
            with pytest.raises(Unfit, match=why):
                what(one, other)
        with pytest.raises(Unfit, match=why):
            pair = np.asarray(one)[:, None], np.asarray(other)[:, None]
            correlation.resampled({"x": pair[0]}, pair[1], resamples=2, seed=0)
    with pytest.raises(ValueError, match="as many"):
        correlation.pearson(x, y[:5])
    with pytest.raises(ValueError, match="as many"):
        correlation.resampled({"x": np.ones((6, 2))}, np.ones((6, 3)), resamples=2, seed=0)
    with pytest.raises(Unfit, match="before rounding"):
        correlation.within_rounding([0.1, 0.1, 0.1, 0.2], y[:4], 0.2, 0.1)


# ---- the paper's own numbers (its sheet's section 0) ------------------------------------------------------------

# Printed and, to two decimals, what the table's own cells give; after centring within 2D and 1D.
BLOCK = {
    ("Remote Sensing", "rFID"): (0.48, 0.4810),
    ("Remote Sensing", "AvgIG"): (0.93, 0.9352),
    ("Remote Sensing", "MC"): (0.87, 0.8803),
    ("Medical", "rFID"): (-0.18, -0.1871),
    ("Medical", "AvgIG"): (0.91, 0.9173),
    ("Medical", "MC"): (0.86, 0.8609),
    ("Text OCR", "rFID"): (0.62, 0.6197),
    ("Text OCR", "AvgIG"): (0.92, 0.9284),
    ("Text OCR", "MC"): (0.94, 0.9414),
}
CENTRED = {"AvgIG": (0.87, 0.83, 0.81), "MC": (0.90, 0.66, 0.40)}


def cells(table: str, column: str) -> dict[str, dict]:
    from tesserae.config.published import read

    lines = read(ROOT / "config/published/comptok.csv")
    return {
        line["row"]: line for line in lines if (line["table"], line["column"]) == (table, column) and line["printed"]
    }


def unit(line: dict) -> float:
    return 10.0 ** -len(line["printed"].partition(".")[2])


def test_the_printed_block_follows_from_the_printed_cells_up_to_their_rounding():
    off = 0
    for (domain, name), (printed, recomputed) in BLOCK.items():
        x, y = cells("Table 2", f"{domain} {name}"), cells("Table 2", f"{domain} Task")
        values = [x[row]["value"] for row in x], [y[row]["value"] for row in x]
        r, p = correlation.pearson(*values)
        assert len(x) == 8 and r == pytest.approx(recomputed, abs=5e-5)
        off += round(r, 2) != printed
        low, high = correlation.within_rounding(*values, [unit(x[row]) for row in x], [unit(y[row]) for row in x])
        assert low - 0.005 <= printed <= high + 0.005
        assert (p >= 0.10) if name == "rFID" else (p <= 0.007)
    assert off == 5


def test_much_of_the_block_is_a_contrast_of_two_kinds():
    for name, expected in CENTRED.items():
        for domain, r in zip(("Remote Sensing", "Medical", "Text OCR"), expected, strict=True):
            x, y = cells("Table 2", f"{domain} {name}"), cells("Table 2", f"{domain} Task")
            values = [x[row]["value"] for row in x], [y[row]["value"] for row in x]
            found = correlation.centred(*values, [line["group"] for line in x.values()])
            assert found == pytest.approx(r, abs=5e-3)
    x, y = cells("Table 2", "Text OCR MC"), cells("Table 2", "Text OCR Task")
    flat = [row for row in x if x[row]["group"].startswith("1D")]
    inside = correlation.pearson([x[row]["value"] for row in flat], [y[row]["value"] for row in flat])
    assert len(flat) == 4 and inside.r == pytest.approx(-0.69, abs=5e-3)


def test_table_1_speaks_for_the_two_diagnostics():
    y = cells("Table 1", "gFID")
    for name, r, rho in (("rFID", 0.604, 0.31), ("AvgIG", -0.840, -0.84), ("MC", -0.714, -0.83)):
        x = cells("Table 1", name)
        values = [x[row]["value"] for row in y], [y[row]["value"] for row in y]
        assert len(y) == 15 and correlation.pearson(*values).r == pytest.approx(r, abs=5e-4)
        assert correlation.spearman(*values).r == pytest.approx(rho, abs=6e-3)
        if name == "rFID":
            assert correlation.leave_one_out(*values).low == pytest.approx(0.240, abs=5e-4)  # without VQGAN
    both = ([cells("Table 1", name)[row]["value"] for row in y] for name in ("AvgIG", "MC"))
    assert correlation.pearson(*both).r == pytest.approx(0.93, abs=5e-3)
