"""A project with a package of its own, to be edited; and one whose stages are toys."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tesserae.config.figures import KINDS
from tesserae.config.project import EQUIVALENTS
from tesserae.config.stages import STAGES
from tests.conftest import ROOT

# An MLflow server that is not there, so that `tesserae reproduce` says so and goes on. To show a toy in MLflow takes
# longer than all else that a run of toys does, and to show a whole smoke run 23 s; tests of tracking have stores.
NO_STORE = "http://127.0.0.1:1"
ROW = "joint"  # of Table 1 of l-DeTok: its tokenizer, and the generators that learn its tokens


@dataclass
class Copy:
    """A copy of configuration and package in a folder of its own."""

    root: Path
    store: str = ""  # of MLflow; empty: a database in the folder

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        own = {"PYTHONPATH": str(self.root / "src"), "MLFLOW_TRACKING_URI": self.store}
        environment = {**os.environ, **own, **environment}
        return subprocess.run(
            [sys.executable, *arguments], cwd=self.root, env=environment, capture_output=True, text=True
        )

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new))

    def fingerprints(self, scale: str = "pocket") -> dict[str, str]:
        code = (
            f"import json; from pathlib import Path; from tesserae.workflow.plan import read_plan; "
            f"p = read_plan(Path('.').resolve(), {scale!r}); "
            "print(json.dumps({name: p.fingerprint(job) for name, job in p.jobs.items()}))"
        )
        done = self.python("-c", code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return copy_in(tmp_path)


def copy_in(root: Path) -> Copy:
    """Write the copy into a folder."""
    for name in ("src", "config", "notebooks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (root / "data" / "emoji").mkdir(parents=True)
    for name in ("emoji.npz", "SHA256SUMS"):
        shutil.copy(ROOT / "data" / "emoji" / name, root / "data" / "emoji")
    return Copy(root)


# What a toy stage writes follows from its own VERSION and from all that it reads: a table that mixed old and new
# would differ from one that was made from scratch. NOISE makes the same job write other bytes.
TOY = """
import hashlib
import os

from tesserae.lineage import manifest as manifests
from tesserae.lineage.work import Work

VERSION = 1


def run(work: Work):
    found = [content(folder, work.spec.get("draw")) for folder in work.inputs.values()]
    text = hashlib.sha256("".join([str(VERSION), repr(work.spec), *found]).encode()).hexdigest()
    for name in {outputs!r}:
        (work.out / name).write_text(text + os.environ.get("NOISE", ""))
    return {{"version": VERSION}}


def content(folder, draw):
    if PARTS:
        return manifests.read(folder)["fingerprint"]
    only = ONLY.get(folder.parent.name) or ONLY.get((draw, folder.parent.name))
    return "".join((folder / name).read_text() for name in sorted(os.listdir(folder))
                   if (name in only if only else
                       name != "manifest.json" and not name.startswith(".") and not name.endswith(".log")))


# What the plan lets a stage read of another one's files, if not all: the runner refuses more.
ONLY = {only!r}
PARTS = "{stage}" in ("notebook", "lineage", "page", "report")  # these read parts of their inputs

