"""Verdicts: signs right way round, one seed decides nothing, intervals are those of looks, the page says it."""

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from tesserae.cli.claims import claims as command
from tesserae.config.claims import read_claims
from tesserae.config.seeds import of_seed, of_seeds
from tesserae.reporting import claims, claims_files, published, verdicts
from tesserae.reporting.tables import TableError
from tesserae.stages.claims import run
from tests.conftest import ROOT
from tests.reporting.pages import Page

ROWS = ("A", "B", "C", "D")
COLUMNS = ("FID", "IG", "rFID")
SWAPPED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
OPPOSITE = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt"}
ENDS = {"reproduced": "contradicted", "contradicted": "reproduced", "inconclusive": "inconclusive"}
FIDS = st.lists(st.floats(0.5, 500), min_size=3, max_size=3, unique=True)


@pytest.fixture(scope="session")
def printed(tmp_path_factory):
    """Printed: FID of A to D is 4, 3, 2, 1; their IG 4, 3, 2, 1; their rFID 1, 3, 1, 2. Of P nothing is printed."""
    lines = [",".join(published.COLUMNS), "T,,P,,FID,lower,,plotted only"]
    numbers = {"FID": (4, 3, 2, 1), "IG": (4, 3, 2, 1), "rFID": (1, 3, 1, 2)}
    lines += [
        f"T,,{row},,{column},lower,{value},"
        for column, values in numbers.items()
        for row, value in zip(ROWS, values, strict=True)
    ]
    path = tmp_path_factory.mktemp("published") / "paper.csv"
    path.write_text("\n".join(lines) + "\n")
    return published.load(path)


def claim(relation: str, *cells: str | tuple[str, str], name: str = "c-1") -> dict:
    """Cells by row, of the column FID, or by row and column."""
    keys = [["T", *((cell, "FID") if isinstance(cell, str) else cell)] for cell in cells]
    text = {"id": name, "claim": f"It is <{relation}>.", "where": "Table T", "margin": 1.0, "holds_in_print": True}
    return {**text, "relation": relation, "cells": keys}


def measured(**rows) -> dict:
    """Cells of the column FID from the numbers of each row."""
    return {("T", row, "FID"): {"values": values} for row, values in rows.items()}


def judge(printed, relation: str, **rows) -> dict:
    return claims.evaluate(claim(relation, *rows), measured(**rows), printed)


# ------------------------------------------------------------------------------------------------------- signs
def test_the_papers_own_numbers_have_the_printed_margin_and_sign():
    """Printed by hand in the claims file, computed here: a flipped sign contradicts holds_in_print."""
    checked = 0
    for file in sorted((ROOT / "config" / "published").glob("*.claims.yaml")):
        frame = published.load(file.with_name(file.name.replace(".claims.yaml", ".csv")))
        for one in (found.plain() for found in read_claims(ROOT, file.relative_to(ROOT))):
            numbers = [published.lookup(frame, *key) for key in one["cells"]]
            if None in numbers:
                assert (one["margin"], one["holds_in_print"]) == (None, None), one["id"]
                continue
            steps = claims.steps(one["relation"], [[number] for number in numbers])
            holds = all(d > 0 or (d == 0 and one["relation"] in ("le", "ge")) for (d,) in steps)
            assert holds == one["holds_in_print"], one["id"]
            assert abs(sum(d for (d,) in steps)) == pytest.approx(one["margin"], abs=6e-4), one["id"]
            checked += 1
    assert checked >= 23


LOW, HIGH = [1.0, 1.1, 0.9], [3.0, 3.2, 3.1]


@pytest.mark.parametrize("relation", ["lt", "le", "gt", "ge"])
def test_what_is_plainly_lower_is_lower(printed, relation):
    below = relation in ("lt", "le")
    found = judge(printed, relation, A=LOW, B=HIGH)
    assert found["verdict"] == ("reproduced" if below else "contradicted")
    assert found["effect"]["mean"] == pytest.approx(2.1 if below else -2.1)
    assert found["effect"]["differences"] == pytest.approx([2.0, 2.1, 2.2] if below else [-2.0, -2.1, -2.2])
    assert found["relative"] == pytest.approx((2.1 if below else -2.1) / 3.1)
    assert found["effect"]["standardised"] == pytest.approx(21 if below else -21)


