"""Somebody who is not root makes results again, whatever became of them in the DVC cache."""

import hashlib
import os
import stat
import subprocess
import sys

import pytest

from tests.workflow.conftest import Toys

DATASET = "results/smoke/dataset/emoji_few-32"
# Root without capabilities is held to the permissions of files as everybody is, and reads what root alone may read:
# the interpreter, and the folders of the tests.
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if os.geteuid() == 0 else []


class Unprivileged(Toys):
    target = f"{DATASET}/index.json"

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(self.root / "src"), "TESSERAE_WARM": "off", **environment}
        return subprocess.run(
            [*POWERLESS, sys.executable, *arguments], cwd=self.root, env=environment, capture_output=True, text=True
        )

    def dvc(self, *arguments: str) -> None:
        done = self.python("-m", "dvc", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def remade(self, version: int) -> bytes:
        """What Snakemake makes of another version of the stage."""
        self.version("dataset", version)
        done = self.snakemake()
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.manifest("dataset/emoji_few-32")["metrics"] == {"version": version}
        return (self.root / self.target).read_bytes()

    def read_only(self) -> bool:
        return stat.S_IMODE((self.root / DATASET / "manifest.json").stat().st_mode) == 0o444

    def cache_is_whole(self) -> bool:
        """Whether each object is what its name says, and protected as DVC leaves it."""
        objects = [file for file in (self.root / ".dvc/cache/files/md5").glob("*/*") if len(file.name) == 30]
        assert objects
        return all(
            hashlib.md5(file.read_bytes()).hexdigest() == file.parent.name + file.name
            and stat.S_IMODE(file.stat().st_mode) == 0o444
            for file in objects
        )


@pytest.fixture
def project(toys) -> Unprivileged:
    project = Unprivileged(toys.root)
    (project.root / ".dvc").mkdir()
    (project.root / ".dvc/config").write_text("[core]\n    no_scm = True\n[cache]\n    type = hardlink,copy\n")
    done = project.make("dataset/emoji_few-32")
    assert done.returncode == 0, done.stderr
    return project


RESTORE = """
from pathlib import Path
from tesserae.workflow import staleness, store
from tesserae.workflow.plan import read_plan

plan = read_plan(Path.cwd(), "smoke")
statuses, wanted = staleness.examine(plan), ["dataset/emoji_few-32"]
print(*store.restore(plan, statuses, store.restorable(plan, statuses, wanted)))
"""


def test_results_in_the_cache_are_made_again(project):
    first = (project.root / project.target).read_bytes()
    project.dvc("add", "-q", "results/smoke")  # as `tesserae share` does; a pull leaves the same links
    assert project.read_only()
    assert project.remade(version=2) != first
    assert project.cache_is_whole()
    project.version("dataset", 1)
    done = project.python("-c", RESTORE)
    assert done.stdout.split() == ["dataset/emoji_few-32"], done.stdout + done.stderr
    assert (project.root / project.target).read_bytes() == first and project.read_only()
    assert project.remade(version=3) != first
    assert project.cache_is_whole()


def test_artifacts_have_the_permissions_that_the_umask_leaves(toys):
    toys.insert("dataset", "(work.out / 'index.json').touch(mode=0o600)")  # as safetensors leaves weights
    before = os.umask(0o027)
    try:
        done = toys.make("dataset/emoji_few-32")
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert {stat.S_IMODE(file.stat().st_mode) for file in (toys.root / DATASET).iterdir()} == {0o640}


def test_a_folder_in_which_nothing_may_be_replaced_is_refused_before_anything_runs(project):
    project.version("dataset", 2)
    (project.root / DATASET).chmod(0o555)
    try:
        done = project.snakemake("-n")
    finally:
        (project.root / DATASET).chmod(0o755)
    assert done.returncode != 0 and "Write-protected output files" in done.stdout + done.stderr
