"""Stage `correlations`: printed cells, measured numbers over seeds, and what has no number."""

import json

import numpy as np
import pytest
from scipy import stats

from tesserae.correlating import LEAST, PREDICTORS, RIVAL, TOLD
from tesserae.lineage.measures.registry import problem
from tesserae.reporting.tables import TableError
from tesserae.stages.correlations import run
from tests.conftest import ROOT
from tests.stages.works import work

PUBLISHED = ROOT / "config/published/comptok.csv"
STAGE = {"rfid": "reconstruction", "avgig": "information_gain", "mc": "mode_connectivity", "against": "metrics"}
VALUE = {"rfid": "rfid", "avgig": "avgig", "mc": "mc", "against": "fid"}
NAMES = ("a", "b", "c", "d", "e")
MEASURE = {"kind": "counted", "counted": "it"}


def numbers(tokenizers=NAMES, seeds=2, seed=0) -> dict[str, np.ndarray]:
    """(n, K) by key: AvgIG falls with gFID, MC follows no one, rFID rises with it a little."""
    rng = np.random.default_rng(seed)
    against = 5 + rng.random((len(tokenizers), 1)) + 0.05 * rng.random((len(tokenizers), seeds))
    noise = {key: rng.random((len(tokenizers), seeds)) for key in PREDICTORS}
    return {
        "against": against,
        "avgig": 1 - 0.1 * against + 0.002 * noise["avgig"],
        "mc": noise["mc"],
        "rfid": against + 2 * noise["rfid"],
    }


def made(folder, found, tokenizers=NAMES, kinds="22211", without=(), measure=(), **change):
    """A job of measured numbers, with what it reads; without: artifact -> why; measure: artifact -> how it differs."""
    seeds, inputs, told = found["against"].shape[1], {}, []
    for place, name in enumerate(tokenizers):
        row = {"name": name, "kind": f"{kinds[place]}D", "numbers": {}}
        for key, stage in STAGE.items():
            artifact = f"{stage}/{name}"
            row["numbers"][key] = [artifact, VALUE[key]]
            for number in range(seeds):
                made_of = artifact + (f".seed{number + 1}" if number else "")
                content = {
                    "values": {VALUE[key]: float(found[key][place, number])},
                    "measure": MEASURE,
                    "measure_id": "",
                }
                if made_of in dict(without):
                    content |= {"values": {}, "without": {VALUE[key]: dict(without)[made_of]}}
                content["measure"] = MEASURE | dict(measure).get(made_of, {})
                inputs[made_of] = folder / made_of
                inputs[made_of].mkdir(parents=True)
                (inputs[made_of] / "metrics.json").write_text(json.dumps(content))
        told.append(row)
    spec = {
        "against": "gFID",
        "predictors": {"rfid": "rFID", "avgig": "AvgIG", "mc": "MC"},
        "tokenizers": told,
        "left_out": {"f": "at paper"},
        "seeds": list(range(1, seeds + 1)),
        "varies": [],
        "resamples": 400,
        "seed": 0,
    }
    return work("correlations", folder, spec | change, inputs=inputs)


def told(job) -> dict:
    values = run(job)
    found = json.loads((job.out / "metrics.json").read_text())
    assert values == found["values"] and not problem(found["measure"])
    assert {*found["values"], *found.get("without", {})} <= {*TOLD}
    return found


def printed(folder, table, against, **columns) -> dict:
    spec = {"table": table, "against": against, "predictors": columns, "r": {}}
    if table == "Table 2":
        domain = against.removesuffix(" Task")
        spec["r"] = {key: [f"r({PRINTED[key]}, Task)", f"{domain} Pearson r"] for key in columns}
    return told(work("correlations", folder, spec, published=PUBLISHED))


PRINTED = {"rfid": "rFID", "avgig": "AvgIG", "mc": "MC"}


def test_a_printed_block_stands_beside_what_its_cells_give(tmp_path):
    columns = {key: f"Text OCR {name}" for key, name in PRINTED.items()}
    found = printed(tmp_path, "Table 2", "Text OCR Task", **columns)
    values = found["values"]
    assert values["tokenizers"] == 8 and "Original Image" in found["left_out"]
    assert (values["mc_printed"], values["mc_pearson"]) == (0.94, pytest.approx(0.9414, abs=5e-5))
    assert (values["avgig_printed"], values["avgig_pearson"]) == (0.92, pytest.approx(0.9284, abs=5e-5))
    assert values["mc_in_1d"] == pytest.approx(-0.69, abs=5e-3)
    assert values["mc_centred"] == pytest.approx(0.40, abs=5e-3)
    assert values["rfid_rounded_low"] < values["rfid_pearson"] < values["rfid_rounded_high"]
    assert {row["kind"] for row in found["rows"]} == {"1D", "2D"}