@settings(max_examples=60)
@given(left=FIDS, right=FIDS, relation=st.sampled_from(list(SWAPPED)))
def test_sides_can_be_swapped_and_the_opposite_has_the_opposite_verdict(printed, left, right, relation):
    found = judge(printed, relation, A=left, B=right)
    swapped = claims.evaluate(claim(SWAPPED[relation], "B", "A"), measured(A=left, B=right), printed)
    assert (swapped["verdict"], swapped["effect"]) == (found["verdict"], found["effect"])
    against = judge(printed, OPPOSITE[relation], A=left, B=right)
    assert against["verdict"] == ENDS[found["verdict"]]
    assert against["effect"]["mean"] == -found["effect"]["mean"]


@given(left=st.floats(-1e3, 1e3), right=st.floats(-1e3, 1e3), relation=st.sampled_from(list(SWAPPED)))
def test_one_seed_decides_nothing(printed, left, right, relation):
    found = judge(printed, relation, A=[left], B=[right])
    assert (found["verdict"], found["n"], found["effect"]["interval"]) == ("inconclusive", 1, None)
    true = {"lt": left < right, "le": left <= right, "gt": left > right, "ge": left >= right}[relation]
    assert found["reason"] == f"one seed: no interval; the sign {'supports' if true else 'opposes'} the claim"


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3))
def test_the_interval_at_three_seeds_is_students_of_half_the_error(differences):
    """Half of 5 % is spent there: a plain interval of 97.5 %."""
    assume(len({round(d, 3) for d in differences}) > 1)
    expected = stats.ttest_1samp(differences, 0.0).confidence_interval(0.975)
    found = verdicts.estimate(differences, False)
    assert found["interval"] == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)
    p = min(1.0, 2 * stats.ttest_1samp(differences, 0.0).pvalue)
    assert verdicts.p_of([found]) == pytest.approx(p, rel=1e-6)


def test_seeds_are_paired(printed):
    """A gain of one on top of a large variation over seeds: certain in pairs, lost if pairs are mixed up."""
    base = [10.0, 20.0, 30.0]
    gain = [value - shift for value, shift in zip(base, (1.0, 1.1, 0.9), strict=True)]
    assert judge(printed, "lt", A=gain, B=base)["verdict"] == "reproduced"
    assert judge(printed, "lt", A=gain, B=base[1:] + base[:1])["verdict"] == "inconclusive"


def test_the_same_difference_in_all_seeds_is_one_number(printed):
    """Of what two rows share to the last bit no interval tells anything: it would have the width nought."""
    for relation, sign in (("lt", "opposes"), ("gt", "opposes"), ("le", "supports"), ("ge", "supports")):
        found = judge(printed, relation, A=HIGH, B=HIGH)
        assert (found["verdict"], found["p"], found["effect"]["interval"]) == ("inconclusive", None, None)
        assert found["reason"] == f"the difference is the same for every seed: no interval; the sign {sign} the claim"
    shifted = judge(printed, "lt", A=HIGH, B=[value + 0.1 for value in HIGH])  # but for rounding
    assert (shifted["verdict"], shifted["effect"]["standardised"]) == ("inconclusive", None)


# ------------------------------------------------------------------------------------------------------- looks
def test_two_seeds_are_too_few(printed):
    found = judge(printed, "lt", A=LOW[:2], B=HIGH[:2])
    assert (found["verdict"], found["n"], found["p"]) == ("inconclusive", 2, None)
    assert found["reason"] == "2 seeds of the 3 needed: no interval; the sign supports the claim"


def test_between_two_looks_the_earlier_one_stands(printed):
    """The fourth seed, whatever it says, is heard at five."""
    three = judge(printed, "lt", A=LOW, B=HIGH)
    four = judge(printed, "lt", A=[*LOW, 100.0], B=[*HIGH, 0.0])
    assert (four["n"], four["seeds"], four["verdict"]) == (3, [1, 2, 3], "reproduced")
    assert four["effect"] == three["effect"]
    assert four["reason"].endswith("; judged by 3 of 4 seeds, as far as its last look")
    five = judge(printed, "lt", A=[*LOW, 100.0, 1.0], B=[*HIGH, 0.0, 3.0])
    assert (five["n"], five["verdict"]) == (5, "inconclusive")


def seeded(values: list[float], seeds: list[int] | None) -> dict:
    return {"values": values, "seeds": seeds}


