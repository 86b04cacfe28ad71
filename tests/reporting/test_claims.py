"""Verdicts: signs right way round, one seed decides nothing, intervals are Student's, and the page says all of it."""

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
from tesserae.reporting import claims, claims_files, published
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


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
def test_the_interval_is_students(differences):
    assume(len({round(d, 3) for d in differences}) > 1)
    expected = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    assert claims.interval(differences) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)


def test_seeds_are_paired(printed):
    """A gain of one on top of a large variation over seeds: certain in pairs, lost if pairs are mixed up."""
    base = [10.0, 20.0, 30.0]
    gain = [value - shift for value, shift in zip(base, (1.0, 1.1, 0.9), strict=True)]
    assert judge(printed, "lt", A=gain, B=base)["verdict"] == "reproduced"
    assert judge(printed, "lt", A=gain, B=base[1:] + base[:1])["verdict"] == "inconclusive"


def test_no_difference_supports_only_what_allows_it(printed):
    words = {relation: judge(printed, relation, A=HIGH, B=HIGH)["verdict"] for relation in SWAPPED}
    assert words == {"lt": "contradicted", "gt": "contradicted", "le": "reproduced", "ge": "reproduced"}


# ------------------------------------------------------------------------------------------------------ series
@settings(max_examples=30)
@given(rows=st.lists(FIDS, min_size=3, max_size=4), relation=st.sampled_from(["increasing", "decreasing"]))
def test_a_series_is_its_steps(printed, rows, relation):
    named = dict(zip(ROWS, rows, strict=False))
    found = judge(printed, relation, **named)
    step = {"increasing": "lt", "decreasing": "gt"}[relation]
    words = [judge(printed, step, **{a: named[a], b: named[b]})["verdict"] for a, b in zip(named, list(named)[1:])]
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
    one = judge(printed, "increasing", A=[1.0], B=[2.0], C=[1.5])
    assert one["reason"] == "one seed: no interval; the sign supports 1 of 2 steps"


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


def test_a_correlation_is_compared_by_its_size(printed):
    order = [(row, column) for column in ("IG", "FID", "rFID") for row in ROWS]
    for sign in (1.0, -1.0):
        found = claims.evaluate(claim("stronger_correlation", *order), correlated(sign), printed)
        assert found["verdict"] == "reproduced"
        assert found["correlations"][0] == pytest.approx([1.0, 1.0, 1.0])
        assert found["correlations"][1] == pytest.approx(
            [
                abs(stats.pearsonr([1.0, 2.0, 3.0, 4.0 + seed], [1.0, 3.0 + seed, 1.0, 2.0]).statistic)
                for seed in range(3)
            ]
        )
    back = [(row, column) for column in ("rFID", "FID", "IG") for row in ROWS]
    assert claims.evaluate(claim("stronger_correlation", *back), correlated(), printed)["verdict"] == "contradicted"
    constant = claims.evaluate(claim("stronger_correlation", *order), correlated(rival=7.0), printed)
    assert (constant["verdict"], constant["effect"]) == ("inconclusive", None)
    assert "does not vary" in constant["reason"]


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
    assert beside["effect"]["interval"] == pytest.approx(claims.interval([2.0, 1.9, 2.1]))


