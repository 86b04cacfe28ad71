"""Checkpoints: damage is noticed, disk use is bounded, a full disk is named."""

import errno
import os

import pytest
import torch

from tesserae.training import loop, state
from tesserae.training.state import KEPT, Checkpoints
from tests.training.together import fit, same


def test_state_of_another_identity_is_not_resumed(tmp_path):
    Checkpoints(tmp_path, "old").save(5, {"x": torch.ones(1)})
    assert Checkpoints(tmp_path, "new").newest() is None
    assert not (tmp_path / "old").exists()


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file):
    os.truncate(file, file.stat().st_size - 100)


def empty(file):
    os.truncate(file, 0)


def lose_the_digest(file):
    file.with_suffix(".sha256").unlink()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    fit(folder)
    return folder


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, empty, lose_the_digest])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(straight, tmp_path, monkeypatch, capfd, damage):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    with pytest.raises(OSError, match="unreadable"):
        fit(tmp_path, breaks_at=20)
    *_, newest = sorted((tmp_path / "state/same").glob("*.pt"))
    assert newest.stem == "000000020"
    damage(newest)
    with pytest.warns(UserWarning, match=rf"{newest.name} cannot be read .*falling back to the one before"):
        fit(tmp_path)
    assert "resuming at step 19" in capfd.readouterr().out
    assert same(tmp_path, straight)


def test_sha256sum_can_check_a_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path, "a")
    checkpoints.save(3, {"x": torch.ones(5)})
    assert os.system(f"cd {checkpoints.folder} && sha256sum --quiet -c 000000003.sha256") == 0


def test_disk_use_is_bounded_whatever_is_killed_when(tmp_path, monkeypatch):
    """A kill leaves what was written so far; here at three points of a save. Nothing of it adds up."""
    content = {"x": torch.zeros(10_000)}

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    for step in range(1, 40):
        checkpoints = Checkpoints(tmp_path, "a")
        with monkeypatch.context() as patch:
            where = [(state.os, "fsync"), (state.os, "replace"), (state.Path, "unlink"), None][step % 4]
            if where:
                patch.setattr(*where, killed)
            try:
                checkpoints.save(step, content)
            except Killed:
                (checkpoints.folder / f"saving-{os.getpid()}").exists() and os.rename(
                    checkpoints.folder / f"saving-{os.getpid()}", checkpoints.folder / f"saving-{step}"
                )
        if step % 7 == 0:
            empty(sorted(checkpoints.folder.glob("*.pt"))[-1])
            with pytest.warns(UserWarning, match="falling back"):
                checkpoints.newest()
        assert sum(file.stat().st_size for file in checkpoints.folder.iterdir()) < 4 * 45_000
        assert len(list(checkpoints.folder.glob("*.sha256"))) <= KEPT + 2
    assert checkpoints.newest()["step"] >= 36


def test_a_full_disk_is_named_and_the_checkpoints_before_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path, "a")
    for step in (1, 2):
        checkpoints.save(step, {"x": torch.full((1000,), float(step))})
    (checkpoints.folder / f"saving-{os.getpid()}").symlink_to("/dev/full")  # the kernel's own "no space left"
    with pytest.raises(OSError, match=r"no space for the checkpoint of step 3, which needs 4\.\d MB.*are free") as full:
        checkpoints.save(3, {"x": torch.zeros(1_000_000)})
    assert full.value.errno == errno.ENOSPC and str(checkpoints.folder) in str(full.value)
    assert not list(checkpoints.folder.glob("saving-*"))
    assert checkpoints.newest()["step"] == 2 and checkpoints.load(1)["x"][0] == 1
