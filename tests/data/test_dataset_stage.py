"""The dataset stage: its state survives a kill, its files are whole, its complaints are clear."""

import os
import shutil
import signal
import types
from dataclasses import replace
from pathlib import Path

import pytest

from tesserae.data import base, cache, emoji
from tesserae.data.errors import DataError
from tesserae.lineage.work import Work
from tesserae.stages import dataset
from tests.conftest import ROOT
from tests.data import trees

OUTPUTS = {"train_images.npy", "train_labels.npy", "val_images.npy", "val_labels.npy", "index.json", "captions.json"}
SPEC = {"provider": "imagenet", "classes": 2, "train_images": 2, "val_images": 2, "image_size": 8}
SPEC["module"] = "tesserae.data.imagenet"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    trees.imagenet(tmp_path / "data")
    (tmp_path / "out").mkdir()
    return Work(
        stage="dataset",
        recipe="tiny-8",
        spec=SPEC,
        inputs={},
        sources={},
        out=tmp_path / "out",
        state=tmp_path / "state",
        identity="this",
        comments=(),
        root=tmp_path,
        data_root=tmp_path / "data",
        device="cpu",
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_declared_files(work: Work):
    assert dataset.run(work) == {"train_images": 2, "val_images": 2}
    assert {path.name for path in work.out.iterdir()} == OUTPUTS
    assert cache.open_cache(work.out, "val").labels.tolist() == [0, 1]
    assert [cache.read_captions(work.out, split) for split in ("train", "val")] == [None, None]


def test_captions_of_emoji_are_the_names_of_their_glyphs(work: Work):
    settings = {"labels": "subgroup", "classes": 99, "validation_fraction": 0.15, "train_variants": 1, "seed": 0}
    spec = {"provider": "emoji", "module": "tesserae.data.emoji", "image_size": 4, "val_variants": 2} | settings
    dataset.run(replace(work, spec=spec, sources={"corpus": ROOT / "data" / "emoji" / "emoji.npz"}))
    glyphs = emoji.load_corpus(ROOT / "data" / "emoji" / "emoji.npz")
    names = cache.open_cache(work.out, "val").class_names
    for split in ("train", "val"):
        found = cache.open_cache(work.out, split)
        captions = cache.read_captions(work.out, split)
        assert [names[label] for label in found.labels] == [
            glyphs.subgroups[glyphs.names.index(caption)] for caption in captions
        ]
        assert len(set(captions)) == len(found.labels) / (2 if split == "val" else 1)


def test_a_set_without_classes_and_with_train_alone_is_cached(work: Work, tmp_path: Path):
    trees.llava_next(tmp_path / "llava")
    spec = {"provider": "llava_next", "module": "tesserae.data.llava_next", "image_size": 8}
    spec["counts"] = {"train rows": 10}
    job = replace(work, spec=spec, data_root=tmp_path / "llava")
    assert dataset.run(job) == {"train_images": 8, "val_images": 0}
    assert {path.name for path in work.out.iterdir()} == OUTPUTS
    train, val = (cache.open_cache(work.out, split) for split in ("train", "val"))
    assert train.labels.tolist() == 8 * [-1] and train.class_names == ()
    assert val.images.shape == (0, 8, 8, 3) and val.labels.shape == (0,)
    assert [cache.read_captions(work.out, split) for split in ("train", "val")] == [None, None]
    with pytest.raises(DataError, match=r"expected 11 train rows.*found 10 train rows"):
        dataset.run(replace(job, spec=spec | {"counts": {"train rows": 11}}))


def test_a_killed_job_goes_on_with_what_it_had(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    straight = replace(work, out=tmp_path / "straight", state=tmp_path / "other")
    straight.out.mkdir()
    dataset.run(straight)
    write, splits = dataset.write_cache, []

    def killed(provider, split: str, **settings) -> None:
        if splits == ["train"]:
            raise KeyboardInterrupt
        splits.append(split)
        write(provider, split, **settings)

    monkeypatch.setattr(dataset, "write_cache", killed)
    with pytest.raises(KeyboardInterrupt):
        dataset.run(work)
    assert not list(work.out.iterdir())
    before = (work.state / "this" / "train_images.npy").stat().st_ino
    monkeypatch.setattr(dataset, "write_cache", write)
    dataset.run(work)
    assert contents(work.out) == contents(straight.out)
    assert (work.out / "train_images.npy").stat().st_ino == before  # not written again


def test_a_warning_before_the_wall_limit_ends_the_job_with_75(work: Work, monkeypatch: pytest.MonkeyPatch):
    number = signal.SIGUSR1
    read, before = base.read_image, signal.getsignal(number)

    def warned(path: Path, size: int):
        if "val" in path.parts:
            os.kill(os.getpid(), number)
        return read(path, size)

    monkeypatch.setattr(base, "read_image", warned)
    with pytest.raises(SystemExit) as caught:
        dataset.run(work)
    assert caught.value.code == 75 and not list(work.out.iterdir()) and signal.getsignal(number) == before
    monkeypatch.undo()
    assert dataset.run(work) == {"train_images": 2, "val_images": 2}


def test_files_lost_while_they_were_moved_are_made_again(work: Work, tmp_path: Path):
    dataset.run(work)
    whole = contents(work.out)
    (work.out / "index.json").rename(work.state / "this" / "index.json")  # the others were moved, then thrown away
    shutil.rmtree(work.out)
    work.out.mkdir()
    dataset.run(work)
    assert contents(work.out) == whole


def test_state_of_another_identity_is_deleted(work: Work):
    (work.state / "another").mkdir(parents=True)
    (work.state / "another" / ".train_images.partial").write_bytes(b"much")
    dataset.run(work)
    assert not (work.state / "another").exists()


def test_room_for_all_splits_is_asked_for_first(work: Work, monkeypatch: pytest.MonkeyPatch):
    needed = 4 * (3 * 8 * 8 + 8)
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=needed - 1))
    with pytest.raises(DataError, match=f"{needed} bytes"):
        dataset.run(work)
    assert not list((work.state / "this").iterdir())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"train_images": 3}, "expected 3 train"),
        ({"classes": 3}, "3 synset folders"),
    ],
)
def test_what_is_not_as_configured_stops(work: Work, changes: dict, named: str):
    with pytest.raises((ValueError, DataError), match=named):
        dataset.run(replace(work, spec=SPEC | changes))


@pytest.mark.parametrize(("name", "splits"), [("ecssd", "all"), ("chestxray14", "train, test")])
def test_a_set_without_the_needed_splits_is_refused(work: Work, name: str, splits: str):
    spec = {"provider": name, "counts": {}, "image_size": 8, "module": f"tesserae.data.{name}"}
    with pytest.raises(ValueError, match=f"{name} has the splits {splits};"):
        dataset.run(replace(work, spec=spec))


def test_no_data_root_is_said(work: Work):
    with pytest.raises(ValueError, match=r"data\.root is not set"):
        dataset.run(replace(work, data_root=None))
