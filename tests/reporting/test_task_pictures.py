"""Figures of domains: images as tokenizers leave them, with what a network sees in them."""

import numpy as np

from tesserae.reporting.figures import task_pictures
from tesserae.reporting.seeds import over_seeds
from tests.reporting.drawings import below
from tests.reporting.test_kept import SIDE, metrics, pictures


def shown(seed: int, **more) -> dict[str, np.ndarray]:
    return {"originals": pictures(4), "reconstructions": pictures(4, seed=seed), **more}


def test_readings_stand_below_images_and_words_above(drawn):
    words = np.array(["abc", "de", "f", "gh"])
    found = {
        "one": shown(1, words=words, read=np.array(["abc", "", "f", "gx"])),
        "two": shown(2, words=words, read=words),
    }
    numbers = {label: over_seeds([metrics({"exact_match": 50.0, "rfid": 3.0})]) for label in found}
    task_pictures.plot(
        "x", tokenizers=found, numbers=numbers, title="Words", scale="pocket", reasons={"three": "at desk"}
    )
    (figure,) = drawn
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["abc", "de", "f", "gh"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "one", "two", "three"]
    read = [text.get_text() for text in axes.texts]
    assert read == ["at desk", "abc", "nothing", "f", "gx", "abc", "de", "f", "gh"]
    assert "one 50.0 % of words, two 50.0 % of words" in below(figure) and "three (at desk)" in below(figure)


def test_regions_are_outlined_in_the_colour_of_their_class():
    images, masks = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 32, 32), np.uint8)
    masks[0, 8:24, 8:16], masks[0, 8:24, 16:24] = 1, 2
    found = task_pictures.outlined(images, masks)[0]
    assert found.shape == (128, 128, 3)
    lit = found.any(axis=2)
    assert lit[32:35, 32:96].all() and not lit[36:92, 36:60].any() and not lit[:32].any() and not lit[96:].any()
    left, right = found[33, 40], found[33, 80]
    assert (
        not np.array_equal(left, right) and np.array_equal(found[60, 33], left) and np.array_equal(found[60, 62], left)
    )


def test_masks_have_no_words(drawn):
    masks = np.zeros((4, SIDE, SIDE), np.uint8)
    masks[:, 2:5, 2:5] = 1
    numbers = {"one": over_seeds([metrics({"dice": 71.23})])}
    task_pictures.plot(
        "x", tokenizers={"one": shown(1, true=masks, found=masks)}, numbers=numbers, title="X", scale="desk"
    )
    assert "one Dice 71.2 %" in below(drawn[0]) and not drawn[0].axes[0].texts
