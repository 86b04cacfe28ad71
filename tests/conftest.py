"""Shared fixtures: a copy of the project's configuration that a test may edit."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("tesserae", deadline=None)  # machines are noisy: no test is about time
settings.load_profile("tesserae")
# What a shell starts in the background ignores SIGINT, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DVC_NO_ANALYTICS", "1")  # else each of DVC's commands leaves a process that reports home
ROOT = Path(__file__).resolve().parents[1]
# What modules mean and what networks cost follows from their text: the many small projects of the tests share it. To
# count the networks of the paper scale takes a minute, and projects would do so each for itself.
os.environ.setdefault("TESSERAE_CACHE", str(ROOT / ".tesserae"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with this project's configuration and nothing made yet."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for name in ("data", "notebooks", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path
