"""Figures of tokenizers that score patches: curves without a part of them, maps, what is kept at which loss rate."""

import csv

import numpy as np
import pytest

from tesserae.reporting import drawing, overlays, published
from tesserae.reporting.drawing import FigureError
from tesserae.reporting.figures import (
    error_maps,
    kept_of_nothing,
    kept_tokens,
    score_maps,
    token_sweep,
    truncation,
)
from tesserae.reporting.kept import Kept
from tesserae.reporting.seeds import over_seeds
from tesserae.reporting.tables import TableError
from tests.reporting.drawings import below
from tests.reporting.test_concepts import labels, row
from tests.stages.works import work

SIDE, GRID = 8, 4
MEASURE = {"kind": "images", "extractor": "embedded", "samples": 100}


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, SIDE, SIDE, 3)).astype(np.uint8)


def metrics(values: dict, **more) -> dict:
    record = {"deviation": {}, "measure": MEASURE, "measure_id": "ab12", "selection": None}
    return {"values": values} | record | more


# ---- Figure 3 -----------------------------------------------------------------------------------------------------

ROWS = {
    "none": "setting 1, 0 global tokens",
    "a16": "setting 1, 16 global tokens",
    "b16": "setting 2, 16 global tokens",
}
SWEPT = {
    "rows": ROWS,
    "x": {"label": "global tokens", "values": {"none": 0, "a16": 16, "b16": 16}},
    "series": {"Setting 1": ["none", "a16"], "Setting 2": ["none", "b16"]},
    "scale": "pocket",
}


def rfids(**found: float) -> dict:
    return {key: over_seeds([metrics({"rfid": value})]) for key, value in found.items()}


def test_lines_share_a_point_and_published_numbers_have_a_panel_of_their_own(drawn):
    printed = {"none": 2.17, "a16": 1.51, "b16": None}
    token_sweep.plot("x", **SWEPT, numbers=rfids(none=40.0, a16=30.0, b16=35.0), published=printed)
    (figure,) = drawn
    left, right = figure.axes
    assert [line.get_xydata().tolist() for line in left.lines] == [[[0, 2.17], [16, 1.51]], [[0, 2.17]]]
    assert [line.get_xydata().tolist() for line in right.lines] == [[[0, 40], [16, 30]], [[0, 40], [16, 35]]]
    assert "Published" in left.get_title(loc="left") and "extractor embedded, 100 samples" in right.get_title(
        loc="left"
    )
    assert "one seed" in below(figure) and "not comparable" in below(figure)


def test_a_sweep_says_what_was_not_run_and_mixes_no_measures(drawn):
    token_sweep.plot("x", **SWEPT, numbers={}, reasons=dict.fromkeys(ROWS, "at desk"))
    (figure,) = drawn
    assert [text.get_text() for text in figure.axes[0].texts] == ["at desk"]
    assert "16 global tokens (at desk)" in below(figure)
    other = over_seeds([metrics({"rfid": 1.0}, measure=MEASURE | {"extractor": "another"})])
    with pytest.raises(TableError, match="extractor"):
        token_sweep.plot("x", **SWEPT, numbers=rfids(none=2.0) | {"a16": other})


def test_only_printed_rows_are_looked_up(drawn, tmp_path, monkeypatch):
    """A row of ours in a printed figure has no published point; a misspelt label is found when files are read."""
    with (tmp_path / "paper.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(published.COLUMNS)
        writer.writerow(["Figure 3", "g", ROWS["none"], "tokenizer", "rFID", "lower", "2.17", ""])
    spec = SWEPT | {"rows": list(ROWS.items()), "published": "Figure 3", "seeds": [1], "missing": []}
    spec |= {"inputs": {"tokenizers": {"numbers": "reconstruction/{row}"}}}
    monkeypatch.setattr(token_sweep, "read", lambda *asked: [metrics({"rfid": 3.0})])
    token_sweep.draw(work("figure", tmp_path, spec, published=tmp_path / "paper.csv"), tmp_path / "x")
    assert [line.get_xydata().tolist() for line in drawn[0].axes[0].lines] == [[[0, 2.17]], [[0, 2.17]]]


# ---- Figure 4 -----------------------------------------------------------------------------------------------------


def truncated(shift: float = 0.0, patches: tuple[int, ...] = (0, 7, 15)) -> dict:
    curve = {where: [1.0 + shift, 2.0 + shift + place, 90.0] for place, where in enumerate(("start", "end", "random"))}
    numbers = {"removed": [0, 211, 440], "patches": list(patches), "rfid": curve}
    return metrics({"rfid": 1.0 + shift}, curves=numbers | {"psnr": {where: [9, 8, 7] for where in curve}})


def test_curves_of_tokenizers_stand_side_by_side(drawn):
    found = {"Main": [truncated(), truncated(2.0)], "Control": []}
    printed = {"no truncation": 2.17, "end truncation, 211 removed": 2.32}
    truncation.plot(
        "x",
        tokenizers=found,
        published=printed,
        published_from="Figure 4",
        reasons={"Control": "at desk"},
        scale="pocket",
    )
    (figure,) = drawn
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        f"{label}: {name}" for name in ("rFID ↓", "PSNR ↑ (dB)") for label in ("Main", "Control")
    ]
    by_label = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert by_label["from the start"] == [[0, 2], [7, 3], [15, 90]]
    assert by_label["at random"] == [[0, 2], [7, 5], [15, 90]]
    assert [text.get_text() for text in figure.axes[1].texts] == ["at desk"]
    for words in ("16 patches here, 441 in the paper", "end truncation, 211 removed 2.32", "means over 2 seeds"):
        assert words in below(figure)
    with pytest.raises(FigureError, match="different numbers of patches"):
        truncation.plot(
            "x", tokenizers={"Main": [truncated()], "Other": [truncated(patches=(0, 8, 15))]}, scale="pocket"
        )


