"""Figures of swapped tokens, and of a descent and a path: what stands where, what is not there."""

import numpy as np
import pytest

from tesserae.reporting.drawing import FigureError
from tesserae.reporting.figures import descents_and_paths, swap_curves, swaps
from tesserae.reporting.seeds import over_seeds
from tesserae.reporting.tables import TableError
from tests.reporting.drawings import below, texts
from tests.reporting.test_kept import SIDE, pictures

K, R, M = 2, 5, 4
CURVES = ("loss", "first", "second")


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sensitivities = rng.random((3, M)).astype(np.float32)
    sensitivities[:, 1] = np.nan  # the same token in all pairs
    return {
        "first": pictures(K, seed=7),
        "second": pictures(K, seed=8),
        "pictures": pictures(K, R, seed=seed),
        "pictures_prefix": pictures(K, R, seed=seed + 1),
        "shares": np.linspace(0, 1, R),
        "sensitivities": sensitivities,
    }


def numbers(shift: float = 0.0, critic: str = "comptok", **changes) -> dict:
    measure = {
        **{"kind": "mixtures", "critic": critic, "encoder": "embedded", "reference": "emoji val", "samples": 9},
        **{"sensitivity_pairs": 3, "weights": "averaged", "columns": R, "drawing_steps": 10, "real_images": 8},
    }
    curves = {f"{name}{order}": [shift + at for at in range(R)] for name in CURVES for order in ("", "_prefix")}
    values = {"ratio": 0.5, "turn": 37.5, "sensitivity": 0.1, "neglected": 25.0}
    found = {"values": values, "measure": measure, "measure_id": "ab", "selection": None, "curves": curves}
    return found | changes


# ---- sheets -------------------------------------------------------------------------------------------------------


def test_a_row_of_each_order_lies_between_both_images(drawn):
    found = arrays()
    swaps.plot("x", tokenizers={"one": found}, numbers={"one": over_seeds([numbers()])}, pair=2, scale="pocket")
    (figure,) = drawn
    heads = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert heads == ["A", "0", "1/4", "1/2", "3/4", "1", "B"]
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["one\nany first", "one\nfirst ones first"]
    sheet = figure.axes[0].images[0].get_array()
    lines = [line for line in range(len(sheet)) if sheet[line, :, 3].any()]
    side = (len(lines)) // 2
    for line, name in ((lines[0], "pictures"), (lines[side], "pictures_prefix")):
        columns = np.flatnonzero(sheet[line, :, 3])[::side]
        wanted = [found["first"][1], *found[name][1], found["second"][1]]
        for column, picture in zip(columns, wanted, strict=True):
            step = side // SIDE
            assert (sheet[line : line + side : step, column : column + side : step, :3] == picture).all()
    assert "one, over 9 pairs, any first" in below(figure) and "more like B from 38 % of the tokens on" in below(figure)


def test_what_is_cited_not_run_or_not_kept_says_so(drawn):
    tokenizers = {"one": arrays(), "two": "at desk"}
    swaps.plot("x", tokenizers=tokenizers, cited=["MaskBit"], scale="pocket")
    assert texts(drawn[0]).count("at desk") == 2 and texts(drawn[0]).count(swaps.CITED) == 2
    assert "MaskBit (cited by the paper, not run here); two (at desk)" in below(drawn[0])
    swaps.plot("x", tokenizers=tokenizers, pair=K + 1, scale="pocket")
    assert texts(drawn[1]) == ["this scale keeps pictures of 2 pairs", "at desk"]


def test_other_pairs_or_columns_do_not_stand_in_one_figure(drawn):
    for change in ({"second": pictures(K, seed=9)}, {"shares": np.linspace(0, 0.5, R)}):
        with pytest.raises(FigureError, match="different pairs or columns stand in one figure: see two"):
            swaps.plot("x", tokenizers={"one": arrays(), "two": arrays() | change}, scale="pocket")


# ---- curves -------------------------------------------------------------------------------------------------------


def test_curves_are_means_over_seeds_and_those_that_are_not_finite_are_left_out(drawn):
    runs = [numbers(0.0), numbers(1.0)]
    short = {name: curve for name, curve in numbers()["curves"].items() if name != "loss"}
    tokenizers = {"one": (arrays(), runs), "two": (arrays(3), [numbers(curves=short)])}
    swap_curves.plot("x", tokenizers=tokenizers, scale="desk")
    loss, prefix, likeness, change = drawn[0].axes
    assert len(loss.lines) == 1 and len(prefix.lines) == 2 and len(likeness.lines) == 4
    np.testing.assert_allclose(loss.lines[0].get_ydata(), np.arange(R) + 0.5)
    np.testing.assert_allclose(loss.lines[0].get_xdata(), np.linspace(0, 1, R))
    means = np.nanmean(arrays()["sensitivities"][:, [0, 2, 3]], axis=0)
    np.testing.assert_allclose(change.lines[0].get_ydata(), means, rtol=1e-6)
    np.testing.assert_allclose(change.lines[0].get_xdata(), (np.array([0, 2, 3]) + 0.5) / M)
    drawn[0].canvas.draw()
    with pytest.raises(TableError):
        other = (arrays(), [numbers(critic="other")])
        swap_curves.plot("x", tokenizers={"one": tokenizers["one"], "other": other}, scale="desk")


def test_descents_and_paths_are_means_over_pairs_and_seeds(drawn):
    def gained(*curve: float) -> dict:
        measure = {"kind": "descents", "samples": 4, "reference": "emoji val", "steps": 2}
        return {"values": {"avgig": 1.0}, "measure": measure, "measure_id": "ab", "curves": {"avgig": list(curve)}}

    walked = {"values": {"mc": 0.5}, "measure": {"kind": "paths", "critic": "comptok", "samples": 6}, "measure_id": "c"}
    losses = [np.array([[0.0, 1.0, 0.0], [0.0, 3.0, 2.0]]), np.array([[2.0, 2.0, 2.0]])]
    descents_and_paths.plot(
        "x",
        descents={"one": [gained(0.4, 0.2, 0.1), gained(0.2, 0.1, 0.1)], "two": []},
        paths={"one": losses, "two": []},
        walked={"one": [walked, walked], "two": []},
        reasons=({"two": "at desk"}, {"two": "at desk"}),
        scale="desk",
    )
    left, right = drawn[0].axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [0.3, 0.15, 0.1])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [1.0, 2.0, 1.5])
    assert "4 images" in below(drawn[0]) and "two (at desk)" in below(drawn[0])
