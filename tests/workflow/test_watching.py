"""What a stage opens and imports is seen in every process that it starts."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tesserae.encoders.published import weights_file
from tesserae.lineage.fingerprint import SOURCE
from tesserae.workflow import conduct, watching


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's folder with a file that a job declares, and one that it does not."""
    for name in ("declared", "secret"):
        (tmp_path / name).write_text(name)
    return tmp_path


def watched(root: Path, act) -> watching.Seen:
    with watching.watch(root, {root / "declared"}, (root / "out",)) as seen:
        act()
    return seen


def python(root: Path, text: str, **environment: str) -> None:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(SOURCE)]))
    subprocess.run(
        [sys.executable, "-c", text], cwd=root, env={**os.environ, "PYTHONPATH": path, **environment}, check=True
    )


READS = "open('declared').read(); open('secret').read(); open('new', 'w').write('a')"


@pytest.mark.parametrize("deep", [False, True], ids=["child", "grandchild"])
def test_a_process_that_is_started_is_watched(root, deep):
    text = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {READS!r}], check=True)" if deep else READS
    assert watched(root, lambda: python(root, text)).undeclared == {"secret"}
    assert watching.VARIABLE not in os.environ


def test_what_it_imports_is_known_with_its_text(root):
    text = "import importlib; importlib.import_module('tesserae.' + 'words')"
    seen = watched(root, lambda: python(root, text))
    assert seen.texts["tesserae.words"] == {(SOURCE / "tesserae/words.py").read_bytes()}
    assert seen.undeclared == set()


def test_a_fork_is_watched(root):
    def fork() -> None:
        child = os.fork()
        if child == 0:
            (root / "secret").read_text()
            os._exit(0)
        os.waitpid(child, 0)

    assert watched(root, fork).undeclared == {"secret"}


def test_the_process_itself_is_watched_and_not_for_longer(root):
    assert watched(root, lambda: (root / "secret").read_text()).undeclared == {"secret"}
    seen = watched(root, lambda: (root / "declared").read_text())
    (root / "secret").read_text()
    assert seen.undeclared == set()


def test_files_of_frozen_networks_are_noted_wherever_they_are_taken(root):
    (root / "dinov2.safetensors").write_text("weights")
    asked = (str(root), "dinov2.safetensors", "", "")
    take = f"from tesserae.encoders.published import weights_file; weights_file(*{asked!r})"
    here = watched(root, lambda: weights_file(*asked))
    assert here.weights == watched(root, lambda: python(root, take)).weights == {str(root / "dinov2.safetensors")}


def test_what_others_let_python_import_first_is_imported_too(root):
    (root / "theirs").mkdir()
    (root / "theirs/sitecustomize.py").write_text("import sys; sys.theirs = 1")
    path = f"{root / 'theirs'}{os.pathsep}{SOURCE}"

    def act() -> None:
        first = os.environ["PYTHONPATH"].split(os.pathsep)[0]
        python(root, "import sys; assert sys.theirs; " + READS, PYTHONPATH=f"{first}{os.pathsep}{path}")

    assert watched(root, act).undeclared == {"secret"}


def test_modules_of_the_project_beside_the_package_are_strangers(tmp_path, monkeypatch):
    (tmp_path / "helper.py").touch()
    (tmp_path / "src").symlink_to(SOURCE)
    for name, file in (("helper", tmp_path / "helper.py"), ("tesserae.words", tmp_path / "src/tesserae/words.py")):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__file__=str(file)))
    assert conduct._strangers(tmp_path) == {"helper": str(tmp_path / "helper.py")}
