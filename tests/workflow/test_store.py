"""Replaced artifacts come back from the DVC cache by fingerprint, whole or not at all."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tesserae.workflow import sharing, staleness, store
from tesserae.workflow.plan import read_plan
from tests.conftest import ROOT

DATASET = "results/smoke/dataset/emoji_few-32"


@pytest.fixture
def switched(toys):
    """A data set that was made, changed, and made again by hand; then the change was undone."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=toys.root, check=True)
    assert toys.make("dataset/emoji_few-32").returncode == 0
    toys.first = (toys.root / DATASET / "index.json").read_bytes()
    toys.version("dataset", 2)
    done = toys.make("dataset/emoji_few-32")
    assert done.returncode == 0, done.stderr
    assert (toys.root / DATASET / "index.json").read_bytes() != toys.first
    toys.version("dataset", 1)
    return toys


def restored(toys) -> list[str]:
    """What `tesserae reproduce` would bring back, in the process that has the project's code."""
    code = (
        "from pathlib import Path; from tesserae.workflow import staleness, store;"
        "from tesserae.workflow.plan import read_plan;"
        "p = read_plan(Path('.').resolve(), 'smoke'); s = staleness.examine(p); n = ['dataset/emoji_few-32'];"
        "print(store.restore(p, s, store.restorable(p, s, n)), staleness.examine(p)[n[0]].current)"
    )
    done = toys.python("-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_a_run_by_hand_replaced_comes_back(switched):
    assert restored(switched) == ["['dataset/emoji_few-32']", "True"]
    assert (switched.root / DATASET / "index.json").read_bytes() == switched.first
    switched.version("dataset", 2)  # and the other way: what was replaced by restoring was kept as well
    assert restored(switched) == ["['dataset/emoji_few-32']", "True"]


def test_a_cache_that_lost_an_object_restores_nothing(switched):
    for file in (switched.root / ".dvc/cache/files/md5").rglob("*"):
        if file.is_file() and file.read_bytes() == switched.first:
            file.unlink()
    assert restored(switched) == ["[]", "False"]


def test_a_damaged_cache_restores_nothing(switched):
    for file in (switched.root / ".dvc/cache/files/md5").rglob("*"):
        if file.is_file() and file.read_bytes() == switched.first:
            file.chmod(0o644)
            file.write_bytes(b"damaged")
    before = (switched.root / DATASET / "index.json").read_bytes()
    assert restored(switched) == ["[]", "False"]
    assert (switched.root / DATASET / "index.json").read_bytes() == before
    assert not list((switched.root / DATASET).glob(".*"))


def test_without_a_repository_nothing_is_kept_and_it_says_so(toys):
    assert toys.make("dataset/emoji_few-32").returncode == 0
    plan = read_plan(toys.root, "smoke")
    with pytest.raises(store.NoRepository, match="dvc init"):
        store.keep(plan, staleness.examine(plan), ["dataset/emoji_few-32"])
    toys.version("dataset", 2)
    done = toys.make("dataset/emoji_few-32")
    assert done.returncode == 0 and "cannot be kept" in done.stdout + done.stderr


def test_a_project_from_an_archive_keeps_without_git(tmp_path):
    """Its .dvc says that git is there, as the repository's does."""
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc")
    (tmp_path / "file").write_text("content")
    repository = store._repository(tmp_path)
    try:
        digest = store._add(repository, tmp_path / "file")
        assert repository.cache.local.exists(digest)
    finally:
        repository.close()


@pytest.mark.parametrize("linked", ["results", "results/smoke"])
def test_results_behind_a_link_are_not_shared_and_it_says_what_to_do(tmp_path, linked):
    (tmp_path / "disk/smoke").mkdir(parents=True)
    (tmp_path / linked).parent.mkdir(exist_ok=True)
    (tmp_path / linked).symlink_to(tmp_path / "disk")
    with pytest.raises(sharing.NotShared, match="mount --bind"):
        sharing._no_link(tmp_path, SimpleNamespace(top=Path("results/smoke")))
