"""Sharing through DVC: a fresh clone pulls results and plans nothing; an edit plans its downstream, and runs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tesserae.workflow.dvc_yaml import render
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT
from tests.smoke.test_matrix import Project

IDENTITY = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
SHARED = ["src", "config", "notebooks", "data", "workflow", "Snakefile", "dvc.yaml", ".dvcignore", ".gitignore"]


class Clone(Project):
    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *IDENTITY, *arguments], cwd=self.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def dvc(self, *arguments: str) -> str:
        done = self.python("-m", "dvc", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def share(self, message: str) -> None:
        out = self.tesserae("share")
        assert "pushed" in out
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def fails(self, *arguments: str) -> str:
        done = self.python("-m", "tesserae.cli.main", "--scale", "smoke", *arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def origin(smoke, tmp_path_factory) -> Clone:
    """A git repository whose smoke results were shared to a remote in a folder."""
    root = tmp_path_factory.mktemp("shared") / "origin"
    root.mkdir()
    for name in SHARED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / name, root / name)
    (root / "profiles").symlink_to("workflow/profiles")
    (root / "dvc.yaml").write_text(render(open_plan(root, "smoke")))
    shutil.copytree(smoke / "results", root / "results")
    shutil.copy(ROOT / "results/.gitignore", root / "results")
    origin = Clone(root)
    origin.git("init", "-q")
    origin.dvc("init", "-q")
    origin.dvc("config", "cache.type", "hardlink,copy")
    origin.dvc("config", "core.autostage", "false")
    origin.dvc("remote", "add", "-d", "folder", str(root.parent / "remote"))
    origin.share("results")
    return origin


@pytest.fixture
def clone(origin, tmp_path) -> Clone:
    subprocess.run(["git", "clone", "-q", str(origin.root), str(tmp_path / "clone")], check=True)
    return Clone(tmp_path / "clone")


def present(clone) -> set[str]:
    """Artifacts with any file beside the manifest."""
    top = clone.root / "results/smoke"
    return {
        str(file.parent.relative_to(top))
        for file in top.glob("[!.]*/*/*")
        if file.is_file() and file.name != "manifest.json" and file.suffix != ".log" and file.parts[-3] != "code"
    }


def test_a_fresh_clone_pulls_and_plans_nothing_and_an_edit_runs_its_downstream(clone):
    assert len(clone.stale()["run"]) > 200  # nothing is here yet
    clone.dvc("pull", "-q")  # DVC's own command is enough
    assert clone.planned() == set()
    clone.edit("src/tesserae/losses/alignment.py", "F.relu(1 - margin", "F.relu(2 - margin")  # of VA-VAE alone
    expected = clone.downstream("tokenizer/va_vae")
    assert {"generator/lightningdit_b_va_vae", "table/detok_table_2", "report/index"} <= expected
    before = {name: record(clone, name) for name in present(clone)}
    assert clone.planned() == expected
    clone.tesserae("reproduce")
    assert clone.planned() == set()
    for name, old in before.items():
        assert (record(clone, name)["started"] != old["started"]) == (name in expected)
        assert (record(clone, name)["fingerprint"] != old["fingerprint"]) == (name in expected)


def record(clone, artifact: str) -> dict:
    return json.loads((clone.root / "results/smoke" / artifact / "manifest.json").read_text())


def test_a_pull_of_what_is_needed(clone):
    clone.edit("notebooks/detok.ipynb", "The idea", "An idea")
    clone.tesserae("pull", "--needed")
    assert clone.planned() == {"notebook/detok", "page/detok", "lineage/detok", "report/index"}
    here = present(clone)
    assert "table/detok_table_1" in here and not any(name.startswith(("samples", "tokens", "dataset")) for name in here)
    assert not list((clone.root / "results/smoke").rglob("*.safetensors"))  # of trainings, the curves alone
    clone.tesserae("reproduce")
    assert clone.planned() == set()


def test_a_pull_of_what_one_generator_needs(clone):
    recipe = "  sit_b_joint: {base: sit_b, tokenizer: detok_sb_joint"
    clone.edit("config/papers/detok.yaml", recipe, recipe + ", label_dropout: 0.2")
    clone.tesserae("pull", "--needed")
    planned = clone.planned()
    assert planned >= {"generator/sit_b_joint", "samples/sit_b_joint-cfg", "table/detok_table_1"}
    assert not {name for name in planned if name.startswith(("tokenizer", "tokens", "dataset", "generator/mar"))}
    weights = {file.parent.name for file in (clone.root / "results/smoke").rglob("*.safetensors")}
    assert weights == {"detok_sb_joint"}


def test_a_pull_of_one_artifact(clone):
    clone.tesserae("pull", "detok_table_1")
    assert present(clone) == {"table/detok_table_1"}


def test_switching_branches_plans_nothing_on_both_sides(clone):
    clone.dvc("pull", "-q")
    clone.git("checkout", "-qb", "other")
    clone.edit("src/tesserae/stages/lineage.py", "import Work\n", "import Work\n\nX = 1\n")
    clone.edit("config/papers/detok.yaml", "title: Originals and", "title: The originals and")
    assert clone.planned()
    clone.tesserae("reproduce")
    clone.share("another style")
    for branch in ("main", "other", "main"):
        clone.git("checkout", "-q", branch)
        clone.dvc("checkout", "-q")
        assert clone.planned() == set(), branch


def test_what_changed_between_commits_in_the_papers_terms(clone):
    clone.dvc("pull", "-q")
    clone.edit("config/papers/detok.yaml", "label_dropout: 0.1", "label_dropout: 0.3")
    file = clone.root / "results/smoke/table/detok_table_1/metrics.json"
    numbers = json.loads(file.read_text())
    numbers["Baseline"]["MAR-B w/ CFG FID"] += 1.0
    file.unlink()
    file.write_text(json.dumps(numbers))
    params = json.loads(clone.dvc("params", "diff", "--json"))["config/papers/detok.yaml"]
    assert any(key.endswith("label_dropout") and value["new"] == 0.3 for key, value in params.items())
    metrics = json.loads(clone.dvc("metrics", "diff", "--json"))
    (changed,) = metrics["results/smoke/table/detok_table_1/metrics.json"].items()
    assert changed[0] == "Baseline.MAR-B w/ CFG FID" and changed[1]["diff"] == pytest.approx(1.0)
    clone.dvc("plots", "diff", "HEAD", "-o", "plots")
    assert "Joint noise" in (clone.root / "plots/index.html").read_text()


def test_the_gate_judges_committed_results_without_data(clone):
    assert "what is committed is what this code makes" in clone.tesserae("stale", "--committed")
    assert not (clone.root / "results/smoke").exists()
    clone.edit("src/tesserae/generators/mar_sampler.py", "import torch\n", "import torch\n\nX = 1\n")
    done = clone.python("-m", "tesserae.cli.main", "--scale", "smoke", "stale", "--committed")
    assert done.returncode == 1 and "search_samples/mar_b_joint: its code, settings or sources changed" in done.stdout
    assert "tokenizer" not in done.stdout
    assert (
        "nothing was shared at scale pocket" in clone.python("-m", "tesserae.cli.main", "stale", "--committed").stderr
    )


def test_what_is_stale_is_not_shared(clone):
    clone.dvc("pull", "-q")
    clone.edit("notebooks/detok.ipynb", "The idea", "An idea")
    assert "not up to date" in clone.fails("share")


def test_a_remote_that_lost_an_object(clone, origin):
    remote = origin.root.parent / "remote"
    weights = origin.root / "results/smoke/tokenizer/detok_sb_joint/weights.safetensors"
    md5 = re.search(r"\w{32}", subprocess.run(["md5sum", str(weights)], capture_output=True, text=True).stdout)[0]
    lost = remote / "files/md5" / md5[:2] / md5[2:]
    content = lost.read_bytes()
    lost.unlink()
    try:
        said = clone.fails("pull")
        assert "did not bring everything" in said and (md5 in said or "weights.safetensors" in said)
        state = {entry["artifact"] for entry in clone.stale()["run"]}  # nothing half-true: it is known to be missing
        whole = {name for name in present(clone) if name not in state}
        for name in whole:
            for entry in record(clone, name)["outputs"]:
                assert (clone.root / entry["path"]).stat().st_size == entry["bytes"]
        lost.write_bytes(content)
        clone.tesserae("pull")
        assert clone.planned() == set()
    finally:
        lost.write_bytes(content)


def test_a_pull_that_was_killed_goes_on(clone):
    process = subprocess.Popen(
        [sys.executable, "-m", "tesserae.cli.main", "--scale", "smoke", "pull"],
        cwd=clone.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(clone.root / "src")},
    )

    top, until = clone.root / ".dvc/cache/files/md5", time.monotonic() + 60
    while len(list(top.glob("*/*"))) < 20 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    clone.tesserae("stale")  # whatever is there, it is judged by its content
    clone.tesserae("pull")
    assert clone.planned() == set()