def test_a_claim_is_about_the_seeds_that_all_its_numbers_have(printed):
    """Matched by number, not by place."""
    cells = {
        ("T", "A", "FID"): seeded([9.0, *LOW], [1, 2, 3, 5]),
        ("T", "B", "FID"): seeded([*HIGH, 9.0], [2, 3, 5, 7]),
    }
    found = claims.evaluate(claim("lt", "A", "B"), cells, printed)
    assert (found["seeds"], found["effect"]["differences"]) == ([2, 3, 5], pytest.approx([2.0, 2.1, 2.2]))
    cells["T", "B", "FID"] = seeded([3.0], [2])  # of one seed: no number for the others
    one = claims.evaluate(claim("lt", "A", "B"), cells, printed)
    assert (one["n"], one["effect"]["differences"], one["verdict"]) == (1, [2.0], "inconclusive")
    cells["T", "B", "FID"] = seeded([3.0], None)  # which no seed changes: it stands beside each of them
    beside = claims.evaluate(claim("lt", "A", "B"), cells, printed)
    assert (beside["n"], beside["effect"]["differences"]) == (3, pytest.approx([-6.0, 2.0, 1.9]))
    cells["T", "B", "FID"] = seeded([3.0], [4])
    apart = claims.evaluate(claim("lt", "A", "B"), cells, printed)
    assert (apart["verdict"], apart["reason"]) == ("not run", "its numbers have no seed in common")


# ------------------------------------------------------------------------------------------------ small effects
TINY = [40.0, 40.4, 39.5], [40.2, 40.3, 39.6]  # differences of a hundredth of the number compared with, both ways


def test_an_effect_far_below_the_published_one_is_absent(printed):
    """Printed: 4 above 3, a third of it. Measured: half a percent more or less."""
    told = claim("gt", "A", "B") | {"absent_within": 0.5}
    found = claims.evaluate(told, measured(A=TINY[0], B=TINY[1]), printed)
    assert found["absent"]["bound"] == pytest.approx(1 / 6) and found["small"]
    assert found["verdict"] == "absent" and found["p"] == found["absent"]["p"] <= 0.05
    assert found["reason"] == "the whole 90 % interval lies within ±16.7 %"
    low, high = found["relative_interval"]
    assert -1 / 6 < low < found["relative"] < high < 1 / 6
    narrow = claims.evaluate(told | {"absent_within": 0.02}, measured(A=TINY[0], B=TINY[1]), printed)
    assert (narrow["verdict"], narrow["small"]) == ("inconclusive", False) and narrow["absent"]["p"] > 0.05
    without = judge(printed, "gt", A=TINY[0], B=TINY[1])
    assert (without["verdict"], without["absent"]) == ("inconclusive", None)


def test_a_sign_that_shows_goes_before_a_size_that_is_small(printed):
    cells = measured(A=[40.2, 40.62, 39.71], B=[40.0, 40.4, 39.5])
    for relation, word in (("gt", "reproduced"), ("lt", "contradicted")):
        found = claims.evaluate(claim(relation, "A", "B") | {"absent_within": 0.5}, cells, printed)
        assert (found["verdict"], found["small"]) == (word, True)
        assert found["reason"].endswith(" the claim, though the effect is small: within ±16.7 %")


def test_what_is_only_plotted_has_a_bound_of_its_own_or_none(printed):
    cells = measured(A=TINY[0], P=TINY[1])
    half = claims.evaluate(claim("gt", "A", "P") | {"absent_within": 0.5}, cells, printed)
    assert (half["verdict"], half["absent"]) == ("inconclusive", None)
    own = claims.evaluate(claim("gt", "A", "P") | {"absent_below": 0.1}, cells, printed)
    assert (own["verdict"], own["absent"]["bound"]) == ("absent", 0.1)


@settings(max_examples=60)
@given(
    differences=st.lists(st.floats(-200, 200), min_size=3, max_size=3, unique=True),
    base=st.lists(st.floats(400, 500), min_size=3, max_size=3),
)
def test_the_relative_interval_is_the_one_of_two_one_sided_tests(differences, base):
    """Fieller's interval holds every ratio that neither test rejects: one calculation against the other."""
    found = verdicts.relative_bounds(differences, base)
    assume(found is not None)
    reach = max(map(abs, found))
    assume(reach > 1e-9)
    assert (
        verdicts.p_within(differences, base, 1.001 * reach)
        <= 0.05
        <= verdicts.p_within(differences, base, 0.999 * reach)
    )
    ratio = sum(differences) / sum(base)
    assert found[0] - 1e-9 <= ratio <= found[1] + 1e-9


def test_no_relative_interval_of_a_base_that_may_be_zero():
    assert verdicts.relative_bounds([1.0, 1.1, 0.9], [1.0, -1.2, 0.3]) is None
    assert verdicts.relative_bounds([1.0, 1.0, 1.0], [5.0, 5.1, 5.2]) is None  # no interval of the differences either
    low, high = verdicts.relative_bounds([1.0, 1.1, 0.9], [-5.0, -5.0, -5.0])  # relative to the size of the number
    assert low < 0.2 < high


