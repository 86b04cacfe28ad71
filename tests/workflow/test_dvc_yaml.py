"""dvc.yaml names what the plan makes, of all papers, and DVC sees a change of any of them."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from tesserae.cli.main import main
from tesserae.workflow.dvc_yaml import render
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT

PAPER = "config/papers/concepttok.yaml"
TABLE = "results/pocket/table/concepttok_table_1/metrics.json"


@pytest.fixture(scope="module")
def plan():
    return open_plan(ROOT)


@pytest.fixture
def project(tmp_path):
    """The configuration and dvc.yaml in a git repository of their own, and one table's numbers."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / TABLE).parent.mkdir(parents=True)
    (tmp_path / TABLE).write_text('{"fid": 20.5}\n')
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, sys.executable, "-m", "dvc", "init", "-q")
    run(tmp_path, "git", "add", "-A")
    run(tmp_path, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "before")
    return tmp_path


def run(root, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_file_is_up_to_date(plan):
    assert (ROOT / "dvc.yaml").read_text() == render(plan)


def test_it_names_what_the_plan_makes_of_every_paper(plan):
    told = yaml.safe_load(render(plan))
    outputs = {str(path) for job in plan.jobs.values() for path in plan.outputs(job)}
    plots = [path for each in told["plots"] for path in each]
    assert {*told["metrics"], *plots} <= outputs
    assert all((ROOT / file).is_file() for file in told["params"])
    named = "\n".join((*told["metrics"], *plots, *told["params"]))
    for paper in plan.project.papers:
        assert f"config/papers/{paper}.yaml" in told["params"]
        assert f"results/{plan.scale}/claims/{paper}/metrics.json" in told["metrics"]
        for table in (job for job in plan.jobs.values() if job.stage == "table" and paper in job.papers):
            assert named.count(f"/{table.recipe}/") == 2


def test_dvc_sees_a_change_of_any_paper(project):
    file = project / PAPER
    text, count = re.subn(r"codebook_size: (\d+)", r"codebook_size: 4321", file.read_text(), count=1)
    assert count
    file.write_text(text)
    (project / TABLE).write_text('{"fid": 19.5}\n')
    params = json.loads(run(project, sys.executable, "-m", "dvc", "params", "diff", "--json"))
    assert params.keys() == {PAPER}
    assert [change["new"] for change in params[PAPER].values()] == [4321]
    metrics = json.loads(run(project, sys.executable, "-m", "dvc", "metrics", "diff", "--json"))
    assert metrics == {TABLE: {"fid": {"old": 20.5, "new": 19.5, "diff": -1.0}}}


def test_a_file_that_is_not_up_to_date_is_refused_and_written_anew(project):
    def ask(*arguments: str):
        return CliRunner().invoke(main.commands["dvc-yaml"], arguments, obj={"root": project, "scale": None})

    assert ask("--check").exit_code == 0
    (project / "dvc.yaml").write_text("params: []\n")
    said = ask("--check")
    assert said.exit_code == 1 and "dvc.yaml is not up to date; run `tesserae dvc-yaml`" in said.output
    assert ask().exit_code == 0 and ask("--check").exit_code == 0
