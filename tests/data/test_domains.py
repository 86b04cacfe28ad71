"""Images of other domains: what is right of each lies in the pixels that are shown, and no image is in both splits."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tesserae.data import domains, letters
from tesserae.data.cache import open_cache
from tesserae.data.checking import listed
from tesserae.data.deepglobe import COLOURS
from tesserae.data.errors import DataError
from tesserae.stages import domain as stage
from tests.conftest import ROOT
from tests.data import trees
from tests.stages.works import work

CORPUS = ROOT / "data" / "emoji" / "emoji.npz"
COUNTS = {"train_images": 40, "val_images": 20, "seed": 0}
GLYPHS = {"root": CORPUS, "validation_fraction": 0.15, **COUNTS}
LAND = {"groups": ["Flags", "Symbols"], "glyphs": 2}
SMALL = {
    "emoji_land": GLYPHS | LAND,
    "emoji_shapes": GLYPHS | {"empty": 0.3},
    "drawn_words": {"root": None, "lengths": [3, 5], **COUNTS},
}


def images_and_answers(name: str, split: str, size: int, **more):
    found = domains.open_domain(name, **SMALL[name] | more)
    return list(found.pictures(split, size=size)), list(found.answers(split, size=size)), found


# ---- what is drawn ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_what_is_drawn_is_a_function_of_the_seed(name):
    images, answers, found = images_and_answers(name, "val", 32)
    again, same, _ = images_and_answers(name, "val", 32)
    other, _, _ = images_and_answers(name, "val", 32, seed=1)
    assert len(images) == len(answers) == found.count("val") == 20 and len(set(found.keys("val"))) == 20
    assert np.array_equal(images, again) and not np.array_equal(images, other)
    assert all(np.array_equal(a.mask, b.mask) and a.word == b.word for a, b in zip(answers, same, strict=True))
    assert np.array_equal(list(found.pictures("val", size=32, start=17)), images[17:])
    assert all(image.shape == (32, 32, 3) and image.dtype == np.uint8 for image in images)
    train = {image.tobytes() for image in found.pictures("train", size=32)}
    assert len(train) == 40 and not train & {image.tobytes() for image in images}


def test_land_and_shapes_of_validation_are_of_other_glyphs():
    land = domains.open_domain("emoji_land", **SMALL["emoji_land"])
    groups = np.array(land.corpus.groups)
    for kinds in land.kinds.values():
        assert [set(groups[glyphs]) for glyphs in kinds] == [{"Flags"}, {"Symbols"}]
    shapes = domains.open_domain("emoji_shapes", **SMALL["emoji_shapes"])
    for one, other in zip(land.kinds["train"], land.kinds["val"], strict=True):
        assert len(other) and not set(one) & set(other)
    assert not set(shapes.glyphs["train"]) & set(shapes.glyphs["val"])
    with pytest.raises(ValueError, match="emoji have no group 'Land'"):
        domains.open_domain("emoji_land", **SMALL["emoji_land"] | {"groups": ["Land"]}).check()


def test_masks_of_land_lie_where_the_glyphs_are():
    found = domains.open_domain("emoji_land", **SMALL["emoji_land"] | {"glyphs": 1, "val_images": 60})
    answers = [answer.mask for answer in found.answers("val", size=32)]
    assert set(np.unique(answers)) == {0, 1, 2} and all(mask.any() for mask in answers)
    # A glyph's edges are the strongest of the image: across the border of a mask levels change more than elsewhere.
    across, elsewhere = [], []
    for image, mask in zip(found.pictures("val", size=32), answers, strict=True):
        steps = np.abs(np.diff(image.astype(float), axis=1)).mean(axis=2)
        border = mask[:, 1:] != mask[:, :-1]
        outside = (mask[:, 1:] == 0) & (mask[:, :-1] == 0)
        across.append(steps[border].mean())
        elsewhere.append(steps[outside & ~border].mean())
    assert np.median(across) > 3 * np.median(elsewhere)


def test_shapes_are_grey_low_in_contrast_and_sometimes_missing():
    images, answers, _ = images_and_answers("emoji_shapes", "train", 32)
    shown = [answer.mask.any() for answer in answers]
    assert 0.4 < np.mean(shown) < 0.95
    assert all((image == image[..., :1]).all() for image in images)
    differences = [
        abs(image[answer.mask == 1].mean() - image[answer.mask == 0].mean())
        for image, answer in zip(images, answers, strict=True)
        if answer.mask.any()
    ]
    assert 8 < np.median(differences) < 50


def test_words_are_of_other_letters_in_validation_and_stand_in_their_box():
    images, answers, found = images_and_answers("drawn_words", "val", 32)
    words = {split: set(found.words[split]) for split in found.splits}
    assert not words["train"] & words["val"] and {len(word) for word in words["train"]} == {3, 4, 5}
    assert [answer.word for answer in answers] == [word.lower() for word in found.words["val"]]
    for image, answer in zip(images, answers, strict=True):
        left, top, right, bottom = domains.box_of(answer.mask)
        levels = image.astype(float)
        ground = np.median(levels.reshape(-1, 3), axis=0)
        ink = np.abs(levels - ground).sum(axis=2) > 120
        inside = ink[top:bottom, left:right]
        assert inside.sum() > 40 and inside.sum() > 0.97 * ink.sum()  # clouds of the ground are no ink
        assert inside[:2].any() and inside[-2:].any() and inside[:, :3].any() and inside[:, -3:].any()
    with pytest.raises(DataError, match="40 words that are none of validation's"):
        domains.open_domain("drawn_words", root=None, lengths=[1, 1], train_images=40, val_images=2000, seed=0).check()


@settings(max_examples=30, deadline=None)
@given(
    word=st.text(letters.ALPHABET, min_size=1, max_size=5),
    width=st.floats(0.5, 0.9),
    slant=st.floats(-0.2, 0.2),
    size=st.integers(24, 64),
)
def test_ink_covers_what_a_word_is_given(word, width, slant, size):
    hand = letters.Hand(left=0.05, top=0.3, width=width, height=0.4, stroke=0.06, gap=0.4, slant=slant)
    covered = letters.written(word, hand, size)
    assert covered.shape == (size, size) and covered.min() >= 0 and 0.75 < covered.max() <= 1
    rows, columns = (np.flatnonzero((covered > 0.5).any(axis=axis)) / size for axis in (1, 0))
    pixel = 1.5 / size
    assert rows[0] >= 0.3 - pixel and rows[-1] <= 0.72 + pixel  # the tail of Q hangs a little lower
    assert columns[0] >= 0.05 - pixel and columns[-1] <= 0.05 + width + pixel


def test_no_two_letters_look_alike():
    hand = letters.Hand(left=0.1, top=0.1, width=0.8, height=0.8, stroke=0.1, gap=0.4, slant=0.0)
    drawn = np.stack([letters.written(letter, hand, 16).ravel() for letter in letters.ALPHABET])
    assert len(letters.ALPHABET) == 26
    apart = np.abs(drawn[:, None] - drawn[None]).sum(axis=2) + 1e9 * np.eye(26)
    assert apart.min() > 4


def test_words_are_compared_by_letters_and_digits_alone():
    assert [domains.plain(word) for word in ("Café-24", "Ünïted", "№!", "A B")] == ["cafe24", "united", "no", "ab"]


# ---- files ------------------------------------------------------------------------------------------------------


def of_files(name: str, root: Path, **more):
    getattr(trees, {"deepglobe_tiles": "deepglobe", "textocr_words": "textocr"}.get(name, name))(root)
    plain = {
        "deepglobe_tiles": {"tile": 7, "train_images": 28, "val_images": 4},
        "chestx_det": {"train_images": 4, "val_images": 2},
        "textocr_words": {"height": 4, "letters": 3, "train_images": 1, "val_images": 1},
    }[name]
    return domains.open_domain(name, root=root, seed=0, **plain | more)


@pytest.mark.parametrize("name", ["deepglobe_tiles", "chestx_det", "textocr_words"])
def test_a_whole_set_has_no_problem_and_a_missing_part_is_named(name, tmp_path):
    found = of_files(name, tmp_path)
    assert listed(found) == []
    for split in found.splits:
        images, answers = list(found.pictures(split, size=8)), list(found.answers(split, size=8))
        assert len(images) == len(answers) == len(set(found.keys(split))) == found.count(split) > 0
        assert np.array_equal(list(found.pictures(split, size=8, workers=2, start=1)), images[1:])
    gone = {
        "deepglobe_tiles": "train/119_mask.png",
        "chestx_det": "train_data/train2.png",
        "textocr_words": "train_images/c3.jpg",
    }[name]
    (tmp_path / gone).unlink()
    found = domains.open_domain(name, **{f: getattr(found, f) for f in found.__dataclass_fields__})
    assert len(problems := listed(found)) == 1 and Path(gone).stem.split("_")[0] in str(problems[0])
    assert str(tmp_path) in str(problems[0])
    missing = replace(found, root=tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"Set data\.root"):
        missing.check()


@pytest.mark.parametrize("name", ["deepglobe_tiles", "chestx_det", "textocr_words"])
def test_more_images_than_there_are_cannot_be_drawn(name, tmp_path):
    found = of_files(name, tmp_path, val_images=50)
    with pytest.raises(DataError, match=rf"50 val images that fit; found \d+\. .*set val_images of {name} to"):
        found.keys("val")
    few = of_files(name, tmp_path, train_images=1)
    assert few.count("train") == 1 and few.keys("train")[0] in of_files(name, tmp_path).keys("train")


def test_tiles_are_cut_from_the_middle_and_their_land_with_them(tmp_path):
    found = of_files("deepglobe_tiles", tmp_path, tile=4, train_images=63, val_images=18)  # 9 of 14 x 14 pixels
    keys = found.keys("train")
    assert {key.partition("#")[0] for key in keys} == {f"train/{name}_sat.jpg" for name in found.whole.divided["train"]}
    masks = [answer.mask for answer in found.answers("train", size=4)]
    # The miniature's land lies in stripes of two rows, of the seven classes in their order; one row is left out above.
    stripes = np.repeat(np.arange(7), 2)[1:13].reshape(3, 4)
    stripes = np.where(stripes == list(COLOURS).index("unknown"), domains.UNKNOWN, stripes)
    for key, mask in zip(keys, masks, strict=True):
        row = int(key.partition("#")[2]) // 3
        assert np.array_equal(mask, np.repeat(stripes[row][:, None], 4, axis=1))
    assert "unknown" not in found.classes and len(found.classes) == 6
    smaller = of_files("deepglobe_tiles", tmp_path, tile=20)
    with pytest.raises(DataError, match="an image of 20 pixels or more; found 14 x 14"):
        smaller.keys("val")


def test_findings_are_filled_outlines(tmp_path):
    found = of_files("chestx_det", tmp_path)
    shown, nothing = (answer.mask for answer in found.answers("val", size=40))
    wanted = np.zeros((40, 40), np.uint8)
    wanted[20:30, 10:30] = 1
    assert np.array_equal(shown, wanted) and not nothing.any()
    assert found.keys("val")[0] == "test_data/test/test0.png"  # unpacked in a folder more
    halved = next(found.answers("val", size=20)).mask
    assert np.array_equal(halved, wanted[::2, ::2])
    file = tmp_path / "ChestX_Det_train.json"
    entries = json.loads(file.read_text())
    entries[0]["polygons"] = []
    file.write_text(json.dumps(entries))
    with pytest.raises(DataError, match=r"ChestX_Det_train\.json[\s\S]*train0\.png: 1 findings, 0 outlines"):
        replace(found).check()


def test_words_stand_in_the_middle_of_squares(tmp_path):
    found = of_files("textocr_words", tmp_path)
    (answer,) = found.answers("val", size=24)
    assert answer.word == "cafe"  # "." was not legible
    left, top, right, bottom = domains.box_of(answer.mask)
    # The box of 6 x 4 pixels in a square of 7.2: five sixths of its width, in the middle.
    assert (left, right) == (2, 22) and abs(bottom - top - 4 / 7.2 * 24) < 1 and abs(top + bottom - 24) <= 1
    photograph = np.zeros((18, 24, 3), np.uint8)
    photograph[2:6, 2:8] = 255
    Image.fromarray(photograph).save(tmp_path / "train_images/c3.jpg", quality=100, subsampling=0)
    (image,) = found.pictures("val", size=24)
    inside = image[top + 1 : bottom - 1, left + 3 : right - 1]
    assert inside.min() > 200 and image[:2].max() < 60
    # Close to a corner the photograph's last pixels go on.
    assert (image[top + 3 : bottom - 3, 0] < 100).all()
    with pytest.raises(DataError, match="images that fit; found 0"):
        of_files("textocr_words", tmp_path, height=5).keys("val")
    with pytest.raises(DataError, match="images that fit; found 0"):
        of_files("textocr_words", tmp_path, letters=5).keys("val")


# ---- the stage --------------------------------------------------------------------------------------------------


def job(folder: Path, name: str, **more):
    spec = {"provider": name, "module": f"tesserae.data.{name}", "image_size": 16, **SMALL[name], **more}
    spec.pop("root")
    return work("domain", folder, spec, **({} if name == "drawn_words" else {"corpus": CORPUS}))


@pytest.mark.parametrize("name", SMALL)
def test_a_domain_is_a_cache_with_answers(name, tmp_path):
    done = job(tmp_path, name)
    assert stage.run(done) == {"train_images": 40, "val_images": 20}
    found = domains.open_domain(name, **SMALL[name])
    for split in ("train", "val"):
        cache, answers = open_cache(done.out, split), domains.open_answers(done.out, split)
        assert (cache.labels == -1).all() and len(cache.images) == len(answers.masks)
        assert np.array_equal(cache.images, list(found.pictures(split, size=16)))
        assert np.array_equal(answers.masks, [answer.mask for answer in found.answers(split, size=16)])
        assert answers.classes == tuple(found.classes) and answers.task == found.task
        assert len(answers.words) == (len(cache.images) if name == "drawn_words" else 0)
    np.save(done.out / "val_masks.npy", np.full((20, 16, 16), 9, np.uint8))
    with pytest.raises(DataError, match="a class 9"):
        domains.open_answers(done.out, "val")
    (done.out / "task.json").unlink()
    with pytest.raises(DataError, match=r"what a task asks of images[\s\S]*Run the stage `domain` again"):
        domains.open_answers(done.out, "val")


def test_a_real_set_is_as_large_as_configured_or_refused(tmp_path):
    trees.chestx_det(tmp_path / "data")
    spec = {"provider": "chestx_det", "module": "tesserae.data.chestx_det", "image_size": 16, "seed": 0}
    spec |= {"train_images": 4, "val_images": 2, "counts": {"train": 4, "val": 2}}
    done = work("domain", tmp_path, spec)
    with pytest.raises(ValueError, match=r"data.root is not set.*chestx_det is not drawn"):
        stage.run(done)
    assert stage.run(replace(done, data_root=tmp_path / "data")) == {"train_images": 4, "val_images": 2}
    wrong = work("domain", tmp_path, spec | {"counts": {"train": 3025, "val": 2}})
    with pytest.raises(DataError, match=r"expected 3,025 train, by config/domains\.yaml; found 4 train"):
        stage.run(replace(wrong, data_root=tmp_path / "data"))
    with pytest.raises(ValueError, match="no set of a domain is called 'satellites'"):
        domains.open_domain("satellites", root=None)


def test_answers_that_are_none_are_refused(tmp_path):
    class Blank:
        name, root, task, classes, splits = "blank", None, "region", ("background", "thing"), ("val",)
        count = staticmethod(lambda split: 2)

        def __init__(self, *answers):
            self.answers = lambda split, size, workers: iter(answers)

    nothing, half = np.zeros((4, 4), np.uint8), np.eye(4, dtype=np.uint8)
    for answers, said in (
        ([domains.Answer(nothing)] * 2, "pixels of two classes in val"),
        ([domains.Answer(half)], "2 answers of val; found 1"),
        ([domains.Answer(half)] * 3, "2 answers of val; found 3"),
    ):
        with pytest.raises(DataError, match=said):
            domains.write_answers(Blank(*answers), tmp_path, size=4)
    asked = Blank(domains.Answer(half, "a"), domains.Answer(half))
    asked.task = "words"
    with pytest.raises(DataError, match="a word and its place at position 1 of val"):
        domains.write_answers(asked, tmp_path, size=4)
