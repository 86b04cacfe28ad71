"""Figures of tokenizers that look at crops: what is drawn after each, and how steps and guidance change it."""

import numpy as np
import pytest

from tesserae.reporting.drawing import FigureError
from tesserae.reporting.figures import bottleneck, drawing_sweep, looks, neighbours
from tesserae.reporting.seeds import over_seeds
from tesserae.reporting.tables import TableError
from tests.reporting.drawings import below, texts
from tests.reporting.test_kept import MEASURE, SIDE, metrics, pictures


def looked(crops: int, images: int = 5) -> dict[str, np.ndarray]:
    boxes = np.tile([[0, 0, SIDE, SIDE]], (crops, images, 1))
    boxes[1:] = [SIDE - 4, 0, 4, 4]
    return {
        "originals": pictures(images),
        "reconstructions": pictures(images, seed=1),
        "views": pictures(crops, images, seed=2),
        "view_psnr": np.full((crops, images), 12.0),
        "boxes": boxes,
    }


def numbers(psnr: float) -> dict:
    return over_seeds([metrics({"psnr": psnr, "view_psnr": psnr + 1, "rfid": 50.0, "ris": 2.0})])


# ---- looks --------------------------------------------------------------------------------------------------------


def test_a_sheet_has_a_row_for_each_image_under_each_policy(drawn):
    found = {"with": looked(3), "without": looked(2)}
    looks.plot("x", policies=found, numbers={"with": numbers(14.0), "without": numbers(11.0)}, scale="pocket")
    (figure,) = drawn
    axes = figure.axes[0]
    assert [label.get_text().strip() for label in axes.get_yticklabels()] == ["with", "", "", "", "without", "", "", ""]
    heads = [label.get_text() for label in axes.get_xticklabels()]
    assert heads == ["crops", "drawn", "1 crop", "2 crops", "3 crops"]
    assert "without, over all validation images: PSNR 11.00 dB, in one step 12.00 dB, rFID 50.0" in below(figure)


