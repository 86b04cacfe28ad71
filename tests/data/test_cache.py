"""Caches on disk: what is written is read back, and nothing half-written is ever opened."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tesserae.data.cache import bytes_to_write, open_cache, read_captions, write_cache
from tesserae.data.errors import DataError
from tesserae.data.providers import Labelled, Provider, open_provider

CORPUS = Path(__file__).parents[2] / "data" / "emoji" / "emoji.npz"


@dataclass(frozen=True, kw_only=True)
class Counting(Labelled):
    """A data set whose images hold their own number; it can break in several ways after `good` images."""

    root: Path | None = None
    number: int = 7
    seed: int = 0
    good: int | None = None
    fault: str = ""
    name = "counting"
    layout = "nothing"

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("even", "odd")

    def problems(self) -> Iterator[DataError]:
        return iter(())

    def keys(self, split: str) -> list[str]:
        return [f"{split}/{i}" for i in range(self.number)]

    def labels(self, split: str) -> np.ndarray:
        labels = np.arange(self.number) % 2
        if self.fault == "label":
            labels[self.good] = 2
        return labels

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        for i in range(start, self.number):
            if i == self.good:
                match self.fault:
                    case "killed":
                        raise KeyboardInterrupt
                    case "short":
                        return
                    case "long":
                        yield from [np.zeros((size, size, 3), np.uint8)] * 20
                    case "shape":
                        yield np.zeros((size, size + 1, 3), np.uint8)
                    case "type":
                        yield np.zeros((size, size, 3), np.float32)
            yield np.full((size, size, 3), (10 * i + self.seed) % 256, np.uint8)


@dataclass(frozen=True, kw_only=True)
class Plain(Provider):
    """Two images, no classes, a split of its own."""

    root: Path | None = None
    name = "plain"
    layout = "nothing"
    splits = ("all",)

    def problems(self) -> Iterator[DataError]:
        return iter(())

    def keys(self, split: str) -> list[str]:
        return ["a", "b"]

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        return iter([np.full((size, size, 3), 9, np.uint8)] * (2 - start))

    def annotations(self, split: str) -> Iterator[str]:
        return iter(["first", "second"])


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
    stream = io.BytesIO()
    np.save(stream, np.asarray(cached.images))
    assert (tmp_path / "cache" / "train_images.npy").read_bytes() == stream.getvalue()


def test_a_set_without_classes_has_labels_that_name_none(tmp_path: Path):
    write_cache(Plain(), "all", size=4, folder=tmp_path)
    cached = open_cache(tmp_path, "all")
    assert cached.images.shape == (2, 4, 4, 3) and cached.labels.tolist() == [-1, -1] and cached.class_names == ()
    assert {path.name for path in tmp_path.iterdir()} == {"all_images.npy", "all_labels.npy", "index.json"}


@dataclass(frozen=True, kw_only=True)
class TrainOnly(Plain):
    splits = ("train",)


def test_a_set_with_train_alone_has_an_empty_val(tmp_path: Path):
    for split in ("train", "val", "val"):  # the last finds it there
        write_cache(TrainOnly(), split, size=4, folder=tmp_path)
    assert len(open_cache(tmp_path, "train").images) == 2
    cached = open_cache(tmp_path, "val")
    assert cached.images.shape == (0, 4, 4, 3) and cached.images.dtype == np.uint8
    assert cached.labels.shape == (0,) and cached.labels.dtype == np.int64
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index.json", "train_images.npy", "train_labels.npy", "val_images.npy", "val_labels.npy"
    ]  # fmt: skip


def test_labels_of_a_set_without_classes_must_be_minus_one(tmp_path: Path):
    write_cache(Plain(), "all", size=4, folder=tmp_path)
    np.save(tmp_path / "all_labels.npy", np.array([-1, 0]))
    with pytest.raises(DataError, match="labels below 0; found -1 to 0"):
        open_cache(tmp_path, "all")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('{"train": ["a", "b"]}', ["a", "b"]),
        ('{"train": null}', None),
        ('{"train": ["a"]}', "1 of them"),
        ('{"val": ["a", "b"]}', "'train'"),
        ("{", "Expecting"),
        (None, "No such file"),
    ],
)
def test_captions_are_one_for_each_image_or_none(tmp_path: Path, written: str | None, found):
    write_cache(Counting(number=2), "train", size=4, folder=tmp_path)
    if written is not None:
        (tmp_path / "captions.json").write_text(written)
    if not isinstance(found, str):
        assert read_captions(tmp_path, "train") == found
        return
    with pytest.raises(DataError, match=found) as caught:
        read_captions(tmp_path, "train")
    assert caught.value.path == tmp_path / "captions.json" and "2 train captions" in caught.value.expected


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
    for before in (None, Counting(seed=3)):
        if before:
            write_cache(before, "train", size=4, folder=tmp_path)
        with pytest.raises(KeyboardInterrupt if fault == "killed" else DataError):
            write_cache(broken, "train", size=4, folder=tmp_path)
        assert before or not (tmp_path / "index.json").exists()
    assert open_cache(tmp_path, "train").images[:2, 0, 0, 0].tolist() == [3, 13]


# Going on after a kill


@dataclass(frozen=True, kw_only=True)
class Interrupted(Counting):
    """As Counting, but dies at one position if `stop` says so; `seen` notes which pictures were asked for."""

    stop: list = field(default_factory=list, compare=False)
    seen: list = field(default_factory=list, compare=False)
    name = "counting"

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        for i, picture in enumerate(super().pictures(split, size=size, start=start), start):
            if i in self.stop:
                raise KeyboardInterrupt
            self.seen.append(i)
            yield picture


def without_bookkeeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of a test are no settings of a data set."""
    monkeypatch.setattr("tesserae.data.cache.fields", lambda _: [])


