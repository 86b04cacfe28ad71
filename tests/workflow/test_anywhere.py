"""A run on a machine as unlike a developer's as they come, from an archive to what is shared."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT
from tests.workflow.conftest import NO_STORE, Toys, cut_to_one_row, toys_in

# A user whom the system does not know. All that is left of root is that the interpreter may be read wherever it lies.
NOBODY = 43210
READS = "-all,+dac_read_search"
AS_NOBODY = [
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"),
    *(f"--inh-caps={READS}", f"--ambient-caps={READS}", f"--bounding-set={READS}"),
]
GIT = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "init.defaultBranch=main"]


class Strange:
    """A place with a space and a letter beyond ASCII, which belongs to a user without a name."""

    def __init__(self, top: Path):
        self.root, self.home = top / "élan vital", top / "home"
        for folder in (self.root, self.home):
            folder.mkdir()
        self.home.chmod(0o555)
        self.owned = os.geteuid() == 0
        if self.owned:
            os.chown(self.root, NOBODY, NOBODY)

    def run(self, *command: str, fails: bool = False) -> str:
        """What a command says there: nothing in the environment but paths, an ASCII locale, a home for looking only."""
        environment = {
            **{"PATH": os.environ["PATH"], "PYTHONPATH": str(self.root / "src"), "HOME": str(self.home)},
            **{"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "MLFLOW_TRACKING_URI": NO_STORE},
            **{"TESSERAE_CACHE": os.environ["TESSERAE_CACHE"], "TMPDIR": str(self.root.parent / "tmp")},
        }
        whole = ["sh", "-c", 'umask 077; exec "$@"', "sh", *(AS_NOBODY if self.owned else []), *command]
        done = subprocess.run(whole, cwd=self.root, env=environment, capture_output=True)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == fails and "Traceback" not in said, said
        return said

    def python(self, *arguments: str, fails: bool = False) -> str:
        return self.run(sys.executable, "-m", *arguments, fails=fails)

    def tesserae(self, *arguments: str, fails: bool = False) -> str:
        return self.python("tesserae.cli.main", "--scale", "smoke", *arguments, fails=fails)


@pytest.fixture
def strange() -> Iterator[Strange]:
    """Not below pytest's folder, which is for its user alone."""
    top = Path(tempfile.mkdtemp(prefix="tesserae-anywhere-", dir="/tmp"))
    top.chmod(0o755)
    (top / "tmp").mkdir()
    (top / "tmp").chmod(0o1777)
    yield Strange(top)
    shutil.rmtree(top)


def test_a_run_by_nobody_from_an_archive_in_a_strange_place(tmp_path, strange: Strange):
    """One row of toys is made, audited, shared, and made again where what was there is read-only in DVC's cache."""
    cut_to_one_row(toys_in(tmp_path))
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc")
    archive = strange.root.parent / "archive.tar"
    with tarfile.open(archive, "w", dereference=True) as tar:
        for entry in sorted(tmp_path.iterdir()):
            tar.add(entry, entry.name, filter=lambda info: None if "__pycache__" in info.name else info)
    strange.python("tarfile", "-e", str(archive), ".")
    jobs = len(open_plan(strange.root, "smoke").jobs)
    said = strange.tesserae("reproduce")
    assert f"{jobs} of {jobs} artifacts made" in said and "Everything at scale smoke is up to date" in said
    found = json.loads(strange.tesserae("audit", "--json", fails=True))
    assert {each["kind"] for each in found["findings"]} == {"number", "table"}  # toys write none that are real
    assert "git init" in strange.tesserae("share", fails=True)
    strange.run(*GIT, "init", "--quiet")
    assert f"recorded {jobs} artifacts" in strange.tesserae("share")
    Toys(strange.root).version("dataset", 2)
    strange.python("tesserae.stages.dataset", "emoji_few-32", "--scale", "smoke")
    assert Toys(strange.root).manifest("dataset/emoji_few-32")["metrics"] == {"version": 2}
    assert list((strange.root / ".tesserae/kept").rglob("*.json")) and not (strange.root / "~").exists()
    assert {file.stat().st_mode & 0o077 for file in (strange.root / "results").rglob("*") if file.is_file()} == {0}
    assert [*strange.home.iterdir()] == []
