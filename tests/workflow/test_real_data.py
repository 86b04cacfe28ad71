"""Real images are part of a data set's identity: by names and content, wherever they lie."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tesserae.config.errors import ConfigError
from tesserae.lineage import fingerprint, images
from tesserae.workflow import real_data
from tests.data import trees

JOB = SimpleNamespace(id="dataset/own-32", data="own")


MADE = Path("results/smoke/dataset/own-32")


@pytest.fixture
def project(tmp_path: Path) -> SimpleNamespace:
    trees.own(tmp_path / "sets/own")
    settings = SimpleNamespace(data=SimpleNamespace(root="sets"))
    return SimpleNamespace(root=tmp_path, settings=settings, scale=SimpleNamespace(scale="smoke"))


def identity(project: SimpleNamespace) -> str | None:
    return real_data.digest(project, JOB, MADE)


def test_other_images_of_the_same_names_are_another_set(project, tmp_path):
    first = identity(project)
    shutil.copytree(tmp_path / "sets", tmp_path / "others")
    project.settings.data.root = "others"
    assert identity(project) == first  # the same images, elsewhere
    trees.picture(tmp_path / "others/own/train/a cat/0.png", 9)
    assert identity(project) != first


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "moved"])
def test_every_change_of_a_set_is_seen(project, tmp_path, change):
    first, file = identity(project), tmp_path / "sets/own/train/a cat/1.png"
    if change == "added":
        trees.picture(file.with_name("2.png"), 3)
    elif change == "removed":
        file.unlink()
    else:
        file.rename(file.with_name("3.png") if change == "renamed" else file.parents[1] / "dog/1.png")
    assert identity(project) != first


def test_what_is_put_back_with_its_times_is_seen(project, tmp_path):
    first, file = identity(project), tmp_path / "sets/own/train/dog/x.JPEG"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size and identity(project) != first


def test_archives_and_what_is_hidden_do_not_count(project, tmp_path):
    first = identity(project)
    for name in ("images.tar.gz", ".DS_Store", "train/__MACOSX/x"):
        (tmp_path / "sets/own" / name).write_text("a")
    assert identity(project) == first
    found = real_data.now(project, JOB)
    assert found["files"] == 5 and found["folder"] == str(tmp_path / "sets/own") and found["bytes"] > 0


def test_contents_are_read_once(project, tmp_path, monkeypatch):
    place, memory = tmp_path / "sets/own", tmp_path / "memory.json"
    for file in place.rglob("*"):
        os.utime(file)
    monkeypatch.setattr("tesserae.lineage.hashes.SETTLED_NS", -1)
    first = images.identity(place, memory)
    monkeypatch.setattr("tesserae.lineage.hashes.sha256", lambda path: pytest.fail(f"{path} is read again"))
    assert images.identity(place, memory) == first


def test_where_the_images_are_away_what_is_recorded_counts(project, tmp_path):
    here = identity(project)
    shutil.rmtree(tmp_path / "sets")
    assert identity(project) is None
    (tmp_path / "lineage").mkdir()
    index = {"artifacts": {JOB.id: {"data": {"sha256": "shared"}}}}
    (tmp_path / "lineage/smoke.json").write_text(json.dumps(index))
    assert identity(project) == "shared"
    manifest = tmp_path / MADE / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"data": {"sha256": here}}))
    assert identity(project) == here
    trees.own(tmp_path / "sets/own")
    trees.picture(tmp_path / "sets/own/val/dog/x.JPEG", 8)
    assert identity(project) != here and real_data.digest(project, JOB, MADE, look=False) == here


def test_a_set_is_part_of_the_chain_and_of_what_a_manifest_gives():
    plain = fingerprint.chain("a", ["b"])
    assert fingerprint.chain("a", ["b"], "images") != plain == fingerprint.chain("a", ["b"], None)
    record = {"inputs": {"x": {"fingerprint": "b"}}, "data": {"sha256": "images"}}
    assert fingerprint.chain_of("a", record) == fingerprint.chain("a", ["b"], "images")
    assert fingerprint.chain_of("a", record | {"data": None}) == plain


@pytest.mark.parametrize(("root", "said"), [("elsewhere", "elsewhere/own"), (None, "now not set")])
def test_a_set_that_is_not_there_is_said_before_anything_runs(project, root, said):
    jobs = [JOB, SimpleNamespace(id="dataset/emoji", data=None)]
    real_data.check(project, jobs)
    project.settings.data.root = root
    real_data.check(project, jobs[1:])
    with pytest.raises(
        ConfigError, match=r"(?s)config/config.yaml: data.root: .*there is no folder.*`root`: own"
    ) as error:
        real_data.check(project, jobs)
    assert said in str(error.value)
