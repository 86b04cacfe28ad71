"""Images with masks: where the object lies in the very pixels that a tokenizer sees."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tesserae.data import cache, masks
from tesserae.data.emoji import Emoji
from tesserae.data.errors import DataError
from tesserae.data.providers import open_provider
from tesserae.stages import masks as stage
from tests.conftest import ROOT
from tests.data import trees
from tests.stages.works import work

CORPUS = ROOT / "data" / "emoji" / "emoji.npz"
SETTINGS = {"validation_fraction": 0.15, "train_variants": 1, "val_variants": 1, "seed": 0}
EMOJI = {"provider": "emoji", "module": "tesserae.data.emoji", "labels": "group", "classes": 9, "image_size": 16}
FILES = {"provider": "ecssd", "module": "tesserae.data.ecssd", "split": "all", "image_size": 18}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    trees.ecssd(tmp_path / "data")
    return tmp_path / "data"


def of_files(files: Path, folder: Path, **more):
    spec = FILES | {"counts": {"all": 3, "all masks": 3}} | more
    return replace(work("masks", folder, spec), data_root=files)


def test_an_emojis_mask_lies_where_the_glyph_is_drawn(tmp_path: Path):
    job = work("masks", tmp_path, EMOJI | SETTINGS | {"split": "val"}, corpus=CORPUS)
    numbers = stage.run(job)
    found = masks.open_masks(job.out)
    provider = Emoji(root=CORPUS, label="group", **SETTINGS)
    assert numbers == {"images": provider.count("val")} and found.classes == ("background", "object")
    drawn = np.stack(list(provider.pictures("val", size=16)))
    assert np.array_equal(found.images, drawn)  # what the data set itself shows
    assert set(np.unique(found.masks)) == {0, 1} and found.masks.any(axis=(1, 2)).all()
    # Outside the mask there is the background: a plane of colour. Inside there is not.
    errors = {True: [], False: []}
    down, across = np.mgrid[:16, :16]
    for image, mask in zip(drawn[:60].astype(float), found.masks[:60] > 0, strict=True):
        plane = np.stack([np.ones(256), down.ravel(), across.ravel()], axis=1)
        outside = ~mask.ravel()
        if outside.sum() > 60:
            fitted = plane @ np.linalg.lstsq(plane[outside], image.reshape(256, 3)[outside], rcond=None)[0]
            error = np.abs(fitted - image.reshape(256, 3)).mean(1)
            for inside in (True, False):
                errors[inside].append(np.median(error[mask.ravel() == inside]))
    assert len(errors[True]) > 20 and np.median(errors[False]) < 5 < 30 < np.median(errors[True])


def test_files_are_cut_and_resized_alike(files: Path, tmp_path: Path):
    job = of_files(files, tmp_path)
    assert stage.run(job) == {"images": 3}
    found = masks.open_masks(job.out)
    for number in range(3):  # 24 x 18 pixels, of which the upper number + 1 rows are the object: only columns are cut
        with Image.open(files / f"images/{number + 1:04d}.jpg") as image:
            assert np.array_equal(found.images[number], np.asarray(image.convert("RGB"))[:, 3:21])
        assert np.array_equal(found.masks[number][:, 0], np.arange(18) <= number)


def test_a_smaller_mask_has_the_nearest_pixels_and_the_image_their_mean(files: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    levels, there = rng.integers(0, 256, (18, 18, 3)).astype(np.uint8), rng.random((18, 18)) < 0.5
    for number in range(3):
        Image.fromarray(levels).save(files / f"images/{number + 1:04d}.jpg", quality=100, subsampling=0)
        Image.fromarray(there.astype(np.uint8) * 255).save(files / f"ground_truth_mask/{number + 1:04d}.png")
    job = of_files(files, tmp_path, image_size=6)
    stage.run(job)
    found = masks.open_masks(job.out)
    assert np.array_equal(found.masks[0], there[1::3, 1::3]) and found.masks.dtype == np.uint8
    with Image.open(files / "images/0001.jpg") as image:
        pixels = np.asarray(image).astype(float)
    hat = np.array([1, 2, 3, 2, 1]) / 9  # a triangle of three pixels to each side: bilinear, with antialiasing
    inner = sum(hat[i] * hat[j] * pixels[2 + i : 14 + i : 3, 2 + j : 14 + j : 3] for i in range(5) for j in range(5))
    assert np.abs(found.images[0][1:5, 1:5] - inner).max() <= 1


def test_a_mask_of_nothing_or_of_another_size_is_refused(files: Path, tmp_path: Path):
    path = files / "ground_truth_mask/0002.png"
    with Image.open(path) as image:
        black = Image.new("L", image.size)
    black.save(path)
    with pytest.raises(DataError, match="none at position 1 of ecssd"):
        stage.run(of_files(files, tmp_path))
    black.resize((12, 9)).save(path)
    with pytest.raises(DataError, match=r"0002\.png[\s\S]*24 x 18[\s\S]*12 x 9"):
        stage.run(of_files(files, tmp_path))


def test_what_has_no_masks_or_is_not_as_configured_is_said(files: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"data\.root is not set"):
        stage.run(work("masks", tmp_path, FILES | {"counts": {"all": 3}}))
    with pytest.raises(ValueError, match=r"config/datasets\.yaml says \{'all': 4"):
        stage.run(of_files(files, tmp_path, counts={"all": 4}))
    provider = open_provider("ecssd", root=files)
    with pytest.raises(ValueError, match="ecssd has the splits all, not 'val'"):
        masks.pairs(provider, "val", size=8)
    trees.coco(tmp_path / "coco")
    with pytest.raises(ValueError, match="coco has no masks; emoji and ecssd do"):
        masks.pairs(open_provider("coco", root=tmp_path / "coco"), "val", size=8)


def test_a_folder_is_read_as_it_was_written_or_not_at_all(tmp_path: Path):
    images, found = np.zeros((2, 4, 4, 3), np.uint8), np.ones((2, 4, 4), np.uint8)
    pairs = list(zip(images, found, strict=True))
    for count in (1, 3):
        with pytest.raises(DataError, match=f"{count} masks"):
            masks.write_masks(tmp_path, iter(pairs), count=count, size=4, about={})
    with pytest.raises(DataError, match="the index of images with masks"):
        masks.open_masks(tmp_path)
    masks.write_masks(tmp_path, iter(pairs), count=2, size=4, about={"provider": "x"})
    assert masks.open_masks(tmp_path).masks.sum() == 32
    np.save(tmp_path / "masks.npy", 2 * found)
    with pytest.raises(DataError, match="a class 2"):
        masks.open_masks(tmp_path)
    np.save(tmp_path / "masks.npy", found[:1])
    with pytest.raises(DataError, match=r"\(2, 4, 4\)"):
        masks.open_masks(tmp_path)
    assert cache.INDEX in {path.name for path in tmp_path.iterdir()}