def test_pictures_stand_where_they_belong_and_keep_their_pixels(drawn):
    arrays = looked(2, images=1)
    looks.plot("x", policies={"one": arrays}, numbers={"one": numbers(14.0)}, scale="pocket")
    sheet = drawn[0].axes[0].images[0].get_array()
    side = sheet.shape[0]
    columns = [np.flatnonzero(sheet[0, :, 3])[place * side] for place in range(4)]
    for column, picture in zip(columns[1:], [arrays["reconstructions"][0], *arrays["views"][:, 0]], strict=True):
        assert (sheet[:: side // SIDE, column : column + side : side // SIDE, :3] == picture).all()


def test_a_frame_lies_along_the_inner_edge_of_its_crop():
    image = np.zeros((96, 96, 3), np.uint8)
    found = looks.framed(image, np.array([[0, 0, 96, 96], [60, 0, 36, 36]]))
    lit = found.any(axis=2)
    assert lit[:2].all() and lit[:, :2].all() and lit[2:34, 60:62].all() and lit[34:36, 60:].all()
    assert (
        lit.sum() == 4 * 2 * 94 + 4 * 2 * 34 - 2 * 2 * 36 + 4 and not image.any()
    )  # two edges of the small one overlap
    assert (found[0, 0] != found[0, 70]).any()  # each crop has a colour of its own


def test_policies_that_were_not_run_say_why(drawn):
    why = {"raster": "at desk"}
    looks.plot("x", policies={"one": looked(1)}, numbers={"one": numbers(14.0)}, scale="pocket", reasons=why)
    assert texts(drawn[0]) == ["at desk"] and "raster (at desk)" in below(drawn[0])
    looks.plot("x", policies={}, numbers={}, scale="pocket", reasons=why)
    assert texts(drawn[1]) == ["at desk"]


# ---- sweeps -------------------------------------------------------------------------------------------------------


def swept(shift: float = 0.0, steps: tuple[int, ...] = (1, 10, 50)) -> dict:
    values = {"rfid": 20.0 + shift, "psnr": 15.0}
    curves = {
        "steps": {"at": list(steps), "rfid": [60.0 + shift, 20.0 + shift, 22.0 + shift], "psnr": [16.0, 15.0, 14.0]},
        "guidance": {"at": [1.0, 7.5], "rfid": [40.0 + shift, 20.0 + shift], "psnr": [15.5, 15.0]},
    }
    return metrics(values, curves=curves, own=[10, 7.5])


def test_each_setting_has_its_panels_and_the_recipes_own_point_a_ring(drawn):
    found = {"COMiT-B": [swept(), swept(2.0)], "COMiT-L": []}
    drawing_sweep.plot("x", tokenizers=found, scale="pocket", reasons={"COMiT-L": "at desk"})
    (figure,) = drawn
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [f"{name} against {by}" for name in ("rFID ↓", "PSNR ↑ (dB)") for by in ("steps", "guidance")]
    steps, guidance = figure.axes[:2]
    assert steps.lines[0].get_xydata().tolist() == [[1, 61], [10, 21], [50, 23]]
    assert steps.lines[1].get_xydata().tolist() == [[10, 21]]
    assert guidance.lines[0].get_xydata().tolist() == [[1, 41], [7.5, 21]]
    assert guidance.lines[1].get_xydata().tolist() == [[7.5, 21]]
    assert "COMiT-L (at desk)" in below(figure) and "means over 2 seeds" in below(figure)


def test_a_sweep_mixes_neither_points_nor_measures(drawn):
    with pytest.raises(FigureError, match="COMiT-B were swept at different steps"):
        drawing_sweep.plot("x", tokenizers={"COMiT-B": [swept(), swept(steps=(1, 10, 20))]}, scale="pocket")
    other = swept() | {"measure": MEASURE | {"extractor": "another"}}
    with pytest.raises(TableError, match="extractor"):
        drawing_sweep.plot("x", tokenizers={"COMiT-B": [swept()], "COMiT-L": [other]}, scale="pocket")


# ---- bottleneck ---------------------------------------------------------------------------------------------------

SIZES = {"s": "S", "m": "M", "l": "L"}


def of_sizes(name: str, **found: float) -> dict:
    more = {"chance": 3.0} if name == "accuracy" else {}
    return {row: over_seeds([metrics({name: value} | more)]) for row, value in found.items()}


def test_sizes_stand_in_their_order_and_what_was_not_run_leaves_its_place(drawn):
    bottleneck.plot(
        "x",
        rows=SIZES,
        probe=of_sizes("accuracy", s=40.0, l=44.0),
        numbers=of_sizes("psnr", s=14.0, l=16.0),
        reasons={"m": "at desk"},
        scale="pocket",
    )
    (figure,) = drawn
    accuracy, psnr_ = figure.axes
    assert accuracy.lines[0].get_xydata().tolist() == [[0, 40], [2, 44]]
    assert psnr_.lines[0].get_xydata().tolist() == [[0, 14], [2, 16]]
    assert accuracy.lines[1].get_label() == "chance 3.0" and len(psnr_.lines) == 1
    assert [label.get_text() for label in psnr_.get_xticklabels()] == ["S", "M", "L"]
    assert "M (at desk)" in below(figure)


# ---- neighbours ---------------------------------------------------------------------------------------------------


def test_a_query_stands_before_its_neighbours_and_those_of_its_class_are_counted(drawn):
    arrays = {"images": pictures(2, 5), "labels": np.array([[1, 1, 2, 1, 1], [0, 3, 3, 3, 3]])}
    found = {"COMiT-B": over_seeds([metrics({"agreement": 37.5, "chance": 9.0})])}
    why = {"COMiT-XL": "at desk"}
    neighbours.plot("x", tokenizers={"COMiT-B": arrays}, numbers=found, reasons=why, scale="pocket")
    (figure,) = drawn
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["COMiT-B\n3 of 4 of its class", "0 of 4 of its class", "COMiT-XL"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["query", "1st", "2nd", "3rd", "4th"]
    sheet = axes.images[0].get_array()
    side = np.flatnonzero(sheet[0, :, 3] == 0)[0]
    assert (sheet[: side : side // SIDE, : side : side // SIDE, :3] == arrays["images"][0, 0]).all()
    assert "37.5 % of the 4 nearest" in below(figure) and "9.0 % of all others" in below(figure)
    assert texts(figure) == ["at desk"]