# ------------------------------------------------------------------------------------------------------ series
@settings(max_examples=30)
@given(rows=st.lists(FIDS, min_size=3, max_size=4), relation=st.sampled_from(["increasing", "decreasing"]))
def test_a_series_is_its_steps(printed, rows, relation):
    named = dict(zip(ROWS, rows, strict=False))
    found = judge(printed, relation, **named)
    step = {"increasing": "lt", "decreasing": "gt"}[relation]
    pairs = [judge(printed, step, **{a: named[a], b: named[b]}) for a, b in zip(named, list(named)[1:])]
    # One contradicted step is enough, so that each has to be as much surer as there are steps.
    words = [
        "inconclusive" if pair["verdict"] == "contradicted" and pair["p"] * len(pairs) > 0.05 else pair["verdict"]
        for pair in pairs
    ]
    expected = (
        "contradicted" if "contradicted" in words else "inconclusive" if "inconclusive" in words else "reproduced"
    )
    assert found["verdict"] == expected
    assert [one["verdict"] for one in found["steps"]] == words
    sign = 1 if relation == "increasing" else -1
    whole = [sign * (last - first) for first, last in zip(rows[0], rows[-1], strict=True)]
    assert found["effect"]["differences"] == pytest.approx(whole, abs=1e-9)


def test_a_series_runs_one_way(printed):
    rows = {row: [10 * number + noise for noise in (0.0, 0.3, 0.1 * number)] for number, row in enumerate(ROWS)}
    assert judge(printed, "increasing", **rows)["verdict"] == "reproduced"
    assert judge(printed, "decreasing", **rows)["verdict"] == "contradicted"
    broken = judge(printed, "increasing", **(rows | {"C": rows["A"]}))
    assert (broken["verdict"], broken["reason"]) == ("contradicted", "of 3 steps 2 reproduced, 1 contradicted")
    assert [(step["from"], step["to"]) for step in broken["steps"]] == [("A", "B"), ("B", "C"), ("C", "D")]
    assert [step["published"] for step in broken["steps"]] == [-1.0, -1.0, -1.0]
    one = judge(printed, "increasing", A=[1.0], B=[2.0], C=[1.5])
    assert one["reason"] == "one seed: no interval; the sign supports 1 of 2 steps"


def test_one_step_without_an_interval_does_not_hide_another(printed):
    """From A to B the same difference in all seeds; from B to C plainly back."""
    same = judge(printed, "increasing", A=LOW, B=[value + 5 for value in LOW], C=HIGH)
    assert [step["verdict"] for step in same["steps"]] == ["inconclusive", "contradicted"]
    assert same["verdict"] == "contradicted" and same["p"] == same["steps"][1]["p_against"] <= 0.05
    on = judge(printed, "increasing", A=LOW, B=[value + 1 for value in LOW], C=[8.0, 8.3, 8.1])
    assert (on["verdict"], on["reason"], on["p"]) == ("inconclusive", "of 2 steps 1 reproduced, 1 inconclusive", 1.0)


def test_a_trend_shows_where_no_step_is_sure(printed):
    """Steps of one with noise of one: each is open, the line through five numbers is not."""
    noise = [0.9, -0.7, 0.1], [-0.8, 0.6, 0.5], [0.3, 0.9, -0.9], [-0.2, -0.9, 0.7]
    rows = {row: [2.0 * place + one for one in noise[place]] for place, row in enumerate(ROWS)}
    found = judge(printed, "increasing", **rows)
    assert found["verdict"] == "inconclusive" and found["trend"]["verdict"] == "reproduced"
    assert found["trend"]["published"] == -1.0  # FID of A to D is 4, 3, 2, 1 in print
    for seed, slope in enumerate(found["trend"]["differences"]):
        expected = stats.linregress(range(4), [rows[row][seed] for row in ROWS]).slope
        assert slope == pytest.approx(expected)
    back = judge(printed, "decreasing", **rows)["trend"]
    assert (back["verdict"], back["mean"]) == ("contradicted", -found["trend"]["mean"])
    assert back["p"] == pytest.approx(found["trend"]["p"])
    assert judge(printed, "lt", A=LOW, B=HIGH)["trend"] is None
    assert judge(printed, "increasing", A=[1.0], B=[2.0], C=[4.0])["trend"]["p"] is None


# ------------------------------------------------------------------------------------------------- correlations
def correlated(sign: float = 1.0, rival: float | None = None) -> dict:
    """Three seeds: IG follows FID (r = `sign`), rFID does not; `rival` is rFID's one number everywhere."""
    cells = {}
    for seed in range(3):
        fid = [1.0, 2.0, 3.0, 4.0 + seed]
        numbers = {"FID": fid, "IG": [sign * value for value in fid], "rFID": [1.0, 3.0 + seed, 1.0, 2.0]}
        for column, values in numbers.items():
            for row, value in zip(ROWS, values, strict=True):
                shown = rival if column == "rFID" and rival is not None else value
                cells.setdefault(("T", row, column), {"values": []})["values"].append(shown)
    return cells