# ---- maps ---------------------------------------------------------------------------------------------------------


def kept(seed: int = 0) -> Kept:
    rng = np.random.default_rng(seed)
    swept = np.stack([rng.random((3, GRID, GRID)) < share for share in (0.9, 0.4)])
    arrays = {
        "originals": pictures(3, seed=seed),
        "reconstructions": pictures(3, seed=seed + 1),
        "errors": rng.random((3, SIDE, SIDE)).astype(np.float32),
        "scores": rng.random((3, GRID, GRID)),
        "kept": swept[1],
        "epsilons": np.array([0.05, 0.15]),
        "swept": swept,
        "blanks": np.stack([np.full((SIDE, SIDE, 3), 255, np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8)]),
        "blank_names": np.array(["white", "black"]),
        "blank_scores": np.stack([np.ones((GRID, GRID)), np.zeros((GRID, GRID))]),
        "blank_kept": np.stack([np.ones((GRID, GRID), bool), np.eye(GRID, dtype=bool)]),
        "blank_epsilon": np.array(0.15),
    }
    shares = {f"{edges}_{end}": 40.0 for end in ("lowest", "highest") for edges in ("left_right", "top_bottom")}
    shares |= {
        f"{name}_{blank}": 7.25 for name in ("patches", "left_right", "top_bottom") for blank in ("white", "black")
    }
    sweep = [
        {"epsilon": rate, "patches": many, "left_right": 40.0, "top_bottom": 30.0}
        for rate, many in ((0.05, 14.4), (0.15, 6.5))
    ]
    values = shares | {"chance": 50.0, "nested": 100.0}
    return Kept(arrays, over_seeds([metrics(values, sweep=sweep)]), sweep)


def test_patches_that_are_lost_at_a_loss_rate_are_dark(drawn):
    found = kept()
    kept_tokens.plot("x", tokenizers={"Ours": found}, scale="pocket", reasons={"Other": "at desk"})
    (figure,) = drawn
    numbers = "patches, 40 % left or right"
    assert labels(figure.axes[0]) == ["Ours", f"ε = 0.05\n14.4 {numbers}", f"ε = 0.15\n6.5 {numbers}"]
    images = found.arrays["originals"]
    for line in (0, 1):
        assert (row(figure, 1 + line) == overlays.shade(images, found.arrays["swept"][line])).all()
    for words in ("40.0 % and 40.0 % at ε = 0.05", "by chance 50.0 %", "in 100.0 % of images", "Other (at desk)"):
        assert words in below(figure)


