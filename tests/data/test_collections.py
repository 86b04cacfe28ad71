"""Data sets without classes, on miniatures in their real layouts: what they say when whole, and when damaged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tesserae.data import chestxray14, coco, deepglobe, llava_next, textocr, visual_genome
from tesserae.data.cache import open_cache, write_cache
from tesserae.data.checking import listed
from tesserae.data.errors import DataError
from tesserae.data.providers import Provider, open_provider
from tests.data import trees

COUNTS = {
    "coco": {"train": 3, "val": 1, "train objects": 4, "val objects": 2, "train captions": 15, "val captions": 5},
    "visual_genome": {"all": 3},
    "ecssd": {"all": 3, "all masks": 3},
    "deepglobe": {"train": 7, "val": 1, "test": 2},
    "chestxray14": {"train": 3, "test": 1},
    "textocr": {"train": 2, "val": 1, "train words": 2, "val words": 2},
    "llava_next": {"train": 8, "train rows": 10},
}


def make(name: str, root: Path) -> Provider:
    getattr(trees, name)(root)
    return open_provider(name, root=root)


@pytest.fixture(params=COUNTS)
def provider(request, tmp_path: Path) -> Provider:
    return make(request.param, tmp_path)


# Whole


def test_a_whole_set_has_no_problem(provider: Provider):
    assert listed(provider) == [] and provider.counts() == COUNTS[provider.name]
    provider.check()


def test_keys_pictures_and_annotations_go_together(provider: Provider):
    for split in provider.splits:
        keys, pictures = provider.keys(split), list(provider.pictures(split, size=8))
        assert len(keys) == len(set(keys)) == len(pictures) == len(list(provider.annotations(split)))
        values = [picture.mean() for picture in pictures]
        assert all(picture.shape == (8, 8, 3) and picture.dtype == np.uint8 for picture in pictures)
        if provider.name != "deepglobe":  # drawn in the order of the keys
            assert np.abs(np.array(values) - 20 - np.arange(len(values)) - 3 * (split == "test")).max() < 2


@pytest.mark.parametrize("workers", [1, 2])
def test_any_start_gives_the_rest(provider: Provider, workers: int):
    split = provider.splits[0]
    whole = list(provider.pictures(split, size=6))
    for start in range(len(whole) + 1):
        rest = list(provider.pictures(split, size=6, workers=workers, start=start))
        assert len(rest) == len(whole) - start
        assert all(np.array_equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_every_set_can_be_cached(provider: Provider, tmp_path: Path):
    split = provider.splits[0]
    write_cache(provider, split, size=6, folder=tmp_path / "cache", workers=2)
    cached = open_cache(tmp_path / "cache", split)
    assert np.array_equal(cached.images, np.stack(list(provider.pictures(split, size=6))))
    assert (cached.labels == -1).all()


def test_a_whole_set_decodes(provider: Provider):
    found = list(provider.damaged(workers=2))
    assert found == [None] * len(provider.decodable()) and len(found) >= sum(map(provider.count, provider.splits))


# Annotations


def test_coco(tmp_path: Path):
    provider = make("coco", tmp_path)
    assert provider.keys("train") == [f"train2017/{number:012d}.jpg" for number in (9, 25, 30)]
    first, empty, _ = provider.annotations("train")
    assert first.captions == tuple(f"caption {number} of 9" for number in range(5))
    assert first.things == (coco.Thing(18, (0, 2.5, 10, 8), False), coco.Thing(19, (1, 2.5, 10, 8), True))
    assert empty.things == () and len(empty.captions) == 5


def test_visual_genome(tmp_path: Path):
    provider = make("visual_genome", tmp_path)
    assert provider.keys("all") == ["VG_100K_2/1.jpg", "VG_100K/2.jpg", "VG_100K/107.jpg"]
    first, second, third = provider.annotations("all")
    man, horse = (visual_genome.Thing(name, (1, 2, 3, 4)) for name in ("man", "horse"))
    assert first == (24, 18, ((man, "ON", horse),)) and second.relations == third.relations == ()


def test_ecssd(tmp_path: Path):
    masks = list(make("ecssd", tmp_path).annotations("all"))
    assert [mask.sum() for mask in masks] == [24, 48, 72] and masks[0].shape == (18, 24) and masks[0].dtype == bool


def test_deepglobe(tmp_path: Path):
    provider = make("deepglobe", tmp_path)
    assert list(deepglobe.COLOURS)[:2] == ["urban land", "agriculture land"]
    for mask in provider.annotations("train"):
        assert mask.dtype == np.uint8 and np.array_equal(mask, np.repeat(np.arange(7), 2)[:, None].repeat(14, 1))
    keys = [key for split in provider.splits for key in provider.keys(split)]
    assert sorted(keys) == sorted(f"train/{path.name}" for path in (tmp_path / "train").glob("*_sat.jpg"))
    assert provider.divided == open_provider("deepglobe", root=tmp_path).divided


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(list(deepglobe.COLOURS)), min_size=1, max_size=30), st.integers(0, 127))
def test_colours_are_read_back_whatever_their_impurity(names: list[str], impurity: int):
    colours = np.array([[deepglobe.COLOURS[name] for name in names]])
    pixels = np.where(colours > 0, 255 - impurity, impurity).astype(np.uint8)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(deepglobe, "open_image", lambda _: Image.fromarray(pixels))
        found = deepglobe.classes_of(Path("mask.png"))
    assert [list(deepglobe.COLOURS)[number] for number in found[0]] == names


def test_chestxray14(tmp_path: Path):
    provider = make("chestxray14", tmp_path)
    first, healthy, third = provider.annotations("train")
    named = [name for name, found in zip(chestxray14.FINDINGS, first.found, strict=True) if found]
    assert named == ["Cardiomegaly", "Emphysema"] and first.patient == 1
    assert not any(healthy.found) and sum(third.found) == 1 and third.patient == 2
    assert [all(entry.found) for entry in provider.annotations("test")] == [True]


def test_chestxray14_as_unpacked_in_twelve_folders_and_with_the_older_table(tmp_path: Path):
    trees.chestxray14(tmp_path)
    (tmp_path / "images_001").mkdir()
    (tmp_path / "images").rename(tmp_path / "images_001/images")
    (tmp_path / "Data_Entry_2017_v2020.csv").rename(tmp_path / "Data_Entry_2017.csv")
    provider = open_provider("chestxray14", root=tmp_path)
    assert listed(provider) == [] and provider.keys("test") == ["images_001/images/00000003_000.png"]


def test_textocr(tmp_path: Path):
    provider = make("textocr", tmp_path)
    assert provider.keys("train") == ["train_images/a2.jpg", "train_images/b1.jpg"]
    empty, words = provider.annotations("train")
    corners = ((1.5, 2), (7.5, 2), (7.5, 6), (1.5, 6))
    assert empty == () and words[0] == textocr.Word("Café", (1.5, 2, 6, 4), corners)
    assert [word.legible for word in words] == [True, False]


def test_llava_next(tmp_path: Path):
    provider = make("llava_next", tmp_path)
    assert provider.keys("train")[:3] == [f"train-00000-of-00002/{row}" for row in (0, 2, 3)]
    conversations = list(provider.annotations("train"))
    assert [entry.id for entry in conversations][2:5] == ["0-3", "0-4", "1-0"]
    assert conversations[0].turns[1] == llava_next.Turn("gpt", "0-0") and conversations[0].source == "coco"


@settings(max_examples=15, deadline=None)
@given(shards=st.integers(1, 3), rows=st.integers(1, 5), start=st.integers(0, 15))
def test_llava_next_starts_anywhere(tmp_path_factory, shards: int, rows: int, start: int):
    root = tmp_path_factory.mktemp("llava")
    trees.llava_next(root, shards, rows)
    provider = open_provider("llava_next", root=root)
    values = [round(picture.mean()) - 20 for picture in provider.pictures("train", size=4, start=start)]
    assert values == list(range(provider.count("train")))[start:]


# Damaged


DAMAGES = {  # set -> (what is taken away or changed, what the one problem must name)
    "coco": [
        ("val2017", "val2017"),
        ("annotations/captions_val2017.json", "captions_val2017.json"),
        ("train2017/000000000025.jpg", "1 missing (000000000025.jpg)"),
    ],
    "visual_genome": [
        ("VG_100K_2", "VG_100K_2"),
        ("relationships.json", "relationships.json"),
        ("VG_100K/107.jpg", "1 missing (107.jpg)"),
    ],
    "ecssd": [
        ("ground_truth_mask", "ground_truth_mask"),
        ("ground_truth_mask/0002.png", "1 without (0002)"),
        ("images/0003.jpg", "1 without (0003)"),
    ],
    "deepglobe": [("train", "train"), ("train/855_mask.png", "1 without (855)")],
    "chestxray14": [
        ("images", "images"),
        ("test_list.txt", "test_list.txt"),
        ("Data_Entry_2017_v2020.csv", "Data_Entry_2017_v2020.csv"),
        ("images/00000002_000.png", "1 missing (00000002_000.png)"),
    ],
    "textocr": [
        ("train_images", "train_images"),
        ("TextOCR_0.1_val.json", "TextOCR_0.1_val.json"),
        ("train_images/c3.jpg", "1 missing (c3.jpg)"),
    ],
    "llava_next": [("data/train-00001-of-00002.parquet", "1 of 00002"), ("data", "0 of none")],
}


def one_problem(provider: Provider) -> DataError:
    (error,) = listed(provider)
    with pytest.raises(DataError) as caught:
        provider.check()
    assert str(caught.value) == str(error) and error.remedy
    return error


@pytest.mark.parametrize(
    ("name", "taken", "named"), [(name, *case) for name, cases in DAMAGES.items() for case in cases]
)
def test_what_is_missing_is_named(tmp_path: Path, name: str, taken: str, named: str):
    make(name, tmp_path)
    path = tmp_path / taken
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert named in str(one_problem(open_provider(name, root=tmp_path)))


@pytest.mark.parametrize("name", COUNTS)
def test_a_root_that_is_not_there(tmp_path: Path, name: str):
    assert one_problem(open_provider(name, root=tmp_path / "none")).path == tmp_path / "none"


@pytest.mark.parametrize("name", COUNTS)
def test_an_image_that_cannot_be_decoded_is_found_and_stops_reading(tmp_path: Path, name: str):
    provider = make(name, tmp_path)
    split = provider.splits[0]
    if name == "llava_next":
        path = tmp_path / "data/train-00001-of-00002.parquet"
        table = pq.read_table(path)
        rows = table.to_pylist()
        rows[2]["image"]["bytes"] = rows[2]["image"]["bytes"][:40]
        pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
        broken = path / "2"
    else:
        broken = tmp_path / provider.keys(split)[1]
        broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    provider = open_provider(name, root=tmp_path)
    (error,) = [found for found in provider.damaged(workers=2) if found]
    assert error.path == broken
    with pytest.raises(DataError) as caught:
        list(provider.pictures(split, size=8, workers=2))
    assert caught.value.path == broken


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("coco", "annotations/instances_train2017.json"),
        ("visual_genome", "image_data.json"),
        ("visual_genome", "relationships.json"),
        ("chestxray14", "Data_Entry_2017_v2020.csv"),
        ("textocr", "TextOCR_0.1_train.json"),
        ("llava_next", "data/train-00000-of-00002.parquet"),
    ],
)
def test_an_annotation_file_of_another_format_is_named(tmp_path: Path, name: str, file: str):
    make(name, tmp_path)
    content = '[{"of": "another kind"}]' if name != "chestxray14" else "Image Index,Labels\n1.png,Mass\n"
    (tmp_path / file).write_text(content)
    assert one_problem(open_provider(name, root=tmp_path)).path == tmp_path / file


def test_a_mask_that_cannot_be_decoded_is_found(tmp_path: Path):
    for name, mask in (("ecssd", "ground_truth_mask/0001.png"), ("deepglobe", "train/119_mask.png")):
        provider = make(name, tmp_path / name)
        (tmp_path / name / mask).write_bytes(b"no image")
        assert [error.path for error in provider.damaged() if error] == [tmp_path / name / mask]


def test_a_colour_of_no_class_is_refused(tmp_path: Path):
    provider = make("deepglobe", tmp_path)
    path = tmp_path / provider.keys("train")[0].replace("_sat.jpg", "_mask.png")
    Image.new("RGB", (14, 14), (255, 0, 0)).save(path)
    with pytest.raises(DataError, match="red") as caught:
        next(provider.annotations("train"))
    assert caught.value.path == path


def test_an_image_in_both_lists_is_refused(tmp_path: Path):
    trees.chestxray14(tmp_path)
    with (tmp_path / "test_list.txt").open("a") as file:
        file.write("\n00000001_000.png\n")
    assert "1 (00000001_000.png)" in one_problem(open_provider("chestxray14", root=tmp_path)).found


def test_captions_of_other_images_are_refused(tmp_path: Path):
    trees.coco(tmp_path)
    path = tmp_path / "annotations/captions_val2017.json"
    content = json.loads(path.read_text())
    content["images"][0]["id"] = 140
    path.write_text(json.dumps(content))
    assert one_problem(open_provider("coco", root=tmp_path)).path == path


def test_relations_of_unknown_images_are_refused(tmp_path: Path):
    trees.visual_genome(tmp_path)
    (tmp_path / "relationships.json").write_text('[{"image_id": 999, "relationships": []}]')
    assert "1 other images" in one_problem(open_provider("visual_genome", root=tmp_path)).found
