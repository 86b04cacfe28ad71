"""Figures of concepts: darkened where nothing fires, framed where the concept is there, numbers in the titles."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from tesserae.reporting import drawing, overlays
from tesserae.reporting.drawing import FigureError
from tesserae.reporting.figures import clusters, concept_images, concepts
from tesserae.reporting.seeds import over_seeds
from tests.reporting.drawings import below

CONCEPTS, SHOWN, SIDE, GRID = 2, 3, 8, 4


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, SIDE, SIDE, 3)).astype(np.uint8)


def examples(**changes) -> dict:
    """What the stage `concept_examples` leaves of a tokenizer that reads prompts."""
    rng = np.random.default_rng(1)
    return {
        "concepts": np.array([12, 345]),
        "names": np.array(["bird, beak", ""]),
        "frequency": np.array([0.004, 0.02]),
        "firing": np.array([0.05, 0.1]),
        "images": pictures(CONCEPTS, SHOWN),
        "strength": np.ones((CONCEPTS, SHOWN)),
        "fires": rng.random((CONCEPTS, SHOWN, GRID, GRID)) < 0.3,
        "found": pictures(CONCEPTS, SHOWN, seed=2),
        "logits": np.ones((CONCEPTS, SHOWN)),
        "has": np.array([[True, False, True], [False, False, True]]),
        "prompted": np.array(True),
    } | changes


def numbers(*seeds: dict, **measure) -> dict:
    """metrics.json over seeds, from the values of each."""
    told = {"kind": "concepts", "concept_set": "sae-val", **measure}
    content = {"deviation": {}, "measure": told, "measure_id": "ab", "selection": None}
    return over_seeds([content | {"values": values} for values in seeds])


def retrieved(*maps: float) -> dict:
    return numbers(*({"map": x, "precision": 0.5, "chance": 0.016, "ranked": 150.0} for x in maps), first=SHOWN)


def labels(axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def row(figure, number: int) -> np.ndarray:
    """The images of a row of a sheet, at their own size: (I, H, W, 3)."""
    axes = figure.axes[0]
    sheet, factor = np.asarray(axes.images[0].get_array()), drawing.SIDE // SIDE
    centres = axes.get_xticks() if len(axes.get_xticks()) else drawing.mosaic([pictures(SHOWN)])[1]
    top = round(axes.get_yticks()[number] - drawing.SIDE / 2)
    lefts = [round(x - drawing.SIDE / 2) for x in centres]
    return np.stack([sheet[top : top + drawing.SIDE : factor, x : x + drawing.SIDE : factor, :3] for x in lefts])


def test_patches_that_do_not_fire_are_darkened():
    images = np.full((1, 4, 6, 3), 255, np.uint8)
    shaded = overlays.shade(images, np.array([[[True, False], [False, True]]]))
    assert shaded.dtype == np.uint8
    assert shaded[0, :, :, 0].tolist() == [[255] * 3 + [30] * 3] * 2 + [[30] * 3 + [255] * 3] * 2
    uneven = overlays.shade(np.full((5, 5, 3), 255, np.uint8), np.eye(2, dtype=bool))  # nearest: 3 and 2 pixels
    assert uneven[0, :, 0].tolist() == [255, 255, 255, 30, 30]


def test_each_concept_has_its_patches_and_what_each_tokenizer_finds(drawn):
    other = examples(found=pictures(CONCEPTS, SHOWN, seed=5), prompted=np.array(False))
    given = {"B-L-128": [examples()], "B-B-64": [other], "S-S-64": []}
    told = {"B-L-128": retrieved(0.25), "B-B-64": retrieved(0.2, 0.4), "S-S-64": None}
    concepts.plot("x", tokenizers=given, numbers=told, scale="pocket", reasons={"S-S-64": "too dear"})
    (figure,) = drawn
    rows = ["B-L-128", "B-B-64", "S-S-64"]
    assert labels(figure.axes[0]) == ["concept 12\nbird, beak", *rows, "concept 345", *rows]
    assert [text.get_text() for text in figure.axes[0].texts] == ["too dear"] * 2
    first = examples()
    for index in (0, 1):
        assert (row(figure, 4 * index) == overlays.shade(first["images"][index], first["fires"][index])).all()
        assert (row(figure, 4 * index + 1) == first["found"][index]).all()
        assert (row(figure, 4 * index + 2) == other["found"][index]).all()
    for sentence in (
        "B-L-128, over 150 concepts: mean average precision 0.25, precision@3 0.50, by chance 0.016; one seed",
        "B-B-64, over 150 concepts: mean average precision 0.30 ± 0.14",
        "B-L-128: the tokenizer reads the class prompt here as well.",
        "0.4% to 2.0% of the training images",
        "Pictures: first seed",
        "Not run: S-S-64 (too dear).",
    ):
        assert sentence in below(figure)


def test_frames_are_around_found_images_that_have_the_concept(drawn):
    concepts.plot("x", tokenizers={"a": [examples()]}, numbers={"a": retrieved(0.1)}, scale="pocket")
    axes = drawn[0].axes[0]
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert {to_hex(frame.get_edgecolor()) for frame in frames} == {concepts.HIT}
    centres = {(round(x), round(y)) for x, y in (frame.get_center() for frame in frames)}
    xs, ys = axes.get_xticks().round().tolist(), axes.get_yticks().round().tolist()
    assert centres == {(xs[0], ys[1]), (xs[2], ys[1]), (xs[2], ys[3])}
    assert all(frame.get_width() == frame.get_height() == drawing.SIDE for frame in frames)


def test_without_a_head_there_are_patches_alone(drawn):
    alone = {name: array for name, array in examples().items() if name not in ("found", "has", "logits")}
    concepts.plot("x", tokenizers={"a": [alone]}, numbers={"a": numbers({})}, scale="pocket")
    assert labels(drawn[0].axes[0]) == ["concept 12\nbird, beak", "concept 345"]
    assert "precision" not in below(drawn[0]) and not drawn[0].axes[0].patches


def test_images_of_concepts_are_shown_as_they_are(drawn):
    concept_images.plot("x", tokenizers={"a": [], "b": [examples()]}, scale="pocket")
    assert labels(drawn[0].axes[0]) == ["concept 12\nbird, beak", "concept 345"]
    assert (row(drawn[0], 1) == examples()["images"][1]).all()


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"concepts": np.array([12, 346])}, "concepts"), ({"images": pictures(2, 3, seed=9)}, "images")],
)
def test_tokenizers_of_other_concepts_do_not_share_a_figure(drawn, changes, name):
    given = {"a": [examples()], "b": [examples(**changes)]}
    for draw in (
        lambda: concepts.plot("x", tokenizers=given, numbers=dict.fromkeys(given, retrieved(0.1)), scale="pocket"),
        lambda: concept_images.plot("x", tokenizers=given, scale="pocket"),
    ):
        with pytest.raises(FigureError, match=f"{name} of 'b' are not those of 'a'"):
            draw()
    with pytest.raises(FigureError, match="no tokenizer was run"):
        concept_images.plot("x", tokenizers={"a": []}, scale="pocket")


# ---- clusters --------------------------------------------------------------------------------------------------


def clustered(seed: int = 0, **changes) -> dict:
    """What the stage `latent_clusters` leaves: the points of concept c lie around (c, seed)."""
    rng = np.random.default_rng(seed)
    which = np.repeat(np.arange(3), (4, 2, 6))
    points = np.stack([which, np.full(len(which), float(seed))], axis=1) + 0.1 * rng.standard_normal((len(which), 2))
    names = np.array(["bird, beak", "grass", ""])
    return {
        **{"points": points.astype(np.float32), "labels": which, "classes": which % 2, "names": names},
        **{"concepts": np.array([12, 345, 6]), "prompted": np.array(True)},
    } | changes


def separated(*silhouettes: float) -> dict:
    values = {"knn_purity": 0.75, "chance": 0.31, "same_class": 0.5, "points": 12.0, "neighbours": 10.0}
    return numbers(*(values | {"silhouette": x} for x in silhouettes))


def test_clusters_have_a_panel_per_tokenizer_with_its_numbers(drawn):
    given = {
        "Baseline": [clustered(prompted=np.array(False))],
        "+ concepts": [clustered(1), clustered(2)],
        "B-L-128": [],
    }
    told = {"Baseline": separated(-0.05), "+ concepts": separated(0.2, 0.4), "B-L-128": None}
    why = {"B-L-128": "too dear"}
    clusters.plot("x", tokenizers=given, numbers=told, scale="pocket", reasons=why)
    (figure,) = drawn
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles.pop() == "B-L-128" and [text.get_text() for text in figure.axes[2].texts] == ["too dear"]
    assert titles == [
        "Baseline\nsilhouette -0.05, 10-NN purity 0.75",
        "+ concepts\nsilhouette 0.30 ± 0.14, 10-NN purity 0.75 ± 0.00",
    ]
    for axes, found in zip(figure.axes[:2], (given["Baseline"][0], given["+ concepts"][0]), strict=True):
        shown = [points.get_offsets().tolist() for points in axes.collections]
        assert shown == [found["points"][found["labels"] == c].tolist() for c in range(3)]
        assert [to_hex(points.get_facecolor()[0]) for points in axes.collections] == [c for c, _ in clusters.MARKS[:3]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["12: bird, beak", "345: grass", "6"]
    assert "+ concepts: the tokenizer reads the class prompt here as well." in below(figure)
    assert "12 validation images" in below(figure) and "purity by chance: 0.31" in below(figure)
    assert "50% of the images are of the commonest class of their concept" in below(figure)
    assert "means over 1 or 2 seeds" in below(figure) and "Not run: B-L-128 (too dear)." in below(figure)


@pytest.mark.parametrize(("count", "visible"), [(1, [True]), (4, [True] * 4), (5, [True] * 5 + [False])])
def test_places_without_a_tokenizer_are_left_empty(drawn, count, visible):
    given = {name: [clustered()] for name in "abcde"[:count]}
    clusters.plot("x", tokenizers=given, numbers={name: separated(0.1) for name in given}, scale="pocket")
    assert [axes.get_visible() for axes in drawn[0].axes] == visible


def test_clusters_of_other_images_raise(drawn):
    given = {"a": [clustered()], "b": [clustered(labels=np.zeros(12, int))]}
    with pytest.raises(FigureError, match="labels of 'b' are not those of 'a'"):
        clusters.plot("x", tokenizers=given, numbers=dict.fromkeys(given, separated(0.1)), scale="pocket")


def test_figures_are_written_with_the_same_bytes(tmp_path):
    given, told = {"a": [clustered()]}, {"a": separated(0.1)}
    first, again = (clusters.plot(tmp_path / name, tokenizers=given, numbers=told, scale="x") for name in ("1", "2"))
    assert [path.suffix for path in first] == [".png", ".svg", ".pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