def test_pictures_of_nothing_have_a_column_each(drawn):
    kept_of_nothing.plot("x", tokenizers={"Ours": kept()}, scale="pocket")
    (figure,) = drawn
    axes = figure.axes[0]
    assert labels(axes) == ["Ours", "kept", "score"] and [t.get_text() for t in axes.get_xticklabels()] == [
        "white",
        "black",
    ]
    sheet = axes.images[0].get_array()
    centre = round(axes.get_yticks()[1])
    columns = [
        sheet[centre - drawing.SIDE // 2 + 4, round(x) - drawing.SIDE // 2 + 4, :3].tolist() for x in axes.get_xticks()
    ]
    assert columns == [kept_of_nothing.LIT.tolist()] * 2  # the first patch of both is kept
    corner = sheet[centre - drawing.SIDE // 2 + 4, round(axes.get_xticks()[1]) + drawing.SIDE // 2 - 4, :3].tolist()
    assert corner == kept_of_nothing.DIM.tolist()
    assert "white: 7.2 patches, left or right 7.2 %" in below(figure)


def test_a_map_of_scores_is_as_large_as_the_picture(drawn):
    found = kept()
    score_maps.plot("x", tokenizers={"Ours": found}, scale="pocket")
    (figure,) = drawn
    assert labels(figure.axes[0]) == ["Ours", "reconstruction", "error", "score", "kept"]
    assert (row(figure, 0) == found.arrays["originals"]).all()
    assert (row(figure, 4) == overlays.shade(found.arrays["originals"], found.arrays["kept"])).all()
    scores = found.arrays["scores"][0]
    shown = row(figure, 3)[0]
    brightest = np.unravel_index(scores.argmax(), scores.shape)
    assert (shown[2 * brightest[0], 2 * brightest[1]] == overlays.colours(np.ones(1), 1.0)).all()


def test_errors_are_those_of_the_pixels_on_one_scale_of_colours(drawn):
    originals = pictures(3)
    near = np.clip(originals.astype(int) + 3, 0, 255).astype(np.uint8)
    given = {"Near": {"originals": originals, "reconstructions": near}, "Not": "at desk"}
    given |= {"Far": {"originals": originals, "reconstructions": 255 - originals}}
    error_maps.plot("x", tokenizers=given, scale="pocket")
    (figure,) = drawn
    assert labels(figure.axes[0]) == ["original", "Near", "its error", "Not", "Far", "its error"]
    assert row(figure, 2).astype(int).sum() < row(figure, 5).astype(int).sum() / 5
    assert "Not (at desk)" in below(figure)
    assert error_maps.error_map(np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8)).tolist() == [
        [[2.0, 2.0]] * 2
    ]
    with pytest.raises(FigureError, match="different images"):
        error_maps.plot("x", tokenizers=given | {"Near": {"originals": near, "reconstructions": near}}, scale="pocket")


def timed(rate: float, device: str = "a processor") -> dict:
    measure = {"kind": "speed", "device": device, "guidance": rate}
    return {"values": {"samples_per_second": rate}, "measure": measure}


def test_errors_stand_beside_speeds_and_rows_that_are_cited(drawn):
    originals = pictures(2)
    one = {"originals": originals, "reconstructions": 255 - originals}
    given = {"Fast": one, "Slow": one, "Untimed": one, "Not": "at paper"}
    speeds = {"Fast": timed(94.31), "Slow": timed(10.8), "Untimed": "at desk", "Not": "at paper"}
    printed = {"Cited": 16.1, "Fast": 94.3, "Slow": None, "Untimed": 2.0, "Not": 3.0}
    more = {"published": printed, "published_from": "Table 1", "cited": ["Cited"]}
    error_maps.plot("x", tokenizers=given, speeds=speeds, **more, scale="desk")
    (figure,) = drawn
    said = [
        "original",
        "Cited",
        "Fast (94.3/s)",
        "its error",
        "Slow (10.8/s)",
        "its error",
        "Untimed",
        "its error",
        "Not",
    ]
    assert labels(figure.axes[0]) == said
    assert [text.get_text() for text in figure.axes[0].texts] == [error_maps.CITED, "at paper"]
    for words in (
        "drawn and decoded, on a processor",
        "Not timed: Untimed (at desk)",
        "as printed in Table 1: Cited 16.1, Fast 94.3, Untimed 2, Not 3",
        f"Not run: Cited ({error_maps.CITED}); Not (at paper)",
    ):
        assert words in below(figure)
    with pytest.raises(TableError, match="images a second mixes devices"):
        other = speeds | {"Slow": timed(10.8, "a GPU")}
        error_maps.plot("x", tokenizers=given, speeds=other, **more, scale="desk")


def test_errors_of_images_of_two_sizes_are_those_of_their_own_pixels(drawn):
    small = np.repeat(np.repeat(pictures(3)[:, ::4, ::4], 4, 1), 4, 2)  # no detail that a smaller picture lacks
    large = np.repeat(np.repeat(small, 2, 1), 2, 2)
    near = {"originals": small, "reconstructions": np.where(small < 250, small + 5, small).astype(np.uint8)}
    far = {"originals": large, "reconstructions": 255 - large}
    error_maps.plot("x", tokenizers={"Far": far, "Near": near}, scale="paper")
    (figure,) = drawn
    assert (row(figure, 0) == small).all() and row(figure, 1).shape == row(figure, 3).shape
    assert "Far {:.3f}, Near {:.3f}".format(
        *(error_maps.error_map(*of.values()).mean() for of in (far, near))
    ) in below(figure)
    with pytest.raises(FigureError, match="different images stand in one figure: see Far"):
        error_maps.plot("x", tokenizers={"Far": far | {"originals": 255 - large}, "Near": near}, scale="paper")


def test_errors_of_nothing_name_what_is_cited_too(drawn):
    error_maps.plot("x", tokenizers={"Ours": "at desk"}, cited=["Cited"], scale="pocket")
    assert [text.get_text() for text in drawn[0].axes[0].texts] == [error_maps.CITED, "at desk"]


@pytest.mark.parametrize("figure", [kept_tokens, kept_of_nothing, score_maps])
def test_nothing_run_is_still_a_sheet(drawn, figure):
    figure.plot("x", tokenizers={}, reasons={"Ours": "at desk"}, scale="pocket")
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["at desk"]


def test_colours_go_from_none_to_the_highest():
    shown = overlays.colours(np.array([[0.0, 0.5, 1.0, 9.0]]), 1.0)
    assert shown.shape == (1, 4, 3) and (shown[0, 2] == shown[0, 3]).all()
    assert shown[0].astype(int).sum(1).tolist() == sorted(shown[0].astype(int).sum(1).tolist())
    assert (overlays.colours(np.zeros((2, 2)), 0.0) == shown[0, 0]).all()
    assert overlays.spread(np.eye(2), 4, 6)[0].tolist() == [1, 1, 1, 0, 0, 0]