def test_few_rows_give_correlations_and_no_verdict(printed):
    """Of four rows, all of which two numbers share the order, draws of tokenizers reach both sides."""
    order = [(row, column) for column in ("IG", "FID", "rFID") for row in ROWS]
    for sign in (1.0, -1.0):
        found = claims.evaluate(claim("stronger_correlation", *order), correlated(sign), printed)
        assert found["correlations"][0] == pytest.approx([1.0, 1.0, 1.0])
        assert found["correlations"][1] == pytest.approx(
            [
                abs(stats.pearsonr([1.0, 2.0, 3.0, 4.0 + seed], [1.0, 3.0 + seed, 1.0, 2.0]).statistic)
                for seed in range(3)
            ]
        )
        low, high = found["effect"]["interval"]
        assert low <= found["effect"]["mean"] <= high and found["verdict"] == "inconclusive"
    constant = claims.evaluate(claim("stronger_correlation", *order), correlated(rival=7.0), printed)
    assert (constant["verdict"], constant["effect"]) == ("inconclusive", None)
    assert "does not vary" in constant["reason"]
    three = [(row, column) for row, column in order if row != "D"]
    three.sort(key=lambda cell: ("IG", "FID", "rFID").index(cell[1]))
    few = claims.evaluate(claim("stronger_correlation", *three), correlated(), printed)
    assert (few["verdict"], few["p"]) == ("inconclusive", None)
    assert few["reason"] == "rows with numbers: 3 of 4 needed for an interval"


# ------------------------------------------------------------------------------------------- what is not measured
def test_what_was_not_run_says_why(printed):
    cells = measured(A=LOW) | {("T", "B", "FID"): {"reason": "omitted at scale pocket"}}
    found = claims.evaluate(claim("lt", "A", "B"), cells, printed)
    assert (found["verdict"], found["reason"], found["n"]) == ("not run", "omitted at scale pocket (B)", 0)
    assert found["published"] == {"effect": -1.0, "relative": pytest.approx(-1 / 3)}


def test_what_no_seed_changes_is_one_number(printed):
    fixed = judge(printed, "lt", A=[2.0] * 3, B=[3.0] * 3)
    assert (fixed["verdict"], fixed["n"]) == ("inconclusive", 1)
    assert fixed["reason"] == "the numbers are the same for every seed: no interval; the sign supports the claim"
    beside = judge(printed, "lt", A=LOW, B=[3.0])
    assert (beside["verdict"], beside["n"]) == ("reproduced", 3)
    assert beside["effect"] == verdicts.estimate([2.0, 1.9, 2.1], False)


def test_numbers_that_cannot_be_compared_are_refused(printed):
    cells = measured(A=[1.0], B=[2.0])
    for row, extractor in (("A", "embedded"), ("B", "inception")):
        cells["T", row, "FID"]["measures"] = [{"kind": "images", "extractor": extractor, "samples": 50}]
    with pytest.raises(TableError, match=r"claim c-1, column 'FID' mixes feature extractors: embedded \(A, seed 1\)"):
        claims.evaluate(claim("lt", "A", "B"), cells, printed)
    cells["T", "B", "FID"]["measures"] = [{"kind": "images", "extractor": "embedded", "samples": 50}]
    assert claims.evaluate(claim("lt", "A", "B"), cells, printed)["measure"] == "extractor embedded, 50 samples"
    with pytest.raises(published.PublishedError, match="no row 'Z'"):
        claims.evaluate(claim("lt", "A", "Z"), measured(A=LOW, Z=LOW), printed)


# ----------------------------------------------------------------------------------------------------- the writers
def everything(printed, seeds: int = 3, scale: str = "desk") -> dict:
    """A reproduced, a contradicted, an inconclusive, a not run and a plotted claim, and a series."""
    cells = {
        key: dict(cell, values=cell["values"][:seeds])
        for key, cell in measured(A=LOW, B=HIGH, C=[1.1, 0.9, 1.0]).items()
    }
    cells["T", "A", "FID"]["artifacts"] = [f"metrics/a-seed{seed}" for seed in range(1, seeds + 1)]
    cells |= {("T", "D", "FID"): {"reason": "too large"}, ("T", "P", "FID"): {"values": HIGH[:seeds]}}
    told = [("lt", "A", "B"), ("gt", "A", "B"), ("lt", "A", "C"), ("lt", "A", "D"), ("lt", "A", "P")]
    listed = [claim(*one, name=f"c-{number}") for number, one in enumerate(told)]
    listed.append(claim("increasing", "A", "B", "C", name="c-5") | {"where": "Figure 1"})
    about = {"paper": "pap", "title": "A & B", "scale": scale, "seeds": list(range(1, seeds + 1))}
    return claims.evaluate_all(listed, cells, printed, **about)


