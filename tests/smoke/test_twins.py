"""Every kind of trained thing, killed in mid-training and run again, ends in the bytes of the straight run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import until


@pytest.mark.parametrize(
    ("stage", "recipe", "at"),
    [
        ("tokenizer", "detok_bb_extended", 10),
        ("tokenizer", "detok_bb_extended", 70),  # the GAN is on: two optimizers, batch statistics
        ("tokenizer", "detok_bb_extended_tuned", 20),  # from weights of another, with a frozen encoder
        ("generator", "mar_b_joint", 20),  # dropout, random masks
        ("generator", "sit_b_joint", 60),
    ],
)
def test_a_killed_training_ends_in_the_same_bytes(smoke, tmp_path, stage, recipe, at):
    root = tmp_path / "project"
    shutil.copytree(smoke, root, symlinks=True)
    folder = root / "results/smoke" / stage / recipe
    straight = {name: (folder / name).read_bytes() for name in ("weights.safetensors", "curves.jsonl")}
    shutil.rmtree(folder)
    command = [sys.executable, "-m", f"tesserae.stages.{stage}", recipe, "--scale", "smoke"]
    environment = {**os.environ, "TESSERAE_CHECKPOINT_SECONDS": "0"}
    killed = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = root / "results/smoke/.state" / stage / recipe
    until(lambda: _saved(state, at) or killed.poll() is not None, lambda: f"no checkpoint {at}", every=0.002)
    assert killed.poll() is None, "ended before it could be killed"
    killed.kill()
    killed.wait()
    assert not (folder / "manifest.json").exists()
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "resuming at step" in done.stdout
    assert {name: (folder / name).read_bytes() for name in straight} == straight


def _saved(state: Path, at: int) -> bool:
    return any(int(file.stem) >= at for file in state.glob("*/*.pt"))
