"""A project may lie in a folder of any name."""

import os
import shlex
import sys

import pytest
from snakemake.persistence.file import FilePersistence
from snakemake_executor_plugin_slurm import Executor
from snakemake_executor_plugin_slurm_jobstep import Executor as Step
from snakemake_interface_common.exceptions import WorkflowError

from tesserae.workflow import engine, slurm
from tests.workflow.conftest import Toys

# What a shell, Snakemake's own formatting of commands and its patterns, or a URL would take for something else.
NAMES = ["données ✓", 'it\'s $HOME `here`; "all" & {wildcards.recipe} {} {a} #1? 100%d*']


@pytest.fixture(params=NAMES, ids=["unicode", "shell"])
def named(request, toys) -> Toys:
    root = toys.root / request.param
    root.mkdir()
    for entry in [*toys.root.iterdir()]:
        if entry != root:
            os.rename(entry, root / entry.name)
    return Toys(root)


def test_jobs_run_in_a_folder_of_any_name(named):
    named.target = "results/smoke/reference/emoji_few-32/val.npz"
    done = named.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    assert named.manifest("reference/emoji_few-32")["inputs"].keys() == {"dataset/emoji_few-32"}


def test_locks_are_those_of_this_folder(tmp_path, monkeypatch):
    found = {}
    for name in ("b", "{a}"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        persistence = FilePersistence()
        found[name, "before"] = [*engine._read_locks(persistence)]
        persistence._write_locks("output", [f"of {name}", "another"])
        found[name, "after"] = [*engine._read_locks(persistence)]
    assert found == {
        (name, when): [("output", f"of {name}"), ("output", "another")] if when == "after" else []
        for name in ("b", "{a}")
        for when in ("before", "after")
    }


@pytest.mark.parametrize("executor", [Executor, Step])
def test_slurm_starts_an_interpreter_in_a_folder_with_spaces(monkeypatch, executor):
    monkeypatch.setattr(executor, "get_python_executable", executor.get_python_executable)  # put back at the end
    monkeypatch.setattr(sys, "executable", "/it's my place/bin/python")
    slurm.quote_interpreter()
    command = executor.get_python_executable(None) + " -m snakemake"
    assert shlex.split(command) == ["/it's my place/bin/python", "-m", "snakemake"]


@pytest.mark.parametrize("name", ["$HOME", 'a "b"', "100%d", "`c`"])
def test_a_folder_that_slurm_would_misread_is_refused_before_anything_is_submitted(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(WorkflowError, match="rename that folder"):
        slurm.prepare([])