@given(number=st.integers(1, 40), block=st.integers(1, 12), stops=st.lists(st.integers(0, 39), max_size=4))
@settings(max_examples=30, deadline=None)
def test_a_resumed_cache_is_the_same_to_the_byte(number: int, block: int, stops: list[int]):
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as monkeypatch:
        without_bookkeeping(monkeypatch)
        straight, resumed = Path(name) / "straight", Path(name) / "resumed"
        write_cache(Interrupted(number=number), "train", size=3, folder=straight, block=block)
        reached = 0
        for stop in (stop for stop in stops if stop < number):
            provider = Interrupted(number=number, stop=[stop])
            if stop < reached // block * block:
                continue  # that part is on the disk already
            with pytest.raises(KeyboardInterrupt):
                write_cache(provider, "train", size=3, folder=resumed, block=block)
            assert provider.seen == list(range(reached // block * block, stop))
            reached = max(reached, stop)
        last = Interrupted(number=number)
        write_cache(last, "train", size=3, folder=resumed, block=block)
        assert last.seen == list(range(reached // block * block, number))
        assert contents(resumed) == contents(straight)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that was interrupted at image 17 of 20, in blocks of 5."""
    without_bookkeeping(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write_cache(Interrupted(number=20, stop=[17]), "train", size=3, folder=folder, block=5)


def test_a_damaged_block_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun(tmp_path / "a", monkeypatch)
    draft = tmp_path / "a" / ".train_images.partial"
    content = bytearray(draft.read_bytes())
    content[128 + 7 * 27] ^= 1  # in the second block
    draft.write_bytes(content)
    provider = Interrupted(number=20)
    write_cache(provider, "train", size=3, folder=tmp_path / "a", block=5)
    assert provider.seen == list(range(5, 20))
    write_cache(Interrupted(number=20), "train", size=3, folder=tmp_path / "b", block=5)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("change", ["number", "size", "progress", "draft"])
def test_what_another_write_left_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str):
    begun(tmp_path, monkeypatch)
    if change == "progress":
        (tmp_path / ".train_progress.json").write_text("{")
    if change == "draft":
        (tmp_path / ".train_images.partial").unlink()
    provider = Interrupted(number=21 if change == "number" else 20)
    write_cache(provider, "train", size=4 if change == "size" else 3, folder=tmp_path, block=5)
    assert provider.seen == list(range(provider.number))
    assert open_cache(tmp_path, "train").images[:, 0, 0, 0].tolist() == [10 * i % 256 for i in range(provider.number)]


def test_a_finished_split_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    without_bookkeeping(monkeypatch)
    write_cache(Interrupted(), "train", size=3, folder=tmp_path)
    again = Interrupted()
    write_cache(again, "train", size=3, folder=tmp_path)
    assert again.seen == []
    (tmp_path / "train_images.npy").unlink()  # a move that was cut short
    write_cache(again, "train", size=3, folder=tmp_path)
    assert len(again.seen) == 7 and len(open_cache(tmp_path, "train").images) == 7


KILLED = """
import os, signal, sys
from pathlib import Path
from tesserae.data import base, cache
from tesserae.data.providers import open_provider
tree, folder, good = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
read, seen = base.read_image, []
def counted(path, size):
    seen.append(path)
    if len(seen) > good:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(path, size)
base.read_image = counted
cache.write_cache(open_provider("imagenet", root=tree, classes=2), "train", size=8, folder=folder, workers=2, block=6)
"""


def test_a_process_killed_in_the_middle_goes_on(tmp_path: Path):
    rng = np.random.default_rng(0)
    for synset in ("n01440764", "n02102040"):
        (tmp_path / "tree/train" / synset).mkdir(parents=True)
        (tmp_path / "tree/val" / synset).mkdir(parents=True)
        for number in range(20):
            picture = rng.integers(0, 256, (12, 15, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "tree/train" / synset / f"{number:02d}.JPEG")

    def write(folder: str, good: int) -> int:
        command = [sys.executable, "-c", KILLED, str(tmp_path / "tree"), str(tmp_path / folder), str(good)]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode

    assert write("straight", 99) == 0
    assert write("killed", 25) == -signal.SIGKILL
    noted = json.loads((tmp_path / "killed/.train_progress.json").read_text())
    assert 1 <= len(noted["blocks"]) <= 4
    assert write("killed", 40 - 6 * len(noted["blocks"])) == 0  # no more images than are missing
    assert contents(tmp_path / "killed") == contents(tmp_path / "straight")


# A full disk


def test_a_disk_too_small_is_told_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    provider = Interrupted(number=20)
    without_bookkeeping(monkeypatch)
    assert bytes_to_write(provider, size=100, folder=tmp_path) == 2 * 20 * (30000 + 8)
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=599_999))
    with pytest.raises(DataError) as caught:
        write_cache(provider, "train", size=100, folder=tmp_path)
    assert provider.seen == [] and caught.value.path == tmp_path
    assert "600000 bytes" in caught.value.expected and "599999 bytes" in caught.value.found


def test_what_is_left_needs_no_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun(tmp_path, monkeypatch)
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=5 * 27))
    provider = Interrupted(number=20)
    write_cache(provider, "train", size=3, folder=tmp_path, block=5)
    assert provider.seen == list(range(15, 20))


def test_a_disk_that_fills_up_is_told_and_the_rest_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The system call fails as on a full disk, after three blocks."""
    without_bookkeeping(monkeypatch)
    sync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError) as caught:
        write_cache(Interrupted(number=40), "train", size=10, folder=tmp_path, block=5)
    assert caught.value.path == tmp_path and "12000 bytes" in caught.value.expected and "goes on" in caught.value.remedy
    provider = Interrupted(number=40)
    write_cache(provider, "train", size=10, folder=tmp_path, block=5)
    assert provider.seen == list(range(15, 40)) and len(open_cache(tmp_path, "train").images) == 40


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


@pytest.mark.parametrize("present", [True, False])
def test_a_crash_between_the_renames_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: bool):
    if present:
        write_cache(Counting(), "train", size=4, folder=tmp_path)
    rename = os.replace

    def crash(source: Path, target: Path):
        if Path(target).name == "train_labels.npy":
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr("tesserae.data.cache.os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_cache(Counting(seed=5), "train", size=4, folder=tmp_path)
    with pytest.raises(DataError, match="the split train"):
        open_cache(tmp_path, "train")
    monkeypatch.undo()
    write_cache(Counting(seed=5), "train", size=4, folder=tmp_path)
    assert open_cache(tmp_path, "train").images[:2, 0, 0, 0].tolist() == [5, 15]


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
