"""Figures of attention: maps over images, what is left of them at each share, and mIoU beside what chance makes."""

import csv
import json

import numpy as np
import pytest
import torch

from tesserae.metrics import objectness as measured
from tesserae.reporting import drawing, objects, published
from tesserae.reporting.drawing import FigureError
from tesserae.reporting.figures import attention_maps, attention_shares, objectness
from tesserae.reporting.seeds import over_seeds
from tesserae.reporting.tables import TableError
from tests.reporting.drawings import below, texts
from tests.reporting.test_concepts import labels
from tests.stages.works import work

SIDE, GRID, SHARES, IMAGES, TOKENS = 8, 4, (10, 20, 30, 40), 3, 3
MEASURE = {"kind": "objects", "reference": "masks/cssd-all-256", "samples": 200, "weights": "averaged", "share": 30}
MEASURE |= {"block": "24 of 28", "time": 0.5, "seed": 0}
LINES = {"miou": 0.5, "chance": 0.4, "another": 0.35, "middle": 0.3, "ceiling": 0.8}


def metrics(miou: float = 0.5, measure=MEASURE) -> dict:
    values = LINES | {"miou": miou, "object_percent": 24.0}
    values |= {f"{line}_{share}": values[line] + share / 1000 for share in SHARES for line in LINES}
    layers = [{"layer": layer, "miou": miou - 0.1 * (1 - layer), "chance": 0.4} for layer in (0, 1)]
    record = {"deviation": {}, "measure": measure, "measure_id": "ab12", "selection": None}
    return {"values": values, "layers": layers} | record


def arrays(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "originals": np.random.default_rng(9).integers(0, 256, (IMAGES, SIDE, SIDE, 3)).astype(np.uint8),
        "masks": rng.random((IMAGES, SIDE, SIDE)) < 0.5,
        "best_maps": rng.random((IMAGES, len(SHARES), GRID, GRID)),
        "best": rng.random((IMAGES, len(SHARES))),
        "maps": rng.random((IMAGES, TOKENS, GRID, GRID)),
        "tokens": np.arange(IMAGES * TOKENS).reshape(IMAGES, TOKENS),
        "shares": np.array(SHARES),
    }


def found(*mious: float, seed: int = 0) -> objects.Found:
    runs = [metrics(miou) for miou in mious or (0.5,)]
    return objects.Found(arrays(seed), over_seeds(runs), [run["layers"] for run in runs], 24.0)


def sheet(figure, line: int, column: int) -> np.ndarray:
    """One image of a sheet, at its own size."""
    axes, factor = figure.axes[0], drawing.SIDE // SIDE
    centre = drawing.mosaic([np.zeros((9, SIDE, SIDE, 3), np.uint8)])[1][column]
    top, left = (round(at - drawing.SIDE / 2) for at in (axes.get_yticks()[line], centre))
    shown = np.asarray(axes.images[0].get_array())
    return shown[top : top + drawing.SIDE : factor, left : left + drawing.SIDE : factor, :3]


# ---- maps -----------------------------------------------------------------------------------------------------------


def test_maps_are_shown_as_they_are_measured():
    maps = np.random.default_rng(0).random((2, 3, 4, 4)).astype(np.float32)
    for side in (4, 9, 32):
        wanted = measured.enlarged(torch.from_numpy(maps), side).numpy()
        assert np.abs(objects.enlarged(maps, side) - wanted).max() < 1e-6


def test_what_is_kept_of_a_map_is_what_is_compared():
    images, maps = np.full((2, 10, 10, 3), 200, np.uint8), np.random.default_rng(0).random((2, 5, 5))
    light = objects.kept_of(images, maps, 30)[..., 0] == 200
    assert light.sum(axis=(1, 2)).tolist() == [30, 30]
    overlap = measured.overlaps(torch.from_numpy(maps)[:, None], torch.from_numpy(light), (30,))
    assert overlap.flatten().tolist() == [1.0, 1.0]


def test_a_constant_map_colours_nothing_more_than_another():
    shown = objects.laid_over(np.full((1, 4, 4, 3), 100, np.uint8), np.full((1, 2, 2), 0.25))
    assert shown.dtype == np.uint8 and len(np.unique(shown.reshape(-1, 3), axis=0)) == 1


def test_rows_of_a_figure_are_those_of_the_published_table():
    assert objects.at_shares({"30% attention thresholding": 0.58, "COMiT-B": 0.5}) == {30: 0.58}


# ---- figures --------------------------------------------------------------------------------------------------------


def test_bars_stand_beside_chance_and_published_ones_apart(drawn):
    tokenizers = {"COMiT-B": found(0.5, 0.54), "No local crops": found(0.42, 0.44, seed=1)}
    objectness.plot("x", tokenizers=tokenizers, published={"COMiT-B": 0.53, "No local crops": 0.34}, scale="desk")
    (figure,) = drawn
    pictures, bars = figure.axes
    assert labels(pictures)[0] == "image" and [label.split("\n")[0] for label in labels(pictures)[1:]] == list(
        tokenizers
    )
    assert (sheet(figure, 0, 1) == tokenizers["COMiT-B"].arrays["originals"][1]).all()
    maps = tokenizers["COMiT-B"].arrays["best_maps"][:, 2]  # those at 30 %
    assert (sheet(figure, 1, 2) == objects.laid_over(arrays()["originals"], maps)[2]).all()
    assert [patch.get_height() for patch in bars.patches] == pytest.approx([0.53, 0.34, 0.52, 0.43])
    assert [text.get_text() for text in bars.get_xticklabels()] == [
        *("COMiT-B\npublished", "No local crops\npublished", "COMiT-B\nmeasured", "No local crops\nmeasured")
    ]
    levels = [
        line.get_ydata()[0] for line in bars.lines if len(line.get_xdata()) == 2 and line.get_linestyle() != "None"
    ]
    assert [levels.count(LINES[line]) for line in ("chance", "another", "middle", "ceiling")] == [2, 2, 2, 2]
    said = below(figure)
    for words in ("means over 2 seeds", "24 %", "cannot be compared", "By chance", "30 % of a map"):
        assert words in said


