"""A project with a package of its own, to be edited; and one smoke run that several tests look at."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT


@dataclass
class Copy:
    """A copy of configuration and package in a folder of its own."""

    root: Path

    def python(self, *arguments: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(self.root / "src")}
        return subprocess.run(
            [sys.executable, *arguments], cwd=self.root, env=environment, capture_output=True, text=True
        )

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new))

    def fingerprints(self, scale: str = "pocket") -> dict[str, str]:
        code = (
            f"import json; from pathlib import Path; from tesserae.workflow.plan import read_plan; "
            f"p = read_plan(Path('.').resolve(), {scale!r}); "
            "print(json.dumps({name: p.fingerprint(job) for name, job in p.jobs.items()}))"
        )
        done = self.python("-c", code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    for name in ("src", "config", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (tmp_path / "data" / "emoji").mkdir(parents=True)
    for name in ("emoji.npz", "SHA256SUMS"):
        shutil.copy(ROOT / "data" / "emoji" / name, tmp_path / "data" / "emoji")
    return Copy(tmp_path)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Path:
    """A project folder in which everything was made at smoke scale, from nothing, by `tesserae reproduce`."""
    root = tmp_path_factory.mktemp("smoke")
    for name in ("config", "data", "notebooks", "workflow", "profiles", "src", "Snakefile"):
        (root / name).symlink_to(ROOT / name)
    done = reproduce(root)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return root


def reproduce(root: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tesserae.cli", "--scale", "smoke", "reproduce"],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "MLFLOW_TRACKING_URI": ""},
    )
