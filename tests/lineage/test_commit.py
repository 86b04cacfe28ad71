"""What a manifest says of git: the commit that has the project's code, and whether anything of it differs."""

import os
import subprocess
from pathlib import Path

import pytest

from tesserae.lineage import manifest as manifests


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that is committed, in a folder of a larger repository."""
    root = tmp_path / "work" / "project"
    for name in ("src/tesserae/__init__.py", "config/config.yaml", "results/smoke.dvc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("a: 1\n")
    (root / ".gitignore").write_text("__pycache__/\n")
    git(tmp_path / "work", "init", "-q")
    git(tmp_path / "work", "add", ".")
    git(tmp_path / "work", "commit", "-q", "-m", "a")
    return root


def git(folder: Path, *arguments: str) -> None:
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    person = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(
        ["git", *person, *arguments], cwd=folder, check=True, capture_output=True, env={**os.environ, **alone}
    )


def test_a_committed_tree_is_clean_and_what_is_made_does_not_count(project):
    (project / "results/smoke.dvc").write_text("b: 2\n")
    (project / "notes.txt").touch()
    (project / "src/tesserae/__pycache__").mkdir()
    (project / "src/tesserae/__pycache__/a.pyc").touch()
    found = manifests.commit(project)
    assert len(found["commit"]) == 40 and found["dirty"] is False


@pytest.mark.parametrize("file", ["src/tesserae/new.py", "config/papers/new.yaml", "config/config.yaml"])
def test_new_code_and_settings_count_as_much_as_edited_ones(project, file):
    (project / file).parent.mkdir(exist_ok=True)
    (project / file).write_text("b: 2\n")
    assert manifests.commit(project)["dirty"] is True


def test_a_repository_that_a_project_was_unpacked_in_says_nothing(project):
    other = project.parent / "unpacked"
    for name in ("src/tesserae/__init__.py", "config/config.yaml"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text("a: 1\n")
    assert manifests.commit(other) == {"commit": None, "dirty": None}
