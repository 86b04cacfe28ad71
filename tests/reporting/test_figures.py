"""Figures: the right numbers on the right axes, honest blanks, pixels kept, and the same bytes every time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tesserae.reporting import figures, style
from tesserae.reporting.figures import FigureError
from tesserae.reporting.tables import TableError
from tests.reporting.synthetic import metrics, search

ROWS = {"baseline": "Baseline", "joint": "Joint noise"}
GENERATORS = ("MAR-B", "SiT-B")
PLACES = [(key, generator) for key in ROWS for generator in GENERATORS]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, without the cost of writing them."""
    saved: list[Figure] = []
    monkeypatch.setattr(style, "save", lambda figure, stem, formats=(): saved.append(figure) or [])
    return saved


def figure_4_inputs(**changes) -> dict:
    return {
        "rows": ROWS,
        "generators": GENERATORS,
        "scale": "pocket",
        "published": dict(zip(PLACES, (3.31, 6.97, 2.65, None), strict=True)),
        "measured": dict(
            zip(
                PLACES,
                (metrics(45.0, 2.0), metrics(50.0, 2.0, sampler={"steps": 4}), metrics(40.0, 3.0), None),
                strict=True,
            )
        ),
        "searches": dict(
            zip(
                PLACES,
                (
                    search({1.0: 60.0, 2.0: 50.0, 3.0: 55.0}, 2.0),
                    search({1.5: 44.0, 2.0: 52.0}, 1.5, temperature=None),
                    search({2.0: 48.0, 3.0: 47.0}, 3.0),
                    None,
                ),
                strict=True,
            )
        ),
    } | changes


def heights(axes) -> list[float]:
    return sorted(round(bar.get_height(), 2) for bar in axes.patches)


def test_published_and_measured_bars_never_share_an_axis(drawn):
    figures.figure_4("x", **figure_4_inputs())
    published, measured, *curves = drawn[0].axes
    assert heights(published) == [2.65, 3.31, 6.97]
    assert heights(measured) == [40.0, 45.0, 50.0]
    assert "Published" in published.get_title(loc="left")
    assert "scale pocket, extractor embedded, 1000 samples" in measured.get_title(loc="left")
    assert [text.get_text() for text in published.texts if "not" in text.get_text()] == ["not printed"]
    assert [text.get_text() for text in measured.texts if "not" in text.get_text()] == ["not run"]
    assert len(curves) == 4
    assert all(not axes.patches for axes in curves)


def test_curves_follow_guidance_and_leave_temperatures_out(drawn):
    figures.figure_4("x", **figure_4_inputs())
    fid = drawn[0].axes[2]
    line, ring = fid.lines[:2]
    assert line.get_xydata().tolist() == [[1.0, 60.0], [2.0, 50.0], [3.0, 55.0]]
    assert ring.get_xydata().tolist() == [[2.0, 50.0]]
    assert line.get_color() == style.TOKENIZERS["Baseline"][0]
    assert "not run: Joint noise" in drawn[0].axes[4].get_title(loc="left")


def test_without_metrics_the_bars_are_the_searches_own(drawn):
    inputs = figure_4_inputs()
    del inputs["measured"]
    figures.figure_4("x", **inputs)
    assert heights(drawn[0].axes[1]) == [44.0, 47.0, 50.0]
    assert "256 samples" in drawn[0].axes[1].get_title(loc="left")


def test_nothing_run_is_still_a_figure(drawn):
    nothing = dict.fromkeys(PLACES)
    figures.figure_4("x", **figure_4_inputs(measured=nothing, searches=nothing))
    assert heights(drawn[0].axes[0]) == [2.65, 3.31, 6.97]
    assert heights(drawn[0].axes[1]) == []


def test_two_extractors_on_one_axis_raise(drawn):
    inputs = figure_4_inputs()
    inputs["measured"]["baseline", "SiT-B"] = metrics(50.0, 2.0, extractor="inception")
    with pytest.raises(TableError, match="mixes feature extractors"):
        figures.figure_4("x", **inputs)


def test_searches_of_two_sample_counts_raise(drawn):
    inputs = figure_4_inputs()
    inputs["searches"]["joint", "MAR-B"]["measure"]["samples"] = 512
    with pytest.raises(TableError, match="Figure 4, MAR-B, curves mixes measures: samples"):
        figures.figure_4("x", **inputs)


def test_a_search_without_the_point_that_it_selected_raises(drawn):
    inputs = figure_4_inputs()
    inputs["searches"]["joint", "MAR-B"]["selected"]["cfg"]["guidance"] = 7.0
    with pytest.raises(FigureError, match="Joint noise, MAR-B has no point at its selected"):
        figures.figure_4("x", **inputs)


# ---- sheets ----------------------------------------------------------------------------------------------------


