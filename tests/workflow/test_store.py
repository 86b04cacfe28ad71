"""Replaced artifacts come back from the DVC cache by fingerprint, whole or not at all."""

import subprocess
import sys

import pytest

from tesserae.workflow import staleness, store
from tesserae.workflow.plan import read_plan

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
