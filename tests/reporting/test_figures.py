"""Figures: the right numbers on the right axes, honest blanks, pixels kept, and the same bytes every time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tesserae.reporting import curves as training_curves
from tesserae.reporting import drawing, style
from tesserae.reporting.damaged import plot_damaged
from tesserae.reporting.drawing import FigureError
from tesserae.reporting.figures import guidance_curves, qualitative, samples_sheet, sweep
from tesserae.reporting.figures.denoising import NOISE
from tesserae.reporting.figures.unmasking import MASK
from tesserae.reporting.seeds import over_seeds
from tesserae.reporting.tables import TableError
from tests.reporting.drawings import below
from tests.reporting.synthetic import metrics, search

ROWS = {"baseline": "Baseline", "joint": "Joint noise"}
GENERATORS = ("MAR-B", "SiT-B")
PLACES = [(key, generator) for key in ROWS for generator in GENERATORS]


def inputs(seeds: int = 1, **changes) -> dict:
    """What Figure 4 is drawn from, one place not run; each further seed has every FID 2 higher."""
    searched = (
        ({1.0: 60.0, 2.0: 50.0, 3.0: 55.0}, 2.0, 1.0),
        ({1.5: 44.0, 2.0: 52.0}, 1.5, None),
        ({2.0: 48.0, 3.0: 47.0}, 3.0, 1.0),
    )
    found = [
        [search({x: fid + 2 * seed for x, fid in fids.items()}, best, temperature) for seed in range(seeds)]
        for fids, best, temperature in searched
    ]
    return {
        "rows": ROWS,
        "generators": GENERATORS,
        "scale": "pocket",
        "searches": dict(zip(PLACES, [*found, []], strict=True)),
        "reasons": {PLACES[-1]: "too dear"},
    } | changes


def bars(**changes) -> dict:
    measured = metrics(45.0, 2.0), metrics(50.0, 2.0, sampler={"steps": 4}), metrics(40.0, 3.0)
    return inputs(
        published=dict(zip(PLACES, (3.31, 6.97, 2.65, None), strict=True)),
        published_from="Table 1",
        measured=dict(zip(PLACES, [*(over_seeds([one]) for one in measured), None], strict=True)),
        **changes,
    )


def heights(axes) -> list[float]:
    return sorted(round(bar.get_height(), 2) for bar in axes.patches)


def points(line) -> list[list[float]]:
    return np.asarray(line.get_xydata()).tolist()


def test_published_and_measured_bars_never_share_an_axis(drawn):
    guidance_curves.plot("x", **bars())
    published, measured, *curves = drawn[0].axes
    assert heights(published) == [2.65, 3.31, 6.97]
    assert heights(measured) == [40.0, 45.0, 50.0]
    assert "Published" in published.get_title(loc="left")
    assert "extractor embedded, 1000 samples" in measured.get_title(loc="left")
    assert [text.get_text() for text in published.texts if "not" in text.get_text()] == ["not printed"]
    assert [text.get_text() for text in measured.texts if "too" in text.get_text()] == ["too dear"]
    assert len(curves) == 4
    assert all(not axes.patches for axes in curves)
    assert "scale pocket, extractor embedded, 256 samples at each guidance scale; one seed" in below(drawn[0])


def test_curves_follow_guidance_and_leave_temperatures_out(drawn):
    guidance_curves.plot("x", **inputs())
    fid = drawn[0].axes[0]
    line, ring = fid.lines[:2]
    assert points(line) == [[1.0, 60.0], [2.0, 50.0], [3.0, 55.0]]
    assert points(ring) == [[2.0, 50.0]]
    assert line.get_color() == style.TOKENIZERS["Baseline"][0]
    assert not fid.collections
    assert "not run: Joint noise (too dear)" in drawn[0].axes[2].get_title(loc="left")
    assert "prints no number" in below(drawn[0])


def test_curves_of_several_seeds_are_their_mean_in_a_band(drawn):
    guidance_curves.plot("x", **inputs(seeds=3))
    fid = drawn[0].axes[0]
    assert points(fid.lines[0]) == [[1.0, 62.0], [2.0, 52.0], [3.0, 57.0]]
    band = fid.collections[0].get_paths()[0].vertices
    assert sorted({y for x, y in band.tolist() if x == 2.0}) == [50.0, 54.0]  # 52 ± the deviation of 50, 52, 54
    assert "means over 3 seeds" in below(drawn[0])


def test_seeds_that_selected_differently_have_a_ring_each(drawn):
    given = inputs(seeds=2)
    given["searches"]["baseline", "MAR-B"][1]["selected"]["cfg"]["guidance"] = 3.0
    guidance_curves.plot("x", **given)
    assert points(drawn[0].axes[0].lines[1]) == [[2.0, 51.0], [3.0, 56.0]]


def test_without_metrics_the_bars_are_the_searches_own(drawn):
    guidance_curves.plot("x", **bars() | {"measured": None})
    assert heights(drawn[0].axes[1]) == [44.0, 47.0, 50.0]
    assert "256 samples" in drawn[0].axes[1].get_title(loc="left")


def test_nothing_run_is_still_a_figure(drawn):
    nothing = {"searches": {place: [] for place in PLACES}, "measured": dict.fromkeys(PLACES)}
    nothing["reasons"] = dict.fromkeys(PLACES, "too dear")
    guidance_curves.plot("x", **bars() | nothing)
    assert heights(drawn[0].axes[0]) == [2.65, 3.31, 6.97]
    assert heights(drawn[0].axes[1]) == []
    for axes in drawn[0].axes[2:]:
        assert [text.get_text() for text in axes.texts] == ["too dear"] and not axes.lines
    sweep.plot("x", **inputs() | {"searches": nothing["searches"], "reasons": nothing["reasons"]})
    assert heights(drawn[1].axes[0]) == []
    assert [text.get_text() for text in drawn[1].axes[0].texts] == ["too dear"] * 2


def test_any_number_of_generators_and_rows(drawn):
    rows = {f"row{number}": f"Row {number}" for number in range(5)}
    generators = ("MAR", "RandomAR", "RasterAR")
    found = {(row, name): [search({1.0: 5.0, 2.0: 4.0}, 2.0)] for row in rows for name in generators}
    guidance_curves.plot("x", rows=rows, generators=generators, searches=found, scale="smoke")
    assert [axes.get_title(loc="left") for axes in drawn[0].axes] == [
        f"{name}: {statistic}" for name in generators for statistic in ("FID ↓", "IS ↑")
    ]


def test_two_extractors_on_one_axis_raise(drawn):
    given = bars()
    given["measured"]["baseline", "SiT-B"] = over_seeds([metrics(50.0, 2.0, extractor="inception")])
    with pytest.raises(TableError, match="the measured bars mixes feature extractors"):
        guidance_curves.plot("x", **given)


@pytest.mark.parametrize("draw", [guidance_curves.plot, sweep.plot])
def test_searches_of_two_sample_counts_raise(drawn, draw):
    given = inputs()
    given["searches"]["joint", "MAR-B"][0]["measure"]["samples"] = 512
    with pytest.raises(TableError, match="the searches of MAR-B mixes measures: samples"):
        draw("x", **given)


def test_a_search_without_the_point_that_it_selected_raises(drawn):
    given = inputs()
    given["searches"]["joint", "MAR-B"][0]["selected"]["cfg"]["guidance"] = 7.0
    with pytest.raises(FigureError, match="Joint noise, MAR-B has no point at its selected"):
        guidance_curves.plot("x", **given)


# ---- sweeps ----------------------------------------------------------------------------------------------------


def test_without_numbers_settings_are_bars(drawn):
    sweep.plot("x", **inputs(seeds=3))
    left, right = drawn[0].axes
    assert (heights(left), heights(right)) == ([49.0, 52.0], [46.0])
    assert [text.get_text() for text in right.texts] == ["46.00", "too dear"]
    assert "Not run: SiT-B with Joint noise (too dear)" in below(drawn[0])
    assert "nothing published is drawn" in below(drawn[0])


def swept(**changes) -> dict:
    """FID 10, 20, ... by row, the last not run."""
    rows = {"none": "Baseline", "r3": "random 0.3", "r7": "random 0.7", "c3": "constant 0.3", "c7": "constant 0.7"}
    found = {(key, "MAR-B"): [search({2.0: 10.0 * k}, 2.0)] for k, key in enumerate(rows, 1)} | {("c7", "MAR-B"): []}
    values = {"r3": 0.3, "r7": 0.7, "c3": 0.3, "c7": 0.7}
    x = {"label": "masking ratio", "values": values}
    reasons = {("c7", "MAR-B"): "too dear"}
    return {
        **{"rows": rows, "generators": ["MAR-B"], "searches": found, "scale": "pocket", "x": x, "reasons": reasons},
        **changes,
    }


def test_numbers_are_points_on_a_line(drawn):
    x = {"label": "ratio", "values": {"none": 0.0, "r7": 0.7, "r3": 0.3}}
    sweep.plot("x", **swept(x=x))
    line, *levels = sorted(drawn[0].axes[0].lines, key=lambda line: -len(line.get_xdata()))
    assert points(line) == [[0.0, 10.0], [0.3, 20.0], [0.7, 30.0]]
    assert [level.get_ydata()[0] for level in levels] == [40.0]  # c3 has no number
    assert drawn[0].axes[0].get_xlabel() == "ratio"


def test_series_are_lines_of_their_own_and_other_rows_are_levels(drawn):
    sweep.plot("x", **swept(series={"random": ["r3", "r7"], "constant": ["c3", "c7"]}))
    lines = {line.get_label(): points(line) for line in drawn[0].axes[0].lines}
    assert lines["random"] == [[0.3, 20.0], [0.7, 30.0]]
    assert lines["constant"] == [[0.3, 40.0]]
    assert [y for _, y in lines["Baseline"]] == [10.0, 10.0]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["Baseline", "random", "constant"]
    assert "Not run: constant 0.7 (too dear)." in below(drawn[0])


def test_a_point_that_is_not_run_keeps_its_place_and_says_why(drawn):
    missing = ["r3", "c3", "c7"]
    found = {place: [] if place[0] in missing else runs for place, runs in swept()["searches"].items()}
    reasons = {(key, "MAR-B"): "at desk" for key in missing}
    series = {"random": ["r3", "r7"], "constant": ["c3", "c7"]}
    sweep.plot("x", **swept(series=series, searches=found, reasons=reasons))
    axes = drawn[0].axes[0]
    assert axes.get_xticks().tolist() == [0.3, 0.7]
    assert {line.get_label(): points(line) for line in axes.lines}["random"] == [[0.7, 30.0]]
    said = {text.get_position()[0]: text.get_text() for text in axes.texts if "desk" in text.get_text()}
    assert said == {0.3: "random: at desk\nconstant: at desk", 0.7: "constant: at desk"}
    low, high = axes.get_xlim()
    assert low < 0.3 and high > 0.7


# ---- sheets ----------------------------------------------------------------------------------------------------


def pictures(count: int, side: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def test_a_mosaic_keeps_every_pixel_and_leaves_gaps_clear():
    rows = [pictures(3, seed=1), pictures(2, seed=2)]
    sheet, xs, ys, _ = drawing.mosaic(rows)
    factor = drawing.SIDE // 4
    for row, y in zip(rows, ys, strict=True):
        for image, x in zip(row, xs, strict=False):
            top, left = round(y - drawing.SIDE / 2), round(x - drawing.SIDE / 2)
            tile = sheet[top : top + drawing.SIDE, left : left + drawing.SIDE]
            assert (tile[::factor, ::factor, :3] == image).all()
            assert (tile[factor - 1 :: factor, factor - 1 :: factor, :3] == image).all()
            assert (tile[..., 3] == 255).all()
    assert (sheet[..., 3] == 255).sum() == 5 * drawing.SIDE**2


def test_a_row_without_images_is_low_and_moves_no_other():
    nothing = np.zeros((0, 4, 4, 3), np.uint8)
    sheet, _, ys, heights = drawing.mosaic([nothing, pictures(2), nothing])
    assert heights == [round(drawing.LOW * drawing.SIDE), drawing.SIDE, round(drawing.LOW * drawing.SIDE)]
    assert ys[0] == heights[0] / 2
    assert ys[-1] + heights[-1] / 2 == len(sheet)
    top = round(ys[1] - drawing.SIDE / 2)
    assert (sheet[top : top + drawing.SIDE, : drawing.SIDE, 3] == 255).all()
    assert (sheet[:top, :, 3] == 0).all() and (sheet[top + drawing.SIDE :, :, 3] == 0).all()


def test_a_mosaic_refuses_images_of_other_sizes_and_types():
    with pytest.raises(FigureError, match="of one size"):
        drawing.mosaic([pictures(2, 4), pictures(2, 8)])
    with pytest.raises(FigureError, match="uint8"):
        drawing.mosaic([pictures(2, 4).astype(float)])


def test_reconstructions_have_the_originals_first(drawn):
    found = {"Baseline": pictures(3, seed=1), "Joint noise": "too dear"}
    qualitative.plot("x", originals=pictures(3), reconstructions=found, scale="pocket")
    sheet = drawn[0].axes[0]
    assert [text.get_text() for text in sheet.get_yticklabels()] == ["original", "Baseline", "Joint noise"]
    assert [text.get_text() for text in sheet.texts] == ["too dear"]


def denoised(seed: int = 1, **changes) -> dict:
    levels = np.array([0.0, 0.5, 0.9])
    images = np.stack([pictures(2, seed=seed + step) for step in range(3)])
    noise = {"taus": levels, "images": images, "psnr": np.array([20.0, 15.0, 9.0])}
    return noise | {"originals": pictures(2), "gamma": np.array(3.0), "count": np.array(75)} | changes


def unmasked(seed: int) -> dict:
    found = denoised(seed)
    return found | {"ratios": found["taus"], "masked_images": found["images"][::-1], "masked_psnr": found["psnr"] - 1}


def test_denoising_has_a_row_per_tokenizer_and_a_column_per_noise_level(drawn):
    tokenizers = {"Baseline": [denoised()], "Joint noise": [denoised(5)], "+Extended": []}
    why = {"+Extended": "too dear"}
    plot_damaged("x", tokenizers=tokenizers, reasons=why, scale="pocket", show=(1,), damage=NOISE)
    sheet, curves = drawn[0].axes
    assert [text.get_text() for text in sheet.get_yticklabels()] == ["Baseline", "Joint noise", "+Extended"]
    assert [text.get_text() for text in sheet.texts] == ["too dear"]
    assert [text.get_text() for text in sheet.get_xticklabels()] == ["original", "0.0", "0.5", "0.9"]
    shown = sheet.images[0].get_array()
    factor = drawing.SIDE // 4
    step = round(sheet.get_xticks()[1] - sheet.get_xticks()[0])
    assert (shown[: drawing.SIDE : factor, step : step + drawing.SIDE : factor, :3] == denoised()["images"][0, 1]).all()
    assert points(curves.lines[0]) == [[0.0, 20.0], [0.5, 15.0], [0.9, 9.0]]
    assert "γ = 3" in sheet.get_title(loc="left")
    assert "Scale pocket. PSNR over 75 validation images; one seed" in below(drawn[0])
    assert "Not run: +Extended (too dear)." in below(drawn[0])


def test_denoising_of_several_seeds_shows_the_first_and_their_mean_psnr(drawn):
    runs = [denoised(seed, psnr=np.array([20.0, 15.0, 9.0]) + seed) for seed in (1, 2, 3)]
    plot_damaged("x", tokenizers={"Baseline": runs}, scale="pocket", show=(0,), damage=NOISE)
    sheet, curves = drawn[0].axes
    assert points(curves.lines[0]) == [[0.0, 22.0], [0.5, 17.0], [0.9, 11.0]]
    band = curves.collections[0].get_paths()[0].vertices.tolist()
    assert sorted({y for x, y in band if x == 0.5}) == [16.0, 18.0]
    first = drawing.mosaic([np.concatenate([runs[0]["originals"][:1], runs[0]["images"][:, 0]])])[0]
    assert (sheet.images[0].get_array() == first).all()
    assert "Pictures: first seed" in below(drawn[0])


def test_only_what_can_be_masked_is_in_the_figure_of_masks(drawn):
    tokenizers = {"MAR-VAE": [denoised()], "Joint noise": [unmasked(5)]}
    plot_damaged("x", tokenizers=tokenizers, scale="pocket", damage=MASK)
    sheet, curves = drawn[0].axes
    assert [text.get_text() for text in sheet.get_yticklabels()] == ["Joint noise"] * 2
    assert points(curves.lines[0]) == [[0.0, 19.0], [0.5, 14.0], [0.9, 8.0]]
    assert "Not made for: MAR-VAE." in below(drawn[0])
    with pytest.raises(FigureError, match="no tokenizer has masked_images"):
        plot_damaged("x", tokenizers={"MAR-VAE": [denoised()]}, scale="pocket", damage=MASK)


@pytest.mark.parametrize(
    "changes",
    [{"taus": np.array([0.0, 0.4, 0.9])}, {"originals": pictures(2, seed=9)}, {"gamma": np.array(1.0)}],
)
def test_denoising_of_other_images_levels_or_noise_raises(drawn, changes):
    with pytest.raises(FigureError, match="of 'Joint noise' are not those of 'Baseline'"):
        tokenizers = {"Baseline": [denoised()], "Joint noise": [denoised(**changes)]}
        plot_damaged("x", tokenizers=tokenizers, scale="pocket", damage=NOISE)


def test_samples_of_other_classes_raise(drawn):
    samples = {"MAR-B": pictures(2), "SiT-B": pictures(2)}
    samples_sheet.plot("x", samples=samples, scale="pocket")
    with pytest.raises(FigureError, match="'SiT-B' are of classes"):
        samples_sheet.plot("x", samples=samples, labels={"MAR-B": [0, 1], "SiT-B": [1, 0]}, scale="pocket")


# ---- curves ----------------------------------------------------------------------------------------------------


def test_curves_of_a_resumed_run_count_each_step_once(tmp_path):
    path = tmp_path / "curves.jsonl"
    path.write_text(
        "".join(
            json.dumps({"step": step, "mse": value}) + "\n"
            for step, value in [(10, 3.0), (20, 2.0), (30, 1.5), (20, 2.5), (30, 1.0)]
        )
    )
    assert [(line["step"], line["mse"]) for line in training_curves.read_curves(path)] == [
        (10, 3.0),
        (20, 2.5),
        (30, 1.0),
    ]
    path.write_text('{"step": 10}\n{"step": 20, "ms')
    with pytest.raises(FigureError, match=r"curves\.jsonl:2: not a JSON object"):
        training_curves.read_curves(path)


def test_all_logged_terms_are_drawn_and_missing_runs_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "curves.jsonl").write_text(
        '{"step": 1, "images": 8, "lr": 0.1, "mse": 2.0, "gan": -1.0}\n'
        '{"step": 2, "images": 16, "lr": 0.1, "mse": 1.0}\n'
    )
    figure = training_curves.draw_curves(
        runs=training_curves.read_runs(tmp_path, {"Baseline": "a", "Joint noise": "b"}), scale="smoke"
    )
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()] == ["mse", "gan"]
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1.0, 2.0], [2.0, 1.0]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Baseline", "Joint noise (not run)"]


def test_runs_that_share_a_colour_are_all_drawn():
    runs = {f"run {number}": [{"step": 1, "mse": 1.0}, {"step": 2, "mse": float(number)}] for number in range(11)}
    (axes,) = [axes for axes in training_curves.draw_curves(runs=runs, scale="smoke").axes if axes.get_visible()]
    assert [line.get_ydata()[-1] for line in axes.lines] == list(range(11))


# ---- style -----------------------------------------------------------------------------------------------------


def test_a_tokenizer_has_one_colour_in_every_figure():
    alone, among = style.marks(["Joint noise"]), style.marks(["Other", "Baseline", "Joint noise"])
    assert alone["Joint noise"] == among["Joint noise"]
    colours = [colour for colour, _ in style.marks([*style.TOKENIZERS, "a", "b", "c"]).values()]
    assert len(set(colours)) == len(colours)


def test_labels_are_told_apart_also_where_colours_come_again():
    eight = [f"tokenizer {number}" for number in range(len(style.OTHERS))]
    assert tuple(style.marks(eight).values()) == style.OTHERS
    many = style.marks([*style.TOKENIZERS, *map(str, range(len(style.OTHERS) ** 2))])
    assert len(set(many.values())) == len(many)
    assert many["0"][0] == many["8"][0]


def draw(folder: str) -> None:
    guidance_curves.plot(f"{folder}/four", **bars())
    plot_damaged(f"{folder}/denoising", tokenizers={"Baseline": [denoised()]}, scale="pocket", show=(0,), damage=NOISE)


OTHERWISE = """
import sys, matplotlib
matplotlib.rcParams.update({"axes.linewidth": 3.0, "xtick.direction": "in"})        # a user's own must not show
from tests.reporting.test_figures import draw
draw(sys.argv[1])
"""


def test_two_renders_are_the_same_bytes(tmp_path):
    draw(str(tmp_path / "here"))
    elsewhere = os.environ | {"PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": "1000000000", "TZ": "Asia/Tokyo"}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", OTHERWISE, str(tmp_path / "there")], check=True, env=elsewhere, cwd=root)
    files = sorted((tmp_path / "here").iterdir())
    assert [path.name for path in files] == [
        f"{stem}.{kind}" for stem in ("denoising", "four") for kind in ("pdf", "png", "svg")
    ]
    for path in files:
        content = path.read_bytes()
        assert content == (tmp_path / "there" / path.name).read_bytes(), path.name
        assert b"CreationDate" not in content
        assert b"Matplotlib" not in content