def test_counts_and_badges(printed):
    found = everything(printed)
    words = [one["verdict"] for one in found["claims"]]
    assert words == ["reproduced", "contradicted", "inconclusive", "not run", "reproduced", "contradicted"]
    assert found["summary"] == {"reproduced": 2, "contradicted": 2, "absent": 0, "inconclusive": 1, "not run": 1}
    assert claims_files.badge_rows([found]) == [
        {
            "paper": "pap",
            "scale": "desk",
            "verdicts": "2 reproduced, 2 contradicted, 0 absent, 1 inconclusive, 1 not run (3 seeds)",
        }
    ]


def test_the_page_shows_each_verdict_in_words_and_needs_no_network(printed):
    html = claims_files.to_html(everything(printed))
    page = Page(html)
    assert not page.open and not page.images and "http" not in html
    text = " ".join(page.text.split())
    for mark, word in (("✓", "reproduced:"), ("✗", "contradicted:"), ("?", "inconclusive:"), ("–", "not run: ")):
        assert f"{mark} {word}" in text
    for told in (
        "Claims of A & B",
        "It is <lt>.",
        "too large (D)",
        "published as a plot only",
        "1 ± 0.1",
        "A is below B",
    ):
        assert told in text, told
    assert "+2.1 [+1.74, +2.46]" in text and "−2.1 [−2.46, −1.74]" in text
    assert "../../lineage/pap/lineage.html#metrics/a-seed2" in page.links
    assert "One seed" not in text and "small scale desk" in text


@pytest.mark.parametrize(("seeds", "scale"), [(1, "pocket"), (3, "paper")])
def test_what_verdicts_do_not_say_is_said(printed, seeds, scale):
    found = everything(printed, seeds, scale)
    for text in (claims_files.to_html(found), claims_files.to_markdown(found)):
        assert ("One seed was run" in text) == (seeds == 1)
        assert ("do not speak about the paper" in text) == (scale != "paper")
    if seeds == 1:
        assert found["summary"] == {"reproduced": 0, "contradicted": 0, "absent": 0, "inconclusive": 5, "not run": 1}


def test_a_plot_has_support_on_the_right(printed):
    pictures = re.findall(r"<svg.*?</svg>", claims_files.to_html(everything(printed)), re.DOTALL)
    dots = [float(re.search(r'cx="([\d.]+)"', picture)[1]) for picture in pictures]
    zero = claims_files.WIDTH / 2
    assert [(dot > zero) - (dot < zero) for dot in dots] == [1, -1, 0, 1, 1, -1]
    low, high = map(float, re.search(r'class="bar" d="M([\d.]+) .*H([\d.]+)m', pictures[0]).groups())
    assert zero < low < dots[0] < high <= claims_files.WIDTH
    assert all('role="img" aria-label="effect ' in picture for picture in pictures)
    alone = re.search(r"<svg.*?</svg>", claims_files.to_html(everything(printed, 1)), re.DOTALL)[0]
    assert "dot alone" in alone and "bar" not in alone and "no interval" in alone


def test_markdown_has_a_line_for_each_claim(printed):
    text = claims_files.to_markdown(everything(printed))
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(lines) == 6
    assert lines[0].startswith(
        "| ✓ reproduced: the whole interval supports the claim | stays | It is &lt;lt&gt;. | Table T |"
    )
    assert "+2.1 \\[+1.74, +2.46\\]" in lines[0] and "plotted" in lines[4]


def many(printed, paper: str = "pap") -> dict:
    """An absent claim, a small one, two that Holm's adjustment parts, and a series of four rows."""
    close = [one + 1.2 * two for one, two in zip(HIGH, (1.0, 1.3, 0.8))]
    cells = measured(A=TINY[0], B=TINY[1], C=[41.0, 40.56, 38.86], D=[one + 40 for one in close])
    bound = {"absent_within": 0.5}
    listed = [
        claim("gt", "A", "B", name="c-absent") | bound,
        claim("lt", "A", "D", name="c-kept"),
        claim("lt", "C", "D", name="c-lost"),
        claim("increasing", "A", "B", "C", "D", name="c-series"),
    ]
    return claims.evaluate_all(listed, cells, printed, paper=paper, title="P", scale="desk", seeds=[1, 2, 3])


