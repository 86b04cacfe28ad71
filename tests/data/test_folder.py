"""A folder of one's own images; and files of all sets that cannot be taken as they are."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from tesserae.cli.main import main
from tesserae.config.files import read_yaml
from tesserae.data import cache
from tesserae.data.base import open_image, read_image
from tesserae.data.errors import DataError
from tesserae.data.folder import Folder
from tesserae.data.imagenet import ImageNet
from tesserae.stages import dataset, reference
from tesserae.workflow import real_data
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT
from tests.data import trees
from tests.data.test_dataset_stage import work  # noqa: F401 (a fixture)
from tests.test_docs import commands


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    trees.own(tmp_path / "own")
    return tmp_path / "own"


def said(provider) -> str:
    return "\n".join(str(problem) for problem in provider.problems())


def test_folders_of_any_name_are_classes(tree):
    found = Folder(root=tree, classes=2)
    assert found.class_names == ("a cat", "dog") and said(found) == ""
    assert found.keys("train") == ["train/a cat/0.png", "train/a cat/1.png", "train/dog/x.JPEG"]
    assert found.labels("val").tolist() == [0, 1]


def test_check_and_stage_go_through_one_gate(tree):
    words = said(ImageNet(root=tree, classes=2))
    assert "folders named by synsets" in words and "`provider: folder`" in words
    assert "expected 3 class folders; found 2" in said(Folder(root=tree, classes=3))


def test_nested_folders_are_seen_as_such(tree):
    (tree / "train/animals").mkdir()
    shutil.move(tree / "train/dog", tree / "train/animals/dog")
    assert "none, but folders with images (dog)" in said(Folder(root=tree, classes=2))


def test_names_that_are_no_text_are_said(tree):
    (tree / "train/dog" / os.fsdecode(b"\xe9.png")).write_bytes((tree / "train/a cat/0.png").read_bytes())
    assert "names of files and folders in UTF-8; found 1" in said(Folder(root=tree, classes=2))
    assert "train/dog/\\udce9.png" in said(Folder(root=tree, classes=2))


def test_the_stage_takes_what_is_complete(work, tree):  # noqa: F811
    spec = {"provider": "folder", "module": "tesserae.data.folder", "classes": 2, "image_size": 8, "val_images": 2}
    with pytest.raises(DataError, match=r"expected 9 train, by config/datasets\.yaml; found 3 train") as error:
        dataset.run(replace(work, spec=spec | {"train_images": 9}, data_root=tree))
    assert str(tree) in str(error.value) and "tesserae data check" in str(error.value)
    assert dataset.run(replace(work, spec=spec | {"train_images": 3}, data_root=tree)) == {
        "train_images": 3,
        "val_images": 2,
    }
    assert cache.open_cache(work.out, "val").class_names == ("a cat", "dog")


def test_the_page_on_own_data_makes_a_scale_and_its_table(project, tree):
    """The blocks of docs/own_data.md, in the order in which it shows them; what would train is planned."""
    page = (ROOT / "docs/own_data.md").read_text(encoding="utf-8")
    settings, changes = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    for file, copy, change in (("config.yaml",) * 2 + (settings,), ("scales/smoke.yaml", "scales/own.yaml", changes)):
        content = read_yaml(project / "config" / file)
        for key, value in change.items():
            content[key] = content[key] | value if key in ("data", "evaluation") else value
        (project / "config" / copy).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    (project / "sets").mkdir()
    tree.rename(project / "sets/own")
    plan = open_plan(project, "own")
    made = {job.recipe for job in plan.jobs.values() if job.stage == "dataset"}
    assert made == {"own-32", "emoji_few_subgroups-32"}  # the other one is looked at by probes
    assert "table/detok_table_1" in plan.jobs
    found = real_data.now(plan.project, plan.jobs["dataset/own-32"])
    assert found["folder"] == str(project / "sets/own") and found["files"] == 5

    def asked(line: str) -> Result:
        words = line.replace(" reproduce ", " stale ").split()[1:]
        return CliRunner().invoke(main, ["--project", str(project), *words])

    lines = [words for words, whole in commands(page) if whole]
    assert [words[1:3] for words in lines] == [["data", "check"]] * 2 + [["--scale", "own"]] * 2
    check, deep, *planned = map(" ".join, lines)
    said = asked(check)
    assert said.exit_code == 1 and "`train_images: 3`" in said.output and "`val_images: 2`" in said.output
    file = project / "config/datasets.yaml"
    file.write_text(
        file.read_text().replace("train_images: 24\n    val_images: 8", "train_images: 3\n    val_images: 2")
    )
    assert asked(check).exit_code == asked(deep).exit_code == 0, asked(deep).output
    for line in planned:
        said = asked(line)
        assert said.exit_code == 0 and "own-32" in said.output, said.output


def test_16_bits_of_grey_keep_their_shades_and_32_are_refused(tmp_path):
    shades = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for name in ("grey.png", "grey.tif", "grey.pgm"):
        Image.fromarray(shades).save(tmp_path / name)
        found = np.asarray(open_image(tmp_path / name))
        assert np.abs(found[..., 0] - shades / 257).max() <= 0.5 and (found[..., 0] == found[..., 2]).all(), name
    for kind in (np.int32, np.float32):
        Image.fromarray(shades.astype(kind)).save(tmp_path / "odd.tif")
        with pytest.raises(DataError, match=r"odd.tif: expected an image of 8 or 16 bits"):
            read_image(tmp_path / "odd.tif", 8)


def test_an_image_of_too_many_pixels_says_so(tmp_path, monkeypatch):
    Image.new("RGB", (40, 40)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="Make it smaller, or take it out"):
        open_image(tmp_path / "large.png")


def test_no_image_counts_twice_in_the_reference():
    assert reference.spread(12, 5).tolist() == [0, 2, 5, 8, 11]
    assert reference.spread(4, 4).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="is 3,000, but there are 12 training images: set it to null"):
        reference.spread(12, 3000)
