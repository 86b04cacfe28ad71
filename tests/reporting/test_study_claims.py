"""Claims that one number predicts better than another: study by study, with intervals of their own, and never mixed."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

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


def study(ahead, low, high, *, title="SiT-B", r=0.9, by_seed=(0.1, 0.2, 0.3)) -> dict:
    numbers = {"tokenizers": 6.0, "r": r, "rival": abs(r) - ahead, "ahead": ahead, "interval": [low, high]}
    return {"title": title, "artifact": f"correlations/{title}", **numbers, "by_seed": list(by_seed)}


def judged(printed, *studies, **change) -> dict:
    (record,) = claims.evaluate_all(
        [claim(*studies, **change)], {}, printed, paper="p", title="P", scale="desk", seeds=[1, 2, 3]
    )["claims"]
    return record


@pytest.mark.parametrize(
    ("bounds", "word"), [((0.1, 0.5), "reproduced"), ((-0.5, -0.1), "contradicted"), ((-0.1, 0.5), "inconclusive")]
)
def test_the_interval_is_the_studys(printed, bounds, word):
    found = judged(printed, study(sum(bounds) / 2, *bounds))
    assert (found["verdict"], found["effect"]["interval"]) == (word, list(bounds))
    assert found["published"]["effect"] == pytest.approx(0.73, abs=6e-4)  # of the paper's own rows
    assert found["relative"] == pytest.approx(found["effect"]["mean"] / (0.9 - sum(bounds) / 2))


def test_every_study_has_to_bear_it_out(printed):
    good, open_, bad = (
        study(0.3, 0.1, 0.5),
        study(0.1, -0.1, 0.3, title="MAR-B"),
        study(-0.3, -0.5, -0.1, title="DiT-B"),
    )
    assert judged(printed, good, good)["verdict"] == "reproduced"
    found = judged(printed, good, open_)
    assert (found["verdict"], found["reason"]) == ("inconclusive", "of 2 studies 1 reproduced, 1 inconclusive")
    assert [step["label"] for step in found["steps"]] == ["SiT-B", "MAR-B"]
    assert found["effect"]["mean"] == pytest.approx(0.2) and found["effect"]["interval"] is None
    assert judged(printed, good, open_, bad)["verdict"] == "contradicted"


def test_one_seed_decides_nothing(printed):
    found = judged(printed, study(0.3, 0.1, 0.5, by_seed=[0.3]))
    assert found["verdict"] == "inconclusive" and found["reason"].startswith("one seed: no interval; the sign supports")


def test_what_was_not_run_says_why(printed):
    nothing = {"title": "MAR-B", "reason": "2 of 4 needed"}
    found = judged(printed, nothing)
    assert (found["verdict"], found["reason"], found["effect"]) == ("not run", "MAR-B (2 of 4 needed)", None)
    beside = judged(printed, study(0.3, 0.1, 0.5), nothing)
    assert beside["verdict"] == "reproduced" and beside["reason"].endswith("; not run: MAR-B (2 of 4 needed)")


def test_a_correlation_of_the_wrong_sign_is_pointed_out(printed):
    """A high AvgIG is to come with a high task score; a low rFID, too."""
    assert "wrong way" not in judged(printed, study(0.3, 0.1, 0.5, r=0.9))["reason"]
    assert "r = -0.90 of SiT-B points the wrong way" in judged(printed, study(0.3, 0.1, 0.5, r=-0.9))["reason"]
    other = judged(printed, study(0.3, 0.1, 0.5, r=0.9), column="Medical rFID")
    assert "r = +0.90 of SiT-B points the wrong way" in other["reason"]


def test_the_pages_show_each_study(printed):
    told = (
        claim(study(0.3, 0.1, 0.5), {"title": "MAR-B", "reason": "2 of 4 needed"}),
        claim(study(0.3, 0.1, 0.5), study(0.2, 0.1, 0.3, title="DiT-B")),
    )
    found = claims.evaluate_all(told, {}, printed, paper="p", title="P", scale="desk", seeds=[1, 2, 3])
    html, markdown = claims_files.to_html(found), claims_files.to_markdown(found)
    for text in ("|r| of Medical AvgIG, SiT-B, 6 tokenizers", "2 of 4 needed", "0.917", "no correlation mixes two"):
        assert text in html, text
    assert "correlations/SiT-B" in html and "<p>DiT-B</p>" in html and "first to last" not in html
    assert "no correlation mixes two" in markdown and markdown.count("reproduced: ") == 2


def test_the_stage_reads_what_a_study_measured(tmp_path, printed):
    def artifact(name: str, **content) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps({"measure": {}, **content}))
        return folder

    values = {"tokenizers": 5.0, "rfid_pearson": 0.2, "avgig_pearson": -0.9}
    values |= {"avgig_ahead": 0.7, "avgig_ahead_low": 0.4, "avgig_ahead_high": 0.9}
    inputs = {
        "correlations/one": artifact("one", values=values, by_seed={"avgig": [0.6, 0.8]}),
        "correlations/few": artifact("few", values={"tokenizers": 2.0}, without={"avgig_pearson": "2 of 4 needed"}),
    }
    about = {"predictor": "avgig", "rival": "rfid"}
    studies = [{"title": name, "artifact": f"correlations/{name}", **about} for name in ("one", "few")]
    (tmp_path / "out").mkdir()
    spec = {"paper": "comptok", "title": "C", "scale": "desk", "seeds": [1, 2], "cells": []}
    job = SimpleNamespace(
        spec=spec | {"claims": [claim(*studies, {"title": "none", "reason": "at desk"})]},
        inputs=inputs,
        sources={"published": FILE},
        out=tmp_path / "out",
    )
    assert run(job)["reproduced"] == 1
    (found,) = json.loads((job.out / "claims.json").read_text())["claims"]
    assert found["effect"]["interval"] == [0.4, 0.9] and found["effect"]["differences"] == [0.6, 0.8]
    assert "not run: few (2 of 4 needed), none (at desk)" in found["reason"] and "wrong way" in found["reason"]
