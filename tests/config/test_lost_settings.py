"""COMiT's own table E: each row is COMiT-B but for one number that the paper's text lost, at the scale that runs it."""

import pytest

from tesserae.config import spec as specs
from tesserae.config.project import read_project
from tests.conftest import ROOT

CHANGED = {
    "comit_b_srepa01": {"loss_weights.srepa": (0.5, 0.1)},
    "comit_b_srepa1": {"loss_weights.srepa": (0.5, 1.0)},
    "comit_b_repa01": {"loss_weights.repa": (0.5, 0.1)},
    "comit_b_times_mean0": {"times.mean": (-1.0, 0.0)},
    "comit_b_times_std2": {"times.std": (1.0, 2.0)},
    "comit_b_looks_uniform": {"looks.uniform": (False, True)},
    "comit_b_looks_swapped": {
        "looks.whole_probability": (0.55, 0.18),
        "looks.unconditional_probability": (0.18, 0.55),
    },
}
TRAINED = ("comit_b", "comit_b_nosrepa", "comit_b_nolocal")


def leaves(values: dict, before: str = "") -> dict:
    found = {}
    for key, value in values.items():
        found |= leaves(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return found


@pytest.fixture(scope="module")
def desk():
    return read_project(ROOT, "desk")


def test_the_table_has_them_all_and_what_they_are_compared_with(desk):
    rows = desk.papers["comit"].tables["own_e"].rows
    assert set(rows) == {*CHANGED, *TRAINED}


@pytest.mark.parametrize("row", CHANGED)
def test_a_row_differs_in_its_own_number_alone(desk, row):
    """Even where the scale says another number than the paper: a scale's number would hide that of the row."""
    own, guessed = (leaves(specs.tokenizer(desk.tokenizers[name], desk.context).values) for name in (row, "comit_b"))
    assert own.keys() == guessed.keys()
    differ = {key.removeprefix("model."): (guessed[key], own[key]) for key in own if own[key] != guessed[key]}
    assert differ == CHANGED[row]


@pytest.mark.parametrize("scale", ["smoke", "pocket", "released", "paper"])
def test_they_are_trained_at_desk_alone(scale):
    project = read_project(ROOT, scale)
    assert not set(CHANGED) & set(project.tokenizers)