def test_numbers_that_cannot_be_compared_are_refused(printed):
    with pytest.raises(claims.ClaimError, match="c-1: cells of 2 and 3 seeds cannot be paired"):
        judge(printed, "lt", A=[1.0, 2.0], B=HIGH)
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
        key: dict(cell, values=cell["values"][:seeds]) for key, cell in measured(A=LOW, B=HIGH, C=LOW[::-1]).items()
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
    assert found["summary"] == {"reproduced": 2, "contradicted": 2, "inconclusive": 1, "not run": 1}
    assert claims_files.badge_rows([found]) == [
        {
            "paper": "pap",
            "scale": "desk",
            "verdicts": "2 reproduced, 2 contradicted, 1 inconclusive, 1 not run (3 seeds)",
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
    assert "+2.1 [+1.85, +2.35]" in text and "−2.1 [−2.35, −1.85]" in text
    assert "../../lineage/pap/lineage.html#metrics/a-seed2" in page.links
    assert "One seed" not in text and "small scale desk" in text


@pytest.mark.parametrize(("seeds", "scale"), [(1, "pocket"), (3, "paper")])
def test_what_verdicts_do_not_say_is_said(printed, seeds, scale):
    found = everything(printed, seeds, scale)
    for text in (claims_files.to_html(found), claims_files.to_markdown(found)):
        assert ("One seed was run" in text) == (seeds == 1)
        assert ("do not speak about the paper" in text) == (scale != "paper")
    if seeds == 1:
        assert found["summary"] == {"reproduced": 0, "contradicted": 0, "inconclusive": 5, "not run": 1}


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
    assert lines[0].startswith("| ✓ reproduced: the whole interval supports the claim | It is &lt;lt&gt;. | Table T |")
    assert "+2.1 \\[+1.85, +2.35\\]" in lines[0] and "plotted" in lines[4]


# ------------------------------------------------------------------------------------------------ stage and command
def work(tmp_path: Path, printed, **change) -> SimpleNamespace:
    """A job of two claims: FIDs of metrics, and what searches selected (of two seeds)."""
    inputs, measure = {}, {"kind": "images", "extractor": "embedded", "samples": 9}
    for row, fids in (("a", (1.0, 1.2)), ("b", (3.0, 3.1))):
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
                folder = tmp_path / stage / f"{row}-seed{seed}"
                folder.mkdir(parents=True)
                (folder / file).write_text(json.dumps(content | {"measure": measure}))
                inputs[f"{stage}.{row}.{seed}"] = folder
    columns = {"FID": ("metrics", "fid"), "rFID": ("search", "search:cfg:fid")}
    cells = [
        {"table": "T", "row": row.upper(), "column": column, "value": value}
        | {"artifacts": [f"{stage}.{row}.{seed}" for seed in (1, 2)]}
        for column, (stage, value) in columns.items()
        for row in "ab"
    ]
    told = [claim("lt", "A", "B"), claim("gt", ("A", "rFID"), ("B", "rFID"), name="c-2")]
    (tmp_path / "out").mkdir()
    return SimpleNamespace(
        spec={"paper": "detok", "title": "L", "scale": "desk", "seeds": [1, 2], "cells": cells, "claims": told}
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
    assert counts == {"reproduced": 1.0, "contradicted": 1.0, "inconclusive": 0.0, "not run": 0.0} == found["summary"]
    assert first["cells"][0]["values"] == [1.0, 1.2] and first["effect"]["mean"] == pytest.approx(1.95)
    assert first["cells"][0]["artifacts"] == ["metrics/a-seed1", "metrics/a-seed2"]
    assert second["cells"][1]["values"] == [30.0, 31.0]
    kept = json.loads((job.out / "metrics.json").read_text())
    assert kept == {"verdicts": found["summary"], "effects": {"c-1": pytest.approx(1.95), "c-2": pytest.approx(-19.5)}}
    assert {path.name for path in job.out.iterdir()} == {"claims.json", "claims.md", "claims.html", "metrics.json"}


def test_rows_with_other_numbers_of_seeds_are_compared_in_those_that_both_have(tmp_path, printed):
    job = work(tmp_path, printed)
    cell = next(cell for cell in job.spec["cells"] if cell["row"] == "B" and cell["column"] == "FID")
    cell["artifacts"] = cell["artifacts"][:1] * 2 + cell["artifacts"][1:]  # of three seeds, the third without a partner
    before = json.loads((tmp_path / "metrics/b-seed1/metrics.json").read_text())["values"]["fid"]
    run(job)
    first, second = json.loads((job.out / "claims.json").read_text())["claims"]
    assert first["n"] == 2 and first["cells"][0]["values"] == [1.0, 1.2]
    assert first["cells"][1]["values"] == [before, before]
    assert second["n"] == 2 and second["cells"][1]["values"] == [30.0, 31.0]


def test_a_number_that_one_seed_could_not_measure_is_not_run(tmp_path, printed):
    job = work(tmp_path, printed)
    told = {"values": {}, "without": {"fid": "diverged, of 3 of 5 images"}, "measure": {}}
    (tmp_path / "metrics/b-seed2/metrics.json").write_text(json.dumps(told))
    assert run(job)["not run"] == 1
    found = json.loads((job.out / "claims.json").read_text())["claims"][0]
    assert found["reason"] == "diverged, of 3 of 5 images (B)" and found["effect"] is None


def test_the_stage_refuses_numbers_that_are_not_there(tmp_path, printed):
    job = work(tmp_path, printed)
    job.spec["cells"][0]["value"] = "kid"
    with pytest.raises(claims.ClaimError, match=r"a-seed1/metrics.json has no 'kid'"):
        run(job)
    job.spec["cells"][0]["value"] = "fid"
    (tmp_path / "metrics/a-seed1/metrics.json").write_text(json.dumps({"values": {"fid": math.nan}, "measure": {}}))
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
    assert "detok at scale desk: 2 reproduced, 2 contradicted, 1 inconclusive, 1 not run (3 seeds)" in shown.output
    line = next(line for line in shown.output.splitlines() if " c-1 " in line)
    assert line.split()[:6] == ["✗", "contradicted", "c-1", "−2.1", "[−2.35,", "−1.85]"]
    assert json.loads(ask(project, "--scale", "desk", "--json", "detok").output)[0]["summary"]["not run"] == 1