def pictures(count: int, side: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def test_a_mosaic_keeps_every_pixel_and_leaves_gaps_clear():
    rows = [pictures(3, seed=1), pictures(2, seed=2)]
    sheet, xs, ys = figures.mosaic(rows)
    factor = figures.SIDE // 4
    for row, y in zip(rows, ys, strict=True):
        for image, x in zip(row, xs, strict=False):
            top, left = round(y - figures.SIDE / 2), round(x - figures.SIDE / 2)
            tile = sheet[top : top + figures.SIDE, left : left + figures.SIDE]
            assert (tile[::factor, ::factor, :3] == image).all()
            assert (tile[factor - 1 :: factor, factor - 1 :: factor, :3] == image).all()
            assert (tile[..., 3] == 255).all()
    assert (sheet[..., 3] == 255).sum() == 5 * figures.SIDE**2


def test_a_mosaic_refuses_images_of_other_sizes_and_types():
    with pytest.raises(FigureError, match="of one size"):
        figures.mosaic([pictures(2, 4), pictures(2, 8)])
    with pytest.raises(FigureError, match="uint8"):
        figures.mosaic([pictures(2, 4).astype(float)])


def test_reconstructions_have_the_originals_first(drawn):
    figures.qualitative("x", originals=pictures(3), reconstructions={"Baseline": pictures(3, seed=1)}, scale="pocket")
    assert [text.get_text() for text in drawn[0].axes[0].get_yticklabels()] == ["original", "Baseline"]


def denoised(seed: int = 1, **changes) -> dict:
    taus = np.array([0.0, 0.5, 0.9])
    images = np.stack([pictures(2, seed=seed + step) for step in range(3)])
    return {"taus": taus, "images": images, "originals": pictures(2), "psnr": np.array([20.0, 15.0, 9.0])} | changes


def test_denoising_has_a_row_per_tokenizer_and_a_column_per_noise_level(drawn):
    figures.denoising("x", tokenizers={"Baseline": denoised(), "Joint noise": denoised(5)}, scale="pocket", show=(1,))
    sheet, curves = drawn[0].axes
    assert [text.get_text() for text in sheet.get_yticklabels()] == ["Baseline", "Joint noise"]
    assert [text.get_text() for text in sheet.get_xticklabels()] == ["original", "0.0", "0.5", "0.9"]
    shown = sheet.images[0].get_array()
    factor = figures.SIDE // 4
    step = round(sheet.get_xticks()[1] - sheet.get_xticks()[0])
    assert (shown[: figures.SIDE : factor, step : step + figures.SIDE : factor, :3] == denoised()["images"][0, 1]).all()
    assert curves.lines[0].get_xydata().tolist() == [[0.0, 20.0], [0.5, 15.0], [0.9, 9.0]]


@pytest.mark.parametrize("changes", [{"taus": np.array([0.0, 0.4, 0.9])}, {"originals": pictures(2, seed=9)}])
def test_denoising_of_other_images_or_levels_raises(drawn, changes):
    with pytest.raises(FigureError, match="of 'Joint noise' are not those of 'Baseline'"):
        figures.denoising("x", tokenizers={"Baseline": denoised(), "Joint noise": denoised(**changes)}, scale="pocket")


def test_samples_of_other_classes_raise(drawn):
    samples = {"MAR-B": pictures(2), "SiT-B": pictures(2)}
    figures.samples_sheet("x", samples=samples, scale="pocket")
    with pytest.raises(FigureError, match="'SiT-B' are of classes"):
        figures.samples_sheet("x", samples=samples, labels={"MAR-B": [0, 1], "SiT-B": [1, 0]}, scale="pocket")


# ---- curves ----------------------------------------------------------------------------------------------------


def test_curves_of_a_resumed_run_count_each_step_once(tmp_path):
    path = tmp_path / "curves.jsonl"
    path.write_text(
        "".join(
            json.dumps({"step": step, "mse": value}) + "\n"
            for step, value in [(10, 3.0), (20, 2.0), (30, 1.5), (20, 2.5), (30, 1.0)]
        )
    )
    assert [(line["step"], line["mse"]) for line in figures.read_curves(path)] == [(10, 3.0), (20, 2.5), (30, 1.0)]
    path.write_text('{"step": 10}\n{"step": 20, "ms')
    with pytest.raises(FigureError, match=r"curves\.jsonl:2: not a JSON object"):
        figures.read_curves(path)


def test_all_logged_terms_are_drawn_and_missing_runs_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "curves.jsonl").write_text(
        '{"step": 1, "images": 8, "lr": 0.1, "mse": 2.0, "gan": -1.0}\n'
        '{"step": 2, "images": 16, "lr": 0.1, "mse": 1.0}\n'
    )
    figure = figures.draw_curves(runs=figures.read_runs(tmp_path, {"Baseline": "a", "Joint noise": "b"}), scale="smoke")
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()] == ["mse", "gan"]
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1.0, 2.0], [2.0, 1.0]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Baseline", "Joint noise (not run)"]


# ---- style -----------------------------------------------------------------------------------------------------


def test_a_tokenizer_has_one_colour_in_every_figure():
    alone, among = style.marks(["Joint noise"]), style.marks(["Other", "Baseline", "Joint noise"])
    assert alone["Joint noise"] == among["Joint noise"]
    colours = [colour for colour, _ in style.marks([*style.TOKENIZERS, "a", "b", "c"]).values()]
    assert len(set(colours)) == len(colours)


def draw(folder: str) -> None:
    figures.figure_4(f"{folder}/four", **figure_4_inputs())
    figures.denoising(f"{folder}/denoising", tokenizers={"Baseline": denoised()}, scale="pocket", show=(0,))


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