def test_holm_parts_the_verdicts_of_a_paper(printed):
    found = many(printed)
    p = [record["p"] for record in found["claims"]]
    assert [record["holm"]["p"] for record in found["claims"]] == verdicts.holm(p)
    for record in found["claims"]:
        stays = record["holm"]["p"] <= 0.05
        assert record["holm"]["verdict"] == (record["verdict"] if stays else "inconclusive")
        assert claims_files.after(record) == (
            "" if record["verdict"] == "inconclusive" else "stays" if stays else "inconclusive"
        )
    kept = [record["holm"]["verdict"] for record in found["claims"]]
    assert found["after_holm"] == {word: kept.count(word) for word in claims.MARKS}
    words = {record["verdict"]: claims_files.after(record) for record in found["claims"]}
    assert {"stays", "inconclusive"} <= set(map(claims_files.after, found["claims"])), words


def test_all_papers_are_adjusted_for_together(printed):
    papers = [many(printed), many(printed, "other")]
    told = claims_files.over_papers(papers)
    assert told.startswith(
        "8 claims have an interval, 6 of them a verdict other than inconclusive. Adjusted for all 8 "
    )
    p = [record["p"] for one in papers for record in one["claims"]]
    assert f"(Holm), {sum(one <= 0.05 for one in verdicts.holm(p))} of these stay" in told
    assert claims_files.over_papers([everything(printed, 1)]) == ""  # of one seed nothing was tested


def test_the_page_shows_size_trend_and_adjustment(printed):
    found = many(printed)
    html = claims_files.to_html(found)
    text = Page(html).words
    absent, series = found["claims"][0], found["claims"][3]
    assert "≈ absent : the whole 90 % interval lies within ±16.7 %" in text.replace("absent:", "absent :")
    assert f"p {claims_files.p_in_words(absent['p'])}; after Holm p" in text
    assert "absent within ±16.7 %, p " in text and 'class="band"' in html and '<svg class="absent"' in html
    assert claims_files.trend_in_words(series) in text and "a step, p " in text and "published −1" in text
    assert "Its trend is another test" in text and "After Holm: " in text
    markdown = claims_files.to_markdown(found)
    assert "| ≈ absent: " in markdown and "trend +" in markdown
    assert "NaN" not in json.dumps(found) and "Infinity" not in json.dumps(found)


# ------------------------------------------------------------------------------------------------ stage and command
def work(tmp_path: Path, printed, **change) -> SimpleNamespace:
    """A job of two claims: FIDs of metrics, and what searches selected (of three seeds)."""
    inputs, measure = {}, {"kind": "images", "extractor": "embedded", "samples": 9}
    for row, fids in (("a", (1.0, 1.2, 1.1)), ("b", (3.0, 3.1, 3.2))):
        for seed, fid in enumerate(fids, start=1):
            for stage, file, content in (
                ("metrics", "metrics.json", {"values": {"fid": fid}}),
                (
                    "search",
                    "search.json",
                    {
                        "selected": {"cfg": {"guidance": 2.0, "temperature": 1.0}},
                        "points": [
                            {"guidance": 1.0, "temperature": 1.0, "fid": -99.0},
                            {"guidance": 2.0, "temperature": 1.0, "fid": 10 * fid},
                        ],
                    },
                ),
            ):
                folder = tmp_path / of_seed(f"{stage}/{row}", seed)
                folder.mkdir(parents=True)
                (folder / file).write_text(json.dumps(content | {"measure": measure}))
                inputs[of_seed(f"{stage}/{row}", seed)] = folder
    columns = {"FID": ("metrics", "fid"), "rFID": ("search", "search:cfg:fid")}
    cells = [
        {"table": "T", "row": row.upper(), "column": column, "value": value}
        | {"artifacts": of_seeds(f"{stage}/{row}", (1, 2, 3))}
        for column, (stage, value) in columns.items()
        for row in "ab"
    ]
    told = [claim("lt", "A", "B"), claim("gt", ("A", "rFID"), ("B", "rFID"), name="c-2")]
    (tmp_path / "out").mkdir()
    return SimpleNamespace(
        spec={"paper": "detok", "title": "L", "scale": "desk", "seeds": [1, 2, 3], "cells": cells, "claims": told}
        | change,
        inputs=inputs,
        sources={"published": Path(printed.attrs["path"])},
        out=tmp_path / "out",
    )


