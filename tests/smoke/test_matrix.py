"""After an edit, the dry run plans exactly the jobs that depend on it: on everything that one smoke run made.

Each case edits a project folder, asks Snakemake itself what it would run, and puts the edit back.
"""

import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.workflow.conftest import NO_STORE, Copy


@dataclass
class Project(Copy):
    """A copy of code, configuration and all results of a smoke run."""

    store: str = NO_STORE

    def tesserae(self, *arguments: str) -> str:
        done = self.python("-m", "tesserae.cli.main", "--scale", "smoke", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def planned(self) -> set[str]:
        """What Snakemake would run, which must be what `tesserae stale` says."""
        done = self.python("-m", "snakemake", "--summary", "--config", "scale=smoke")
        assert done.returncode == 0, done.stderr
        found = set()
        for line in done.stdout.splitlines()[1:]:
            output, *_, plan = line.split("\t")
            if plan == "update pending":
                folder = Path(output).parent.relative_to("results/smoke")
                found.add("report/index" if folder == Path() else str(folder))
        assert found == {entry["artifact"] for entry in self.stale()["run"]}
        return found

    def stale(self) -> dict:
        return json.loads(self.tesserae("stale", "--json"))

    def downstream(self, *artifacts: str) -> set[str]:
        """The artifacts and all that is made from them, by the manifests."""
        records = {
            record["artifact"]: record
            for file in (self.root / "results/smoke").rglob("manifest.json")
            for record in [json.loads(file.read_text())]
        }
        found = set(artifacts)
        while more := {name for name, record in records.items() if found & set(record["inputs"])} - found:
            found |= more
        return found

    def users(self, module: str) -> set[str]:
        """Artifacts whose code, by their manifests, has a module in it."""
        return {
            record["artifact"]
            for file in (self.root / "results/smoke").rglob("manifest.json")
            for record in [json.loads(file.read_text())]
            if module in record["modules"]
        }


@pytest.fixture(scope="module")
def made(smoke, tmp_path_factory) -> Project:
    root = tmp_path_factory.mktemp("matrix")
    for name in ("src", "config", "notebooks", "data", "workflow"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", root)
    (root / "profiles").symlink_to("workflow/profiles")
    shutil.copytree(smoke / "results", root / "results")
    return Project(root)


@pytest.fixture
def project(made) -> Project:
    """The project; what a test edits is put back after it."""
    kept = {
        file: file.read_bytes()
        for folder in ("src", "config", "notebooks")
        for file in (made.root / folder).rglob("*")
        if file.is_file() and file.suffix in (".py", ".yaml", ".csv", ".ipynb")
    }
    yield made
    for file, content in kept.items():
        if file.read_bytes() != content:
            file.write_bytes(content)


def stages(jobs: set[str]) -> set[str]:
    return {job.split("/")[0] for job in jobs}


def rewritten(text: str) -> str:
    """The same program, as another author would have laid it out: no comment, other docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body[0].value.value = "Other words."
    return "# rewritten\n" + ast.unparse(tree) + "\n"


def test_a_fresh_copy_of_the_results_plans_nothing(project):
    assert project.planned() == set()
    assert "Nothing is stale" in project.tesserae("stale")


def test_a_comments_docstrings_and_layout_of_every_module(project):
    for file in (project.root / "src").rglob("*.py"):
        if text := file.read_text().strip():
            file.write_text(rewritten(text))
    assert project.planned() == set()


def test_b_a_loss_of_tokenizers(project):
    project.edit("src/tesserae/losses/adversarial.py", "0.5 * (F.relu", "0.4 * (F.relu")
    users = project.users("tesserae.losses.adversarial")
    using = {name for name in users if name.startswith(("tokenizer/", "sizes/"))}  # `sizes` builds every network
    planned = project.planned()
    assert using and planned == project.downstream(*using)
    assert not stages(planned) & {"dataset", "reference"}
    assert "losses/adversarial.py: function `hinge_loss` changed" in project.tesserae("why")


def test_c_the_sampler_of_mar(project):
    project.edit("src/tesserae/generators/mar_sampler.py", "import torch\n", "import torch\n\nX = 1\n")
    planned = project.planned()
    recipes = {name for name in planned if name.startswith("search_samples/")}
    assert recipes and all(name.startswith("search_samples/mar_b") for name in recipes)
    assert planned == project.downstream(*recipes)
    assert not stages(planned) & {"dataset", "reference", "tokenizer", "tokens", "generator"}
    assert "generators/mar_sampler.py: constant `X` added" in project.tesserae("why")


def test_d_the_optimizer_of_one_recipe(project):
    """Its learning rate is the scale's at small scales; test_staleness.py edits it at `paper`."""
    project.edit(
        "config/papers/detok.yaml",
        "  sit_b_joint: {base: sit_b, tokenizer: detok_sb_joint}",
        "  sit_b_joint: {base: sit_b, tokenizer: detok_sb_joint, training: {betas: [0.9, 0.9]}}",
    )
    assert project.planned() == project.downstream("generator/sit_b_joint")
    words = project.tesserae("why", "generator/sit_b_joint")
    assert "training.betas [0.9, 0.95] → [0.9, 0.9] (config/papers/detok.yaml: generators.sit_b_joint" in words


def test_e_a_published_number(project):
    file = project.root / "config/published/detok.csv"
    line = re.search(r"^Table 1,.*Joint noise.*,5\.50,.*$", file.read_text(), re.M)[0]
    project.edit("config/published/detok.csv", line, line.replace("5.50", "5.51"))
    planned = project.planned()
    assert "table/detok_table_1" in planned
    assert stages(planned) <= {"table", "figure", "claims", "notebook", "lineage", "page", "report"}
    words = project.tesserae("why", "detok_table_1")
    assert "config/published/detok.csv changed" in words and "5.50" in words and "5.51" in words


def test_f_a_notebook(project):
    project.edit("notebooks/detok.ipynb", "The idea", "An idea")
    planned = project.planned()
    assert planned == project.downstream("notebook/detok")
    assert stages(planned) <= {"notebook", "lineage", "page", "report"}


def test_g_a_plotting_style(project):
    project.edit("src/tesserae/reporting/style.py", "\nNEUTRAL = ", "\nSTYLE = 1\nNEUTRAL = ")
    planned = project.planned()
    assert {name for name in project.users("tesserae.reporting.figures") if name.startswith("figure/")} <= planned
    assert stages(planned) <= {"figure", "table", "claims", "notebook", "lineage", "page", "report"}


def test_h_a_data_transform(project):
    project.edit("src/tesserae/data/transforms.py", "def center_crop", "x = 1\n\n\ndef center_crop")
    planned = project.planned()
    assert planned == project.downstream(*project.users("tesserae.data.transforms"))
    assert {"dataset", "tokenizer", "tokens", "generator", "metrics", "table"} <= stages(planned)


def test_i_touching_every_file(project):
    files = [path for path in project.root.rglob("*") if path.is_file() and ".snakemake" not in path.parts]
    for file in random.Random(0).sample(files, len(files)):
        os.utime(file, times=None if "results" in file.parts else (0, 0))
    assert project.planned() == set()


def test_j_edit_and_undo(project):
    project.edit("src/tesserae/tokenizers/detok.py", "import torch\n", "import torch\n\nX = 1\n")
    assert project.planned()
    project.edit("src/tesserae/tokenizers/detok.py", "import torch\n\nX = 1\n", "import torch\n")
    assert project.planned() == set()


def test_k_switching_a_value_and_back_restores_what_was_made(project):
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=project.root, check=True)
    before = {file: file.read_bytes() for file in (project.root / "results/smoke").rglob("*") if file.is_file()}
    recipe = "  sit_b_joint: {base: sit_b, tokenizer: detok_sb_joint"
    project.edit("config/papers/detok.yaml", recipe, recipe + ", label_dropout: 0.2")
    changed = project.planned()
    assert "generator/sit_b_joint" in changed
    project.tesserae("reproduce")
    record = json.loads((project.root / "results/smoke/generator/sit_b_joint/manifest.json").read_text())
    assert 0.2 in record["spec"]["model"].values() and project.planned() == set()

    project.edit("config/papers/detok.yaml", recipe + ", label_dropout: 0.2", recipe)
    assert set(project.stale()["restored"]) == changed
    assert "Restored from the cache: generator/sit_b_joint" in project.tesserae("reproduce")
    assert project.planned() == set()
    for file, content in before.items():
        if file.suffix != ".log" and ".state" not in file.parts and file.stem != "changes":  # of the last run
            assert file.read_bytes() == content, file