def test_measured_bars_stand_alone_where_nothing_is_printed(drawn):
    objectness.plot("x", tokenizers={"Ours": found()}, scale="pocket", reasons={"Other": "at desk"})
    assert len(drawn[0].axes[1].patches) == 1
    assert "Published" not in below(drawn[0]) and "Other (at desk)" in below(drawn[0])


def test_tokenizers_show_the_same_images():
    other = found()
    other.arrays["originals"] = other.arrays["originals"][::-1].copy()
    with pytest.raises(FigureError, match="different images"):
        objectness.plot("x", tokenizers={"A": found(), "B": other}, scale="pocket")


def test_a_row_for_each_share_from_the_largest(drawn):
    tokenizers = {"XL": found(0.5)}
    attention_shares.plot("x", tokenizers=tokenizers, published={30: 0.58}, scale="desk")
    (figure,) = drawn
    shown = labels(figure.axes[0])
    assert [label.split(" %")[0] for label in shown] == ["XL", "40", "30", "20", "10"]
    assert shown[2] == "30 %: mIoU 0.53\nby chance 0.43"
    best = tokenizers["XL"].arrays["best_maps"]
    for line, at in enumerate((3, 2, 1, 0), 1):
        kept = objects.kept_of(arrays()["originals"], best[:, at], SHARES[at])
        assert (sheet(figure, line, 1) == kept[1]).all()
    assert "Published, on other images: 0.58 at 30 %" in below(figure)
    solid, dashed = figure.axes[1].lines
    assert solid.get_xydata().tolist() == [[0, 0.4], [1, 0.5]]
    assert list(dashed.get_ydata()) == [0.4, 0.4]


def test_tokens_of_an_image_stand_side_by_side(drawn):
    attention_maps.plot("x", tokenizers={"XL": found()}, scale="desk", reasons={"B": "at desk"})
    (figure,) = drawn
    axes = figure.axes[0]
    assert labels(axes) == [f"XL\ntokens {3 * n}, {3 * n + 1}, {3 * n + 2}" for n in range(IMAGES)]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["image", "best", "", ""]
    image, maps = arrays()["originals"][1], arrays()["maps"][1]
    assert (sheet(figure, 1, 0) == image).all()
    assert (sheet(figure, 1, 2) == objects.laid_over(image[None], maps[1:2])[0]).all()
    assert "block 24 of 28" in below(figure) and "B (at desk)" in below(figure)


@pytest.mark.parametrize("figure", [attention_maps, attention_shares, objectness])
def test_nothing_run_is_still_a_sheet(drawn, figure):
    figure.plot("x", tokenizers={}, reasons={"Ours": "at desk"}, scale="pocket")
    assert texts(drawn[0]) == ["at desk"]


# ---- what a job is given --------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path):
    """Two tokenizers with two seeds each, and printed numbers of one that is drawn, one that is not."""
    inputs = {}
    for row, miou in (("comit_b", 0.5), ("comit_b_whole", 0.4)):
        for seed in (1, 2):
            name = f"objectness/{row}" + (f".seed{seed}" if seed > 1 else "")
            inputs[name] = folder = tmp_path / name
            folder.mkdir(parents=True)
            np.savez(folder / objects.FILE, **arrays())
            (folder / "metrics.json").write_text(json.dumps(metrics(miou + seed / 100)))
    with (tmp_path / "paper.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(published.COLUMNS)
        for label, value in (("COMiT-B", "0.53"), ("Not drawn", "0.9"), ("COMiT-B (no local crops)", "")):
            writer.writerow(["Figure 2", "g", label, "tokenizer", "mIoU", "higher", value, ""])
    spec = {"rows": [("comit_b", "COMiT-B"), ("comit_b_whole", "COMiT-B (no local crops)")], "scale": "desk"}
    spec |= {"published": "Figure 2", "seeds": [1, 2], "missing": []}
    spec |= {"inputs": {"tokenizers": {"objects": "objectness/{row}"}}}
    return work("figure", tmp_path, spec, inputs=inputs, published=tmp_path / "paper.csv")


def test_numbers_are_means_over_seeds_and_printed_ones_those_of_its_rows(job, drawn, tmp_path):
    objectness.draw(job, tmp_path / "x")
    bars = drawn[0].axes[1].patches
    assert [bar.get_height() for bar in bars] == pytest.approx([0.53, 0.515, 0.415])


def test_numbers_of_two_ways_of_measuring_are_refused(job, tmp_path):
    path = job.inputs["objectness/comit_b"] / "metrics.json"
    for seed in ("", ".seed2"):
        path = job.inputs[f"objectness/comit_b{seed}"] / "metrics.json"
        path.write_text(json.dumps(metrics(measure=MEASURE | {"time": 0.9})))
    with pytest.raises(TableError, match="time"):
        objectness.draw(job, tmp_path / "x")
