"""One smoke run of everything, which the tests of this folder look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.workflow.conftest import copy  # noqa: F401 (fixture)


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
        [sys.executable, "-m", "tesserae.cli.main", "--scale", "smoke", "reproduce"],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "MLFLOW_TRACKING_URI": ""},
    )