def test_the_stage_reads_metrics_and_what_searches_selected(tmp_path, printed):
    job = work(tmp_path, printed)
    counts = run(job)
    found = json.loads((job.out / "claims.json").read_text())
    first, second = found["claims"]
    assert (
        counts
        == {"reproduced": 1.0, "contradicted": 1.0, "absent": 0.0, "inconclusive": 0.0, "not run": 0.0}
        == found["summary"]
    )
    assert first["cells"][0]["values"] == [1.0, 1.2, 1.1] and first["effect"]["mean"] == pytest.approx(2.0)
    assert first["cells"][0]["artifacts"] == ["metrics/a", "metrics/a.seed2", "metrics/a.seed3"]
    assert second["cells"][1]["values"] == [30.0, 31.0, 32.0]
    kept = json.loads((job.out / "metrics.json").read_text())
    assert kept.pop("after_holm") == found["after_holm"]
    assert kept == {"verdicts": found["summary"], "effects": {"c-1": pytest.approx(2.0), "c-2": pytest.approx(-20.0)}}
    assert {path.name for path in job.out.iterdir()} == {"claims.json", "claims.md", "claims.html", "metrics.json"}


def test_rows_with_other_numbers_of_seeds_are_compared_in_those_that_both_have(tmp_path, printed):
    job = work(tmp_path, printed)
    cell = next(cell for cell in job.spec["cells"] if cell["row"] == "B" and cell["column"] == "FID")
    del cell["artifacts"][1]  # of three seeds the second
    run(job)
    first, second = json.loads((job.out / "claims.json").read_text())["claims"]
    assert first["seeds"] == [1, 3] and first["n"] == 2 and first["effect"]["interval"] is None
    assert second["seeds"] == [1, 2, 3]


def test_a_number_that_one_seed_could_not_measure_is_not_run(tmp_path, printed):
    job = work(tmp_path, printed)
    told = {"values": {}, "without": {"fid": "diverged, of 3 of 5 images"}, "measure": {}}
    (tmp_path / "metrics/b.seed2/metrics.json").write_text(json.dumps(told))
    assert run(job)["not run"] == 1
    found = json.loads((job.out / "claims.json").read_text())["claims"][0]
    assert found["reason"] == "diverged, of 3 of 5 images (B)" and found["effect"] is None


def test_the_stage_refuses_numbers_that_are_not_there(tmp_path, printed):
    job = work(tmp_path, printed)
    job.spec["cells"][0]["value"] = "kid"
    with pytest.raises(claims.ClaimError, match=r"metrics/a/metrics.json has no 'kid'"):
        run(job)
    job.spec["cells"][0]["value"] = "fid"
    (tmp_path / "metrics/a/metrics.json").write_text(json.dumps({"values": {"fid": math.nan}, "measure": {}}))
    with pytest.raises(claims.ClaimError, match="fid is nan"):
        run(job)


def ask(root: Path, *arguments: str):
    return CliRunner().invoke(command, arguments, obj={"root": root, "scale": None})


def test_the_command_shows_what_was_evaluated(project, printed):
    missing = ask(project, "--scale", "desk", "detok")
    made = "results/desk/claims/detok/claims.json"
    assert missing.exit_code == 1 and f"run `tesserae --scale desk reproduce {made}`" in missing.output
    assert "no paper 'vit'; config/config.yaml has detok" in ask(project, "vit").output
    folder = (project / made).parent
    folder.mkdir(parents=True)
    found = everything(printed) | {"paper": "detok"}
    found["claims"][1]["claim"] = 100 * "more words than a line has room for "
    claims_files.write(found, folder)
    shown = ask(project, "--scale", "desk", "detok")
    assert shown.exit_code == 0
    assert (
        "detok at scale desk: 2 reproduced, 2 contradicted, 0 absent, 1 inconclusive, 1 not run (3 seeds)"
        in shown.output
    )
    line = next(line for line in shown.output.splitlines() if " c-1 " in line)
    assert line.split()[:7] == ["✗", "contradicted", "stays", "c-1", "−2.1", "[−2.46,", "−1.74]"]
    assert json.loads(ask(project, "--scale", "desk", "--json", "detok").output)[0]["summary"]["not run"] == 1


def test_the_command_adjusts_for_all_papers_and_refuses_old_verdicts(project, printed):
    config = project / "config/config.yaml"
    folder = project / "results/desk/claims/detok"
    folder.mkdir(parents=True)
    found = many(printed) | {"paper": "detok"}
    claims_files.write(found, folder)
    assert "detok" in config.read_text() and "≈ absent" in ask(project, "--scale", "desk").output
    (folder / "claims.json").write_text(json.dumps({key: found[key] for key in found if key != "after_holm"}))
    old = ask(project, "--scale", "desk", "detok")
    assert old.exit_code == 1 and "is outdated: `tesserae --scale desk reproduce" in old.output
