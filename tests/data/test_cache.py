"""Caches on disk: what is written is read back, and nothing half-written is ever opened."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tesserae.data.cache import open_cache, write_cache
from tesserae.data.errors import DataError
from tesserae.data.providers import Provider, Sample, open_provider

CORPUS = Path(__file__).parents[2] / "data" / "emoji" / "emoji.npz"


@dataclass(frozen=True, kw_only=True)
class Counting(Provider):
    """A data set whose images hold their own number; it can break in several ways after `good` images."""

    root: Path | None = None
    number: int = 7
    seed: int = 0
    good: int | None = None
    fault: str = ""
    name = "counting"

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("even", "odd")

    def check(self) -> None:
        pass

    def keys(self, split: str) -> list[str]:
        return [f"{split}/{i}" for i in range(self.number)]

    def images(self, split: str, *, size: int, workers: int = 1) -> Iterator[Sample]:
        for i in range(self.number):
            if i == self.good:
                match self.fault:
                    case "killed":
                        raise KeyboardInterrupt
                    case "short":
                        return
                    case "long":
                        yield from [(np.zeros((size, size, 3), np.uint8), 0)] * 20
                    case "shape":
                        yield np.zeros((size, size + 1, 3), np.uint8), 0
                    case "type":
                        yield np.zeros((size, size, 3), np.float32), 0
                    case "label":
                        yield np.zeros((size, size, 3), np.uint8), 2
                continue
            yield np.full((size, size, 3), 10 * i + self.seed, np.uint8), i % 2


def test_round_trip(tmp_path: Path):
    write_cache(Counting(), "train", size=6, folder=tmp_path / "cache")
    write_cache(Counting(number=4), "val", size=6, folder=tmp_path / "other")
    cached = open_cache(tmp_path / "cache", "train")
    assert cached.images.shape == (7, 6, 6, 3) and cached.images.dtype == np.uint8
    assert cached.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert cached.labels.tolist() == [0, 1, 0, 1, 0, 1, 0] and cached.labels.dtype == np.int64
    assert cached.class_names == ("even", "odd")
    assert isinstance(cached.images, np.memmap) and not cached.images.flags.writeable
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert names == {"train_images.npy", "train_labels.npy", "index.json"}


def test_emoji_round_trip(tmp_path: Path):
    settings = {"label": "group", "validation_fraction": 0.05, "train_variants": 1, "val_variants": 2, "seed": 3}
    provider = open_provider("emoji", root=CORPUS, **settings)
    for split in ("train", "val"):
        write_cache(provider, split, size=8, folder=tmp_path)
    for split in ("train", "val"):
        pictures, labels = zip(*provider.images(split, size=8), strict=True)
        cached = open_cache(tmp_path, split)
        assert np.array_equal(cached.images, np.stack(pictures)) and cached.labels.tolist() == list(labels)
    index = json.loads((tmp_path / "index.json").read_text())
    assert index["settings"] == settings and index["splits"]["val"]["count"] == provider.count("val")
    assert str(CORPUS.parent) not in json.dumps(index)


def test_writing_again_gives_the_same_bytes(tmp_path: Path):
    for folder in ("a", "b"):
        write_cache(Counting(), "train", size=6, folder=tmp_path / folder)
    for name in ("train_images.npy", "train_labels.npy", "index.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_index_tells_which_images(tmp_path: Path):
    digests = []
    for number in (7, 8):
        write_cache(Counting(number=number), "train", size=2, folder=tmp_path)
        digests.append(json.loads((tmp_path / "index.json").read_text())["splits"]["train"]["keys_sha256"])
    assert digests[0] != digests[1]


@pytest.mark.parametrize("fault", ["killed", "shape", "type", "label", "short", "long"])
@pytest.mark.parametrize("good", [0, 5])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, fault: str, good: int):
    broken = Counting(good=good, fault=fault)
    with pytest.raises(KeyboardInterrupt if fault == "killed" else DataError):
        write_cache(broken, "train", size=4, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    write_cache(Counting(seed=3), "train", size=4, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt if fault == "killed" else DataError):
        write_cache(broken, "train", size=4, folder=tmp_path)
    assert open_cache(tmp_path, "train").images[:2, 0, 0, 0].tolist() == [3, 13]
    assert len(list(tmp_path.iterdir())) == 3


def test_no_images_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="found none"):
        write_cache(Counting(number=0), "train", size=4, folder=tmp_path)


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": 5}])
def test_splits_of_different_settings_never_stand_side_by_side(tmp_path: Path, change: dict):
    write_cache(Counting(), "val", size=4, folder=tmp_path)
    size = change.pop("size", 4)
    write_cache(Counting(**change), "train", size=size, folder=tmp_path)
    assert open_cache(tmp_path, "train").images.shape[1] == size
    with pytest.raises(DataError, match="the split val"):
        open_cache(tmp_path, "val")


@pytest.mark.parametrize("seed", [0, 5])
def test_a_crash_between_the_renames_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int):
    write_cache(Counting(), "train", size=4, folder=tmp_path)
    rename = os.replace

    def crash(source: Path, target: Path):
        if Path(target).name == "train_labels.npy":
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr("tesserae.data.cache.os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_cache(Counting(seed=seed), "train", size=4, folder=tmp_path)
    with pytest.raises(DataError, match="the split train"):
        open_cache(tmp_path, "train")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def more(path: Path) -> None:
    array = np.load(path)
    np.save(path, np.concatenate([array, array]))


def other_type(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float32))


@pytest.mark.parametrize("name", ["train_images.npy", "train_labels.npy"])
@pytest.mark.parametrize("damage", [cut, more, other_type, Path.unlink])
def test_arrays_must_be_what_the_index_says(tmp_path: Path, name: str, damage):
    write_cache(Counting(), "train", size=4, folder=tmp_path)
    damage(tmp_path / name)
    with pytest.raises(DataError) as caught:
        open_cache(tmp_path, "train")
    assert caught.value.path == tmp_path / name


def test_labels_must_name_classes(tmp_path: Path):
    write_cache(Counting(), "train", size=4, folder=tmp_path)
    np.save(tmp_path / "train_labels.npy", np.array([0, 1, 0, 1, 0, 1, 2]))
    with pytest.raises(DataError, match="labels below 2"):
        open_cache(tmp_path, "train")


@pytest.mark.parametrize("text", [None, "", "{", "{}", "[]"])
def test_an_unreadable_index_is_named(tmp_path: Path, text: str | None):
    if text is not None:
        (tmp_path / "index.json").write_text(text)
    with pytest.raises(DataError) as caught:
        open_cache(tmp_path, "train")
    assert caught.value.path == tmp_path / "index.json"


def test_an_unknown_split_is_named(tmp_path: Path):
    write_cache(Counting(), "train", size=4, folder=tmp_path)
    with pytest.raises(DataError, match=r"the split test; found only \['train'\]"):
        open_cache(tmp_path, "test")