if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("{stage}")
"""


def toy(stage: str) -> str:
    """The text of a toy that stands for a stage."""
    only = {
        "table": {name: (told.numbers,) for name, told in STAGES.items() if told.numbers},
        "claims": {name: (told.numbers,) for name, told in STAGES.items() if told.numbers},
        "figure": {(draw, told.stage): told.files for draw, kind in KINDS.items() for told in kind.roles.values()},
    }.get(stage, {name: files for name, files in STAGES[stage].reads.items() if files})
    return TOY.format(stage=stage, outputs=STAGES[stage].files, only=only)


@dataclass
class Toys(Copy):
    """A project whose stages are toys: the real plan, runner and workflow over jobs that take no time."""

    store: str = NO_STORE
    target = "results/smoke/figure/detok_reconstructions/figure.png"

    def tesserae(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return self.python(
            "-m", "tesserae.cli.main", "--scale", "smoke", *arguments, **{"TESSERAE_WARM": "off"} | environment
        )

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        settings = [*arguments, "--config", "scale=smoke"] if "--config" not in arguments else arguments
        return self.python("-m", "snakemake", self.target, *settings, **{"TESSERAE_WARM": "off"} | environment)

    def make(self, job: str, **environment: str) -> subprocess.CompletedProcess:
        return self.python("-m", "tesserae.workflow.runner", *job.split("/"), "--scale", "smoke", **environment)

    def start(self, *command: str, **environment: str) -> subprocess.Popen:
        """Start a Python module with arguments, in a session of its own, as a terminal does."""
        environment = {
            **os.environ,
            **{"PYTHONPATH": str(self.root / "src"), "MLFLOW_TRACKING_URI": self.store, "TESSERAE_WARM": "off"},
            **environment,
        }
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            **{"cwd": self.root, "env": environment, "start_new_session": True},
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True},
        )

    def gate(self, stage: str) -> None:
        """Let jobs of a stage wait, once begun, until `open`; each adds a line to the file `began`."""
        self.insert(
            stage,
            "open(work.root / 'began', 'a').write(f'{os.getpid()}\\n'); "
            "[__import__('time').sleep(0.05) for _ in iter(lambda: (work.root / 'gate').exists(), True)]",
        )

    def open(self) -> None:
        (self.root / "gate").touch()

    def began(self) -> list[int]:
        """The processes that came to a gate."""
        file = self.root / "began"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def manifest(self, job: str) -> dict:
        return json.loads((self.root / "results/smoke" / job / "manifest.json").read_text())

    def made(self) -> str:
        return (self.root / self.target).read_text()

    def version(self, stage: str, number: int) -> None:
        file = self.root / f"src/tesserae/stages/{stage}.py"
        file.write_text(re.sub(r"(?m)^VERSION = .*$", f"VERSION = {number}", file.read_text()))

    def copied(self, root: Path) -> "Toys":
        """The project with all that was made in it, in another folder: for a test that goes on from there."""
        shutil.copytree(self.root, root, symlinks=True, dirs_exist_ok=True)
        found = Toys(root)
        found.target = self.target
        return found

    def insert(self, stage: str, line: str) -> None:
        self.edit(f"src/tesserae/stages/{stage}.py", "    found = [", f"    {line}\n    found = [")


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return toys_in(tmp_path)


def toys_in(root: Path) -> Toys:
    """Write a project of toys into a folder."""
    copy = copy_in(root)
    for name in ("workflow", "profiles", "Snakefile"):
        (root / name).symlink_to(ROOT / name)
    rows = "".join(
        f"      {row}\n" for row in ["sd_vae: SD-VAE", "mar_vae: MAR-VAE", "va_vae: VA-VAE", "maetok: MAETok"]
    )
    copy.edit("config/papers/detok.yaml", rows, "")  # of `target`: what is left has a fine-tuned tokenizer as well
    for stage in STAGES:
        (root / f"src/tesserae/stages/{stage}.py").write_text(toy(stage))
    (root / EQUIVALENTS).write_text("equivalents: []\n")  # what was reviewed of the real ones says nothing of toys
    return Toys(root)


def cut_to_one_row(project: Copy) -> None:
    """Leave one paper, one row of its first table, without the numbers of samples without guidance, and its figures."""
    project.edit("config/config.yaml", "papers: [detok, concepttok, tatok, comit, comptok]", "papers: [detok]")
    file = project.root / "config/papers/detok.yaml"
    paper = yaml.safe_load(file.read_text(encoding="utf-8"))
    paper["tables"] = {"table_1": paper["tables"]["table_1"]}
    for kind in ("tables", "figures"):
        for shown in paper[kind].values():
            shown["rows"] = {name: title for name, title in shown["rows"].items() if name.endswith(ROW)}
        paper[kind] = {name: shown for name, shown in paper[kind].items() if shown["rows"]}
    columns = paper["tables"]["table_1"]["columns"]
    paper["tables"]["table_1"]["columns"] = {name: told for name, told in columns.items() if "w/o CFG" not in name}
    paper["front"] = {"table": "table_1", "figure": next(iter(paper["figures"]))}
    file.write_text(yaml.safe_dump(paper, sort_keys=False), encoding="utf-8")
