"""A run takes what the machine has, says so, and leaves the last word to the user."""

import os
import subprocess
import sys

import pytest

from tesserae.config.types import Resources
from tesserae.workflow import machine
from tesserae.workflow.room import room
from tests.conftest import ROOT

SMALL, LARGE = [Resources(threads=1, mem_mb=3000)], [Resources(threads=8, mem_mb=64000, gpus=1)]


@pytest.fixture
def laptop(monkeypatch):
    """A machine of 16 cores, 64 GB and no GPU."""
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    monkeypatch.setattr(machine, "cores", lambda: 16)
    monkeypatch.setattr(machine, "free_mb", lambda: 64_000)
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    return monkeypatch


def test_a_job_for_each_core(laptop):
    found = room((), SMALL, "auto")
    assert found.options == ("--cores", "16")
    assert found.line == "16 jobs at a time, on 16 cores; `--cores N` asks for another number"


@pytest.mark.parametrize("free, jobs", [(200, 1), (1_000, 1), (3_800, 4), (14_400, 16)])
def test_as_far_as_memory_allows(laptop, free, jobs):
    laptop.setattr(machine, "free_mb", lambda: free)
    found = room((), SMALL, "auto")
    assert found.options == ("--cores", str(jobs))
    assert ("but memory has room for no more" in found.line) == (jobs < 16)


def test_jobs_that_find_a_gpu_are_two(laptop):
    laptop.setattr(machine, "has_gpu", lambda: True)
    found = room((), SMALL, "auto")
    assert found.options == ("--cores", "2") and "16 cores, but they share a GPU" in found.line
    assert room((), SMALL, "cpu").options == ("--cores", "16")


def test_stages_that_ask_for_a_gpu_take_turns(laptop):
    assert room((), LARGE, "auto").options == ("--cores", "16", "--resources", "gpu=1")
    assert room(("--resources", "gpu=4"), LARGE, "auto").options == ("--cores", "16")


@pytest.mark.parametrize(
    "arguments, options",
    [
        (("-c3",), ("--cores", "3")),
        (("detok_table_1", "--cores", "4"), ("--cores", "4")),
        (("--jobs", "5"), ()),
        (("--workflow-profile", "workflow/profiles/slurm"), ()),
        (("--executor", "slurm"), ()),
        (("--dry-run", "detok_table_1"), ("--cores", "16")),
    ],
)
def test_the_users_word_counts(laptop, arguments, options):
    assert room(arguments, SMALL, "auto").options == options


@pytest.mark.parametrize("named", ["arguments", "environment"])
def test_a_profile_of_the_user_counts(laptop, tmp_path, named):
    (tmp_path / "config.yaml").write_text("cores: 7\n")
    if named == "environment":
        laptop.setenv("SNAKEMAKE_PROFILE", str(tmp_path))
    arguments = ("--profile", str(tmp_path)) if named == "arguments" else ()
    assert room(arguments, SMALL, "auto").options == ("--cores", "7")


def test_the_default_profile_leaves_no_core_idle():
    """Plain `snakemake`, too."""
    assert "\ncores: all " in (ROOT / "workflow/profiles/default/config.yaml").read_text()


# ---- the machine ------------------------------------------------------------------------------------------------


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups as files: `groups({path: content}, membership)`."""

    def lay(files: dict[str, str], membership: str) -> None:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        (tmp_path / "membership").write_text(membership)

    monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64_000_000_000}))
    lay({}, "0::/\n")
    return lay


def test_without_limits_all_cores_that_the_process_is_bound_to(groups):
    assert machine.cores() == 16 and machine.free_mb() == 64_000


def test_limits_of_any_group_above_count(groups):
    groups(
        {
            "cpu.max": "max 100000\n",
            "user/cpu.max": "350000 100000\n",
            "user/session/cpu.max": "800000 100000\n",
            "user/memory.max": "8000000000\n",
            "user/memory.current": "6000000000\n",
            "user/memory.stat": "anon 1\ninactive_file 1000000000\n",
            "user/session/memory.max": "max\n",
            "user/session/memory.current": "5000000000\n",
        },
        "0::/user/session\n",
    )
    assert machine.cores() == 3 and machine.free_mb() == 3_000


def test_limits_of_the_first_version_in_a_container(groups):
    groups(
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": "2000000000\n",
            "memory/memory.usage_in_bytes": "500000000\n",
            "memory/memory.stat": "inactive_file 7\ntotal_inactive_file 250000000\n",
        },
        "9:name=systemd:/\n5:memory:/docker/0123\n2:cpu,cpuacct:/docker/0123\n",  # as the host calls them
    )
    assert machine.cores() == 1 and machine.free_mb() == 1_750


def test_a_group_without_a_limit(groups):
    groups(
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n", "memory/memory.max": "max\n"},
        "1:cpu:/\n4:memory:/\n",
    )
    assert machine.cores() == 16 and machine.free_mb() == 64_000


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are bound to cores on Linux alone")
def test_this_machine():
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
    code += "from tesserae.workflow import machine; print(machine.cores(), machine.free_mb())"
    cores, free = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert cores == "1" and int(free) > 0


@pytest.mark.parametrize("visible, has", [(None, True), ("0", True), ("", False), ("-1", False)])
def test_a_gpu_counts_if_cuda_would_find_it(tmp_path, monkeypatch, visible, has):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: Toy (UUID: GPU-0)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.has_gpu() == has
    tool.write_text("#!/bin/sh\necho 'No devices were found' >&2; exit 6\n")
    assert not machine.has_gpu()


def test_a_job_keeps_its_threads_on_fewer_cores(toys):
    toys.edit("config/scales/smoke.yaml", "default: {threads: 1,", "default: {threads: 3,")
    toys.insert("dataset", "print('threads:', os.environ['OMP_NUM_THREADS'])")
    toys.target = "results/smoke/dataset/emoji_few-32/index.json"
    done = toys.snakemake("--cores", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "threads: 3\n" in (toys.root / "results/smoke/dataset/emoji_few-32/stage.log").read_text()
