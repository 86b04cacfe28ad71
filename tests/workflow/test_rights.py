"""Projects, files and homes that belong to somebody else, or to nobody: said, or done without; never a traceback."""

import errno
import getpass
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tesserae.cli.common import Commands
from tesserae.config.errors import ConfigError
from tesserae.lineage.hashes import Hashes, remember
from tesserae.workflow import engine, home, rights
from tests.workflow.test_unprivileged import POWERLESS

XDG = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


@pytest.fixture
def nobody(monkeypatch):
    """A user without a name and a place, as the container of an unknown uid has."""

    def unknown(*_: object) -> None:
        raise KeyError("getpwuid(): uid not found: 4242")

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", *XDG):
        monkeypatch.setenv(name, "")  # so that they are put back
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_nobody_gets_a_name_and_places_in_the_project(nobody, tmp_path):
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    home.settle(tmp_path)
    assert getpass.getuser() == f"uid{os.getuid()}" and Path.home() == tmp_path / home.FOLDER
    assert all(Path(os.environ[name]).is_relative_to(tmp_path / home.FOLDER) for name in XDG)
    assert list(tmp_path.iterdir()) == []  # looking writes nothing


def test_a_home_that_cannot_be_written_stays_home(nobody, tmp_path, monkeypatch):
    (tmp_path / "home").touch()  # no folder: nothing can be made below it, whoever one is
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "mine"))
    home.settle(tmp_path / "project")
    assert os.environ["HOME"] == str(tmp_path / "home") and os.environ["XDG_DATA_HOME"] == str(tmp_path / "mine")
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "project" / home.FOLDER / ".cache")


def test_a_home_of_ones_own_is_left_alone(nobody, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "me")
    home.settle(tmp_path / "project")
    assert getpass.getuser() == "me" and not any(name in os.environ for name in XDG)


def test_a_memory_that_cannot_be_kept_costs_nothing(tmp_path):
    (tmp_path / "file").touch()
    remember(tmp_path / "file/below.json", "{}")
    remember(tmp_path / "new/memory.json", "{}")
    assert (tmp_path / "new/memory.json").read_text() == "{}" and len([*(tmp_path / "new").iterdir()]) == 1


def test_a_folder_where_a_file_belongs_is_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    assert Hashes(tmp_path).of("folder") is None and Hashes(tmp_path).of("folder/nothing") is None


def test_what_is_denied_is_said_with_its_owner(tmp_path):
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "results/new"))
    said = rights.complaint(denied)
    assert f"{tmp_path / 'results/new'} may not be written" in said and "it belongs to" in said and "copy" in said
    assert "read-only" in rights.complaint(OSError(errno.EROFS, "", str(tmp_path)))
    assert rights.complaint(FileNotFoundError(errno.ENOENT, "", "a")) is None

    @click.group(cls=Commands)
    def commands() -> None:
        pass

    @commands.command()
    def look() -> None:
        raise denied

    done = CliRunner().invoke(commands, ["look"])
    assert done.exit_code == 1 and said in done.output and "Traceback" not in done.output


def test_snakemake_in_another_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine.verify_folder(tmp_path)
    with pytest.raises(ConfigError, match="--directory"):
        engine.verify_folder(tmp_path.parent)


def test_a_project_of_others_can_be_looked_at(toys):
    """Nothing of it may be written, and one manifest may not even be read."""
    assert toys.make("dataset/emoji_few-32").returncode == 0
    look = (
        "from pathlib import Path; from click.testing import CliRunner; from tesserae.cli.main import main\n"
        "asked = [['stale'], ['spec', 'dataset/emoji_few-32'], ['reproduce', '-n', 'dataset/emoji_few-32'], "
        "['reproduce', 'reference/emoji_few-32']]\n"
        "for words in asked:\n"
        "    done = CliRunner().invoke(main, ['--scale', 'smoke', *words])\n"
        "    print(words, done.exit_code, done.output, repr(done.exception))\n"
        "Path('results/smoke/dataset/emoji_few-32/manifest.json').chmod(0)\n"
        "print(CliRunner().invoke(main, ['--scale', 'smoke', 'why', 'dataset/emoji_few-32']).output)\n"
    )
    folders = [toys.root, *(path for path in toys.root.rglob("*") if path.is_dir() and not path.is_symlink())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        done = subprocess.run(
            [*POWERLESS, sys.executable, "-c", look],
            cwd=toys.root,
            env={**os.environ, "PYTHONPATH": str(toys.root / "src")},
            capture_output=True,
            text=True,
        )
    finally:
        for folder in folders:
            folder.chmod(0o755)
    said = done.stdout
    assert done.returncode == 0 and "Traceback" not in said, said + done.stderr
    assert "['stale'] 0" in said and "['spec', 'dataset/emoji_few-32'] 0" in said
    assert "['reproduce', '-n', 'dataset/emoji_few-32'] 0" in said
    assert "['reproduce', 'reference/emoji_few-32'] 1" in said and "may not be written by you" in said
    assert "manifest.json may not be read by you" in said and "chmod -R go+rX" in said