def test_a_table_without_a_block_has_none(tmp_path):
    found = printed(tmp_path, "Table 1", "gFID", **PRINTED)
    assert found["values"]["tokenizers"] == 15
    assert found["values"]["avgig_pearson"] == pytest.approx(-0.840, abs=5e-4)
    assert found["without"]["avgig_printed"] == "not in print"
    assert not {"avgig_low", "avgig_ahead"} & found["values"].keys()  # of printed numbers nobody can draw others


def test_measured_numbers_are_means_over_seeds(tmp_path):
    found = numbers()
    values = told(made(tmp_path, found))["values"]
    x, y = found["avgig"].mean(axis=1), found["against"].mean(axis=1)
    r = stats.pearsonr(x, y)
    assert values["avgig_pearson"] == pytest.approx(r.statistic) and r.statistic < -0.9
    assert values["avgig_p"] == pytest.approx(r.pvalue)
    rival = stats.pearsonr(found["rfid"].mean(axis=1), y).statistic
    assert values["avgig_ahead"] == pytest.approx(abs(r.statistic) - abs(rival))
    for key in PREDICTORS:
        assert values[f"{key}_low"] <= values[f"{key}_high"]
    # A number of each name, but what is of print, and r of two tokenizers of one kind.
    absent = {f"{key}_{name}" for key in PREDICTORS for name in ("printed", "rounded_low", "rounded_high")}
    absent |= {f"{key}_in_{kind}" for key in PREDICTORS for kind in ("1d", "2d")}
    assert values.keys() == {*TOLD} - absent


def test_differences_of_a_seed_are_its_own(tmp_path):
    found = numbers(seeds=3)
    shown = told(made(tmp_path, found))
    for number, ahead in enumerate(shown["by_seed"]["mc"]):
        y = found["against"][:, number]
        own, rival = (abs(stats.pearsonr(found[key][:, number], y).statistic) for key in ("mc", RIVAL))
        assert ahead == pytest.approx(own - rival)
    assert len(shown["by_seed"]["mc"]) == 3 and RIVAL not in shown["by_seed"]


@pytest.mark.parametrize("many", [1, LEAST - 1])
def test_of_too_few_there_is_no_number(tmp_path, many):
    tokenizers = NAMES[:many]
    job = made(tmp_path, numbers(tokenizers), tokenizers, kinds="222")
    job.inputs.clear()  # nothing is made for these
    found = told(job)
    assert found["values"] == {"tokenizers": many}
    assert set(found["without"].values()) == {f"{many} of 4 needed"} and len(found["without"]) == len(TOLD) - 1


def test_what_a_scale_does_not_run_at_all_says_where_it_is_run(tmp_path):
    for name, left_out, why in (
        ("one", {"a": "at paper", "b": "at paper"}, "at paper"),
        ("two", {"a": "at paper", "b": "at desk"}, "0 of 4 needed"),
    ):
        (tmp_path / name).mkdir()
        job = made(tmp_path / name, numbers(()), (), left_out=left_out)
        assert set(told(job)["without"].values()) == {why}


def test_a_tokenizer_without_a_number_is_left_out(tmp_path):
    lacking = {"information_gain/b": "diverged, of 3 of 9 images"}
    found = told(made(tmp_path, numbers(), without=lacking))
    assert found["values"]["tokenizers"] == 4 and [row["name"] for row in found["rows"]] == ["a", "c", "d", "e"]
    assert found["left_out"] == {"f": "at paper", "b": "information_gain/b: diverged, of 3 of 9 images"}
    lacking["mode_connectivity/c.seed2"] = "not finite"
    (tmp_path / "fewer").mkdir()
    fewer = told(made(tmp_path / "fewer", numbers(), without=lacking))
    assert fewer["values"] == {"tokenizers": 3} and fewer["without"]["mc_pearson"] == "3 of 4 needed"


def test_what_does_not_vary_has_no_correlation(tmp_path):
    found = numbers()
    found["mc"][:] = 1.0
    shown = told(made(tmp_path, found))
    assert shown["without"]["mc_pearson"] == shown["without"]["mc_ahead"] == "all alike"
    assert "mc" not in shown["by_seed"]
    assert {"avgig_pearson", "avgig_low", "avgig_ahead_low"} <= shown["values"].keys()


def test_numbers_of_two_measures_are_not_correlated(tmp_path):
    with pytest.raises(TableError, match=r"avgig mixes measures: counted it \(a\) and other"):
        other = {f"information_gain/{name}": {"counted": "other"} for name in ("c", "c.seed2")}
        run(made(tmp_path, numbers(), measure=other))
