"""Claims that one number predicts better than another: study by study, with intervals of their own, and never mixed."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tesserae.metrics.correlation import pearson
from tesserae.reporting import claims, claims_files, published
from tesserae.stages.claims import run
from tests.conftest import ROOT

FILE = ROOT / "config/published/comptok.csv"
ROWS = ("RAE", "VQGAN", "MAE", "SDXL VAE", "TiTok-L-32", "Semanticist", "FlexTok", "CompTok (ours)")


@pytest.fixture(scope="module")
def printed():
    return published.load(FILE)


def claim(*studies, column="Medical AvgIG") -> dict:
    cells = [["Table 2", row, name] for name in (column, "Medical Task", "Medical rFID") for row in ROWS]
    text = {"id": "c-1", "claim": "AvgIG predicts better.", "where": "Table 2", "margin": 0.73, "holds_in_print": True}
    return text | {"relation": "stronger_correlation", "cells": cells, "studies": list(studies)}


TOKENIZERS = 12
GOOD, OPEN, BAD = (0.5, 20.0), (4.0, 6.0), (20.0, 0.5)  # noise of the predictor and of the rival, on numbers up to 12


def numbers(noise: tuple[float, float], sign: int = 1, seeds: int = 3) -> list[np.ndarray]:
    """Of column, against and rival, each (tokenizers, seeds): both follow `against`, more or less loosely."""
    rng = np.random.default_rng(7)
    true = np.arange(float(TOKENIZERS))[:, None] + 0.1 * rng.standard_normal((TOKENIZERS, 20))
    own, rival = (loose * rng.standard_normal((TOKENIZERS, 1)) + true for loose in noise)
    return [each[:, :seeds] for each in (sign * own, true, rival)]


def study(noise: tuple[float, float], *, title="SiT-B", sign: int = 1, seeds: int = 3) -> dict:
    """What the stage `correlations` would tell of such numbers."""
    found = numbers(noise, sign, seeds)
    own, against, rival = (each.mean(axis=1) for each in found)
    r, of_rival = pearson(own, against).r, pearson(rival, against).r
    by_seed = [abs(pearson(a, b).r) - abs(pearson(c, b).r) for a, b, c in zip(*(each.T for each in found))]
    told = {"tokenizers": float(TOKENIZERS), "r": r, "rival": of_rival, "ahead": abs(r) - abs(of_rival)}
    about = {"title": title, "artifact": f"correlations/{title}", "numbers": [each.tolist() for each in found]}
    return about | told | {"by_seed": by_seed}


def judged(printed, *studies, absent_within: float | None = None, **change) -> dict:
    (record,) = claims.evaluate_all(
        [claim(*studies, **change) | {"absent_within": absent_within}],
        {},
        printed,
        paper="p",
        title="P",
        scale="desk",
        seeds=[1, 2, 3],
    )["claims"]
    return record


@pytest.mark.parametrize(("noise", "word"), [(GOOD, "reproduced"), (BAD, "contradicted"), (OPEN, "inconclusive")])
def test_the_interval_is_over_draws_of_tokenizers_and_seeds(printed, noise, word):
    told = study(noise)
    found = judged(printed, told)
    assert found["verdict"] == word and found["effect"]["mean"] == pytest.approx(told["ahead"])
    own, against, rival = map(np.array, told["numbers"])
    rng, draws = np.random.default_rng(1), []
    for _ in range(3000):  # the obvious loop
        rows, seeds = rng.integers(TOKENIZERS, size=TOKENIZERS), rng.integers(3, size=3)
        a, b, c = (each[rows][:, seeds].mean(axis=1) for each in (own, against, rival))
        draws.append(abs(np.corrcoef(a, b)[0, 1]) - abs(np.corrcoef(c, b)[0, 1]))
    assert found["effect"]["interval"] == pytest.approx(np.quantile(draws, [0.0125, 0.9875]), abs=0.05)
    assert found["published"]["effect"] == pytest.approx(0.73, abs=6e-4)  # of the paper's own rows
    assert found["relative"] == pytest.approx(told["ahead"] / abs(told["rival"]))
    assert (found["p"] <= 0.05) == (word != "inconclusive")
    assert judged(printed, told) == found  # the same draws each time
    assert "numbers" not in found["studies"][0]


def test_a_later_look_is_at_more_seeds_and_surer(printed):
    three, five = (judged(printed, study(OPEN, seeds=seeds)) for seeds in (3, 5))
    four = judged(printed, study(OPEN, seeds=4))
    assert (three["n"], five["n"], four["n"]) == (3, 5, 3) and four["effect"] == three["effect"]
    assert four["reason"].endswith("; judged by 3 of 4 seeds, as far as its last look")
    width = [high - low for low, high in (one["effect"]["interval"] for one in (three, five))]
    assert width[1] > width[0]  # tokenizers are as many, and less of the error is left


def test_rows_of_a_table_are_judged_as_those_of_a_study(printed):
    """The same numbers, in cells."""
    told = study(GOOD)
    rows = ROWS[:8]
    three = [each[:8] for each in told["numbers"]]
    one = claim()
    del one["studies"]
    cells = {
        tuple(key): {"values": values, "seeds": [1, 2, 3]}
        for key, values in zip(one["cells"], [values for each in three for values in each], strict=True)
    }
    (found,) = claims.evaluate_all([one], cells, printed, paper="p", title="P", scale="desk", seeds=[1, 2, 3])["claims"]
    own, against, rival = (np.array(each).mean(axis=1) for each in three)
    ahead = abs(pearson(own, against).r) - abs(pearson(rival, against).r)
    cut = told | {"numbers": three, "ahead": ahead}
    assert len(rows) == 8 and found["effect"]["mean"] == pytest.approx(ahead)
    assert found["effect"]["interval"] == pytest.approx(judged(printed, cut)["effect"]["interval"])


def test_correlations_that_hardly_differ_are_absent(printed):
    """Printed: 0.73. Both follow nearly perfectly here: no third of that is between them."""
    (found,) = claims.evaluate_all(
        [claim(study((0.3, 0.3))) | {"absent_within": 0.5}], {}, printed, paper="p", title="P", scale="desk", seeds=[1]
    )["claims"]
    assert (found["verdict"], found["reason"]) == ("absent", "the whole 90 % interval lies within ±0.365")
    assert found["absent"]["bound"] == pytest.approx(0.365, abs=4e-4) and found["p"] <= 0.05


def test_a_study_that_does_not_vary_up_to_the_look_has_no_interval(printed):
    """A rival that is another number in one tokenizer and seed alone, the fifth, where the look is at three."""
    told = study(GOOD, seeds=5)
    rival = np.zeros((TOKENIZERS, 5))
    rival[0, 4] = 1.0
    told["numbers"][2] = rival.tolist()
    found = judged(printed, told)
    assert found["n"] == 5 and found["verdict"] == "reproduced"  # drawn over and over it is there
    with_none = judged(
        printed, study(GOOD), study(GOOD, title="MAR-B") | {"numbers": told["numbers"]}, absent_within=0.5
    )
    assert (with_none["n"], with_none["verdict"], with_none["p"]) == (3, "inconclusive", 1.0)
    assert with_none["absent"]["p"] == 1.0 and not with_none["small"]


def test_every_study_has_to_bear_it_out(printed):
    good, open_, bad = study(GOOD), study(OPEN, title="MAR-B"), study(BAD, title="DiT-B")
    assert judged(printed, good, good)["verdict"] == "reproduced"
    found = judged(printed, good, open_)
    assert (found["verdict"], found["reason"]) == ("inconclusive", "of 2 studies 1 reproduced, 1 inconclusive")
    assert [step["label"] for step in found["steps"]] == ["SiT-B", "MAR-B"]
    assert found["effect"]["mean"] == pytest.approx((good["ahead"] + open_["ahead"]) / 2)
    assert found["effect"]["interval"] is None
    assert judged(printed, good, open_, bad)["verdict"] == "contradicted"


def test_one_seed_decides_nothing(printed):
    found = judged(printed, study(GOOD, seeds=1))
    assert found["verdict"] == "inconclusive" and found["reason"].startswith("one seed: no interval; the sign supports")
    two = judged(printed, study(GOOD, seeds=2))
    assert two["reason"].startswith("2 seeds of the 3 needed: no interval; the sign supports")


def test_what_was_not_run_says_why(printed):
    nothing = {"title": "MAR-B", "reason": "2 of 4 needed"}
    found = judged(printed, nothing)
    assert (found["verdict"], found["reason"], found["effect"]) == ("not run", "MAR-B (2 of 4 needed)", None)
    beside = judged(printed, study(GOOD), nothing)
    assert beside["verdict"] == "reproduced" and beside["reason"].endswith("; not run: MAR-B (2 of 4 needed)")


def test_a_correlation_of_the_wrong_sign_is_pointed_out(printed):
    """A high AvgIG is to come with a high task score; a low rFID, too."""
    assert "wrong way" not in judged(printed, study(GOOD))["reason"]
    assert "r = -0.99 of SiT-B points the wrong way" in judged(printed, study(GOOD, sign=-1))["reason"]
    other = judged(printed, study(GOOD), column="Medical rFID")
    assert "r = +0.99 of SiT-B points the wrong way" in other["reason"]


def test_the_pages_show_each_study(printed):
    told = (
        claim(study(GOOD), {"title": "MAR-B", "reason": "2 of 4 needed"}),
        claim(study(GOOD), study(GOOD, title="DiT-B")),
    )
    found = claims.evaluate_all(told, {}, printed, paper="p", title="P", scale="desk", seeds=[1, 2, 3])
    html, markdown = claims_files.to_html(found), claims_files.to_markdown(found)
    for text in ("|r| of Medical AvgIG, SiT-B, 12 tokenizers", "2 of 4 needed", "0.917", "no correlation mixes two"):
        assert text in html, text
    assert "correlations/SiT-B" in html and "<p>DiT-B</p>" in html and "first to last" not in html
    assert "no correlation mixes two" in markdown and markdown.count("reproduced: ") == 2


def test_the_stage_reads_what_a_study_measured(tmp_path, printed):
    def artifact(name: str, **content) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps({"measure": {}, **content}))
        return folder

    told = study(GOOD)
    values = {"tokenizers": 12.0, "rfid_pearson": told["rival"], "avgig_pearson": -told["r"]}
    values |= {"avgig_ahead": told["ahead"]}
    rows = [
        {"name": str(place), "kind": "2D", "numbers": dict(zip(("avgig", "against", "rfid"), three))}
        for place, three in enumerate(zip(*told["numbers"]))
    ]
    inputs = {
        "correlations/one": artifact("one", values=values, rows=rows, by_seed={"avgig": told["by_seed"]}),
        "correlations/few": artifact("few", values={"tokenizers": 2.0}, without={"avgig_pearson": "2 of 4 needed"}),
    }
    about = {"predictor": "avgig", "rival": "rfid"}
    studies = [{"title": name, "artifact": f"correlations/{name}", **about} for name in ("one", "few")]
    (tmp_path / "out").mkdir()
    spec = {"paper": "comptok", "title": "C", "scale": "desk", "seeds": [1, 2, 3], "cells": []}
    job = SimpleNamespace(
        spec=spec | {"claims": [claim(*studies, {"title": "none", "reason": "at desk"})]},
        inputs=inputs,
        sources={"published": FILE},
        out=tmp_path / "out",
    )
    assert run(job)["reproduced"] == 1
    (found,) = json.loads((job.out / "claims.json").read_text())["claims"]
    assert found["effect"]["interval"] == judged(printed, told)["effect"]["interval"]
    assert found["effect"]["differences"] == told["by_seed"]
    assert "not run: few (2 of 4 needed), none (at desk)" in found["reason"] and "wrong way" in found["reason"]
