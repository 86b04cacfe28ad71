"""What runs is the project's own code, or nothing; `make` sets an environment right that was made elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tesserae.config.errors import ConfigError
from tesserae.lineage.fingerprint import SOURCE
from tesserae.workflow import environment, own_code
from tests.conftest import ROOT

JOB = ("dataset", "emoji_few-32", "--scale", "smoke")
ENTRIES = {
    "why": ("-m", "tesserae.cli.main", "--scale", "smoke", "why"),
    "reproduce": ("-m", "tesserae.cli.main", "--scale", "smoke", "reproduce"),
    "audit": ("-m", "tesserae.cli.main", "--scale", "smoke", "audit"),
    "snakemake": ("-m", "snakemake", "--cores", "1", "--config", "scale=smoke"),
    "stage": ("-m", "tesserae.stages.dataset", *JOB[1:]),
    "runner": ("-m", "tesserae.workflow.runner", *JOB),
    "client": ("-I", "-S", "src/tesserae/workflow/client.py", *JOB),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_copy_does_not_run_the_code_of_the_original(toys, entry):
    """The tests' interpreter has the original installed, as a copied environment does."""
    done = toys.python(*ENTRIES[entry], PYTHONPATH="", TESSERAE_WARM="off")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "the code of this project would not run" in said
    assert str(SOURCE / "tesserae") in said and str(toys.root / "src/tesserae") in said
    assert "`make environment`" in said and "Traceback" not in said
    assert not (toys.root / "results/smoke/dataset/emoji_few-32/manifest.json").exists()


def test_from_elsewhere_too(toys, tmp_path_factory):
    done = subprocess.run(
        [sys.executable, "-m", "tesserae.cli.main", "--project", str(toys.root), "why"],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "the code of this project would not run" in done.stderr


def test_links_to_the_code_that_runs_are_the_projects_own(tmp_path):
    own_code.check(tmp_path)  # no code of its own: the installed one is meant
    (tmp_path / "src").symlink_to(SOURCE)
    own_code.check(tmp_path)
    (tmp_path / "src").unlink()
    (tmp_path / "src/tesserae").mkdir(parents=True)
    own_code.check(tmp_path)  # no package yet, as between two branches
    (tmp_path / "src/tesserae/__init__.py").touch()
    with pytest.raises(ConfigError, match="would not run"):
        own_code.check(tmp_path)


# ---- make -------------------------------------------------------------------------------------------------------

BACKEND = '''
"""Builds editable wheels without any package, so that the tests need no index."""
import zipfile


def build_editable(folder, config_settings=None, metadata_directory=None):
    import os
    name = "tesserae-1.0-py3-none-any.whl"
    info = "tesserae-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("__editable__.tesserae.pth", os.path.join(os.getcwd(), "src") + "\\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: tesserae\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\\ntesserae = tesserae.cli.main:main\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
'''
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tesserae"
version = "1.0"
"""
COMMAND = """
import os
import sys


def main():
    print(f"{sys.prefix}: {__file__}")


if __name__ == "__main__":
    main()
"""


def small_project(root: Path) -> Path:
    """The Makefile over a package that only says where it is, and no library."""
    (root / "src/tesserae/cli").mkdir(parents=True)
    (root / "src/tesserae/workflow").mkdir()
    for folder in ("", "cli"):
        (root / "src/tesserae" / folder / "__init__.py").touch()
    shutil.copy(ROOT / "Makefile", root)
    shutil.copy(ROOT / "src/tesserae/workflow/environment.py", root / "src/tesserae/workflow")
    (root / "src/tesserae/cli/main.py").write_text(COMMAND)
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "requirements.lock").touch()
    return root


def make(root: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def says(root: Path) -> str:
    return f"{root / '.venv'}: {root / 'src/tesserae/cli/main.py'}"


def script(root: Path) -> str:
    return subprocess.run([root / ".venv/bin/tesserae"], capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_that_was_copied_or_moved_is_set_right(tmp_path):
    first = small_project(tmp_path / "first")
    # What a user set for other Pythons does not lead packages past the environment.
    elsewhere = {"PIP_USER": "1", "PIP_TARGET": f"{tmp_path}/target", "PYTHONUSERBASE": f"{tmp_path}/user"}
    assert make(first, "reproduce", **elsewhere).splitlines()[-1] == says(first) and script(first) == says(first)
    assert not (tmp_path / "target").exists() and not (tmp_path / "user").exists()
    other = tmp_path / 'it\'s $HOME {a} "b" c'
    shutil.copytree(first, other, symlinks=True)  # times stay, as with `cp -a`
    assert make(other, "reproduce").splitlines()[-1] == says(other) and script(other) == says(other)
    named = [file.name for file in (other / ".venv/bin").iterdir() if f"{first}/".encode() in file.read_bytes()]
    assert named == []
    assert make(other, "reproduce").splitlines() == [says(other)]  # once
    assert make(first, "reproduce").splitlines() == [says(first)]
    moved = tmp_path / "moved"
    other.rename(moved)
    (moved / ".venv/bin/python").unlink()
    (moved / ".venv/bin/python").symlink_to(tmp_path / "another machine/python")
    assert make(moved, "reproduce").splitlines()[-1] == says(moved) and script(moved) == says(moved)


HEADERS = {
    "plain": "#!/old/.venv/bin/python\n",
    "numbered": "#!/old place/.venv/bin/python3.11\n",
    "pip's": "#!/bin/sh\n'''exec' \"/old place/.venv/bin/python\" \"$0\" \"$@\"\n' '''\n",
    "long": "#!/bin/sh\n'''exec' /old/.venv/bin/python \"$0\" \"$@\"\n' '''\n",
    "ours": "#!/bin/sh\n'''exec' '/it'\"'\"'s/.venv/bin/python' \"$0\" \"$@\"\n' '''\n",
}


@pytest.mark.parametrize("place", ["new", "new place", 'it\'s "$HOME" place', "long" * 30])
def test_scripts_start_the_interpreter_beside_them(tmp_path, place):
    folder = tmp_path / place / ".venv"
    (folder / "bin").mkdir(parents=True)
    for name in ("python", "python3.11"):
        (folder / "bin" / name).symlink_to(sys.executable)
    for name, header in HEADERS.items():
        (folder / "bin" / name).write_text(f"{header}import sys\nprint(sys.argv, sys.orig_argv[0])\n")
        (folder / "bin" / name).chmod(0o755)
    (tmp_path / "linked").hardlink_to(folder / "bin/plain")
    others = {"system": b"#!/usr/bin/python3\n", "sh": b"#!/bin/sh\necho\n", "program": b"\x7fELF\0#!"}
    for name, content in others.items():
        (folder / "bin" / name).write_bytes(content)
    assert environment.mend(folder) == sorted(HEADERS)
    assert environment.mend(folder) == []
    assert (tmp_path / "linked").read_text().startswith(HEADERS["plain"])
    for name in HEADERS:
        done = subprocess.run([folder / "bin" / name, "a b"], capture_output=True, text=True, check=True)
        python = folder / "bin" / ("python3.11" if name == "numbered" else "python")
        assert done.stdout == f"{[str(folder / 'bin' / name), 'a b']} {python}\n"
    assert {name: (folder / "bin" / name).read_bytes() for name in others} == others
