"""Several seeds as one: means, deviations, and what seeds may differ in."""

import copy

import pytest

from tesserae.lineage import fingerprint
from tesserae.reporting.seeds import SeedError, over_seeds, spread
from tesserae.reporting.tables import TableError
from tests.reporting.synthetic import metrics


def test_one_seed_stays_what_it_is():
    one = metrics(40.0, 2.0)
    joined = over_seeds([one])
    assert {name: joined[name] for name in one} == one
    assert (joined["seeds"], joined["sd"]) == (1, {})


def test_several_are_mean_and_sample_deviation():
    joined = over_seeds([metrics(fid, 2.0) for fid in (1.0, 2.0, 6.0)])
    assert joined["values"]["fid"] == 3.0
    assert joined["sd"]["fid"] == pytest.approx(7**0.5)  # (4 + 1 + 9) / 2
    assert (joined["sd"]["is"], joined["seeds"], joined["deviation"]) == (0.0, 3, {})


def test_seeds_may_select_and_draw_for_themselves():
    runs = [copy.deepcopy(metrics(1.0, 2.0, guidance=guidance)) for guidance in (3.0, 4.0)]
    for number, run in enumerate(runs):
        run["measure"]["seed"], run["measure_id"] = number, str(number)
    joined = over_seeds(runs)
    assert joined["measure"]["guidance"] == joined["selection"]["guidance"] == [3.0, 4.0]
    assert (joined["measure"]["seed"], joined["measure"]["temperature"]) == ([0, 1], 1.0)
    policy = {key: value for key, value in joined["measure"].items() if key not in ("guidance", "temperature")}
    assert joined["measure_id"] == fingerprint.digest(policy)


def test_other_differences_are_refused():
    with pytest.raises(TableError, match=r"one recipe mixes measures: samples 1000 \(seed 1\) and 500 \(seed 2\)"):
        over_seeds([metrics(1.0, 2.0), metrics(1.0, 2.0, samples=500)])
    with pytest.raises(SeedError, match="different values"):
        over_seeds([metrics(1.0, 2.0), metrics(1.0, 2.0) | {"values": {"rfid": 1.0}}])


def test_what_is_said_of_chance():
    assert spread([None, {"seeds": 1}]) == "one seed: differences may be chance"
    assert spread([{"seeds": 3}, {"seeds": 2}, None]) == "means over 2 or 3 seeds ± their sample standard deviation"
