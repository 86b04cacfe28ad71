"""What a user lets git, Python and notebooks do elsewhere changes nothing here."""

import json
import os
import subprocess

import nbformat
import papermill

from tesserae.lineage.manifest import OWN
from tesserae.workflow import home

GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]


def test_a_notebook_runs_nothing_that_its_user_lets_every_notebook_do(tmp_path, monkeypatch):
    startup = tmp_path / "ipython/profile_default/startup"
    startup.mkdir(parents=True)
    for file in (startup / "first.py", tmp_path / "python.py"):
        file.write_text("import json as habit")
    kernel = tmp_path / "jupyter/kernels/python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    for name, value in {"IPYTHONDIR": "ipython", "PYTHONSTARTUP": "python.py", "JUPYTER_PATH": "jupyter"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    before = dict(os.environ)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print('habit' in dir())")])
    nbformat.write(notebook, tmp_path / "notebook.ipynb")
    with home.of_nobody(tmp_path / "own"):
        done = papermill.execute_notebook(
            tmp_path / "notebook.ipynb", None, kernel_name="python3", progress_bar=False, language="python"
        )
    assert [output["text"] for output in done.cells[-1].outputs] == ["False\n"]
    assert dict(os.environ) == before


def test_a_job_records_its_own_repository_and_how_its_libraries_compute(toys, tmp_path_factory):
    """Also where the environment leads git elsewhere: to a folder of settings, say."""
    other = tmp_path_factory.mktemp("other")
    for root in (toys.root, other):
        for file in OWN:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).touch()
        for arguments in (["init", "-q"], ["add", *map(str, OWN)], ["commit", "-q", "-m", root.name]):
            subprocess.run([*GIT, *arguments], cwd=root, check=True)
    done = toys.make("dataset/emoji_few-32", GIT_DIR=str(other / ".git"), MKL_CBWR="COMPATIBLE")
    assert done.returncode == 0, done.stderr
    record = toys.manifest("dataset/emoji_few-32")
    head = subprocess.run([*GIT, "rev-parse", "HEAD"], cwd=toys.root, capture_output=True, text=True).stdout.strip()
    assert record["git"]["commit"] == head
    assert record["hardware"]["asked"]["MKL_CBWR"] == "COMPATIBLE" and record["hardware"]["threads"] == 1
