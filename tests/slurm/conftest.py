"""A project of toys on a real SLURM: submit it, hold its jobs at a gate, do something to them, look at what lands."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tesserae.config.stages import STAGES
from tesserae.lineage import manifest as manifests
from tesserae.workflow import events
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT
from tests.slurm.cluster import Cluster, Unavailable, running
from tests.waiting import until
from tests.workflow.conftest import Toys, toy

# Snakemake's command line, except that it looks after its jobs every second. The executor's own pauses grow by ten
# seconds each time that nothing ended: right for a cluster, long for a toy.
SNAKEMAKE = """
import asyncio
from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor


async def sleep(self):
    await asyncio.sleep(1)


Executor.sleep = sleep
main()
"""

# Lines for a stage: say that the job began, and wait until the test opens the gate.
GATE = """import os, pathlib, time
    with open(work.root / ".tesserae/began", "a") as began:
        began.write(f"{work.stage} {os.environ['SLURM_JOB_ID']}\\n")
    while not (work.root / ".tesserae/open").exists():
        time.sleep(0.05)"""


def fresh(root: Path) -> Toys:
    """A project whose configuration and package may be edited, with its real stages."""
    for name in ("src", "config"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("data", "notebooks", "workflow", "profiles", "Snakefile"):
        (root / name).symlink_to(ROOT / name)
    return Toys(root)


def fresh_toys(root: Path) -> Toys:
    """The same with stages that take no time."""
    project = fresh(root)
    for stage in STAGES:
        (root / f"src/tesserae/stages/{stage}.py").write_text(toy(stage))
    return project


@contextmanager
def started(folder: Path, **asked) -> Iterator[Cluster]:
    """A cluster; where none can be started, the tests that need it are skipped with the reason."""
    try:
        with running(folder, **asked) as cluster:
            yield cluster
    except Unavailable as error:
        pytest.skip(str(error))


class Run:
    """One run of Snakemake with the SLURM profile, in the background."""

    def __init__(self, project: Toys, cluster: Cluster, arguments: tuple[str, ...]):
        self.cluster = cluster
        driver = project.root / "snakemake.py.txt"
        driver.write_text(SNAKEMAKE)
        self.file = project.root / f"run-{time.monotonic_ns()}.log"
        self.events = self.file.with_suffix(".events")
        self.events.touch()
        with open(self.file, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, driver, "--profile", "workflow/profiles/slurm", *arguments, "--config", "scale=smoke"],
                cwd=project.root,
                env={
                    **os.environ,
                    "PYTHONPATH": str(project.root / "src"),
                    "MLFLOW_TRACKING_URI": "",
                    "SLURM_CONF": cluster.environment["SLURM_CONF"],
                    events.VARIABLE: str(self.events),
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.file.read_text()

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait for a condition as long as Snakemake runs."""
        until(lambda: holds() or self.process.poll() is not None, lambda: f"{what}\n{self}")
        assert holds(), f"Snakemake ended, but not {what}\n{self}"

    def end(self) -> int:
        """Wait for Snakemake; returns its exit code."""
        until(lambda: self.process.poll() is not None, lambda: f"Snakemake has not ended\n{self}")
        return self.process.returncode

    def complete(self) -> None:
        assert self.end() == 0, str(self)

    def __str__(self) -> str:
        return f"{self.log[-6000:]}\n{self.cluster.run('squeue', '--states=all')}"

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.cluster.run("scancel", "--user=root")


class Site:
    """A project whose stages are toys, and the cluster that runs it."""

    def __init__(self, toys: Toys, cluster: Cluster | None):
        self.toys, self.root, self.cluster = toys, toys.root, cluster
        self.notes = self.root / ".tesserae"
        self.notes.mkdir()
        self.configure("backoff_minutes: 1 ", "backoff_minutes: 0 ")

    def configure(self, old: str, new: str) -> None:
        self.toys.edit("config/cluster.yaml", old, new)

    def resources(self, stage: str, asked: str) -> None:
        self.toys.edit("config/scales/smoke.yaml", "\nresources:\n", f"\nresources:\n  {stage}: {asked}\n")

    def made(self, *jobs: str) -> None:
        """Make artifacts here and now: what a test is not about."""
        for job in jobs:
            done = self.toys.make(job)
            assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *targets: str, options: tuple[str, ...] = ()) -> Run:
        """Ask Snakemake for artifacts."""
        files = [f"results/smoke/{target}/{STAGES[target.split('/')[0]].files[0]}" for target in targets]
        return Run(self.toys, self.cluster, (*files, *options))

    def gate(self, stage: str) -> None:
        """Hold the jobs of a stage until `open`."""
        self.toys.insert(stage, GATE)

    def open(self) -> None:
        (self.notes / "open").touch()

    def began(self) -> list[str]:
        """Ids of the SLURM jobs that came to a gate, in order; one that was queued again comes again."""
        file = self.notes / "began"
        return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []

    def state(self, job: str) -> str:
        return self.cluster.jobs().get(job, "forgotten")

    def job(self, job: str, field: str) -> str:
        """What the controller knows of a job, such as SubmitTime."""
        known = self.cluster.run("scontrol", "show", "job", job, "--oneliner").split()
        return dict(item.partition("=")[::2] for item in known)[field]

    def time(self, job: str, field: str) -> float:
        return datetime.fromisoformat(self.job(job, field)).timestamp()

    def jobs_of(self, artifact: str) -> list[str]:
        """Ids of the SLURM jobs that tried to make an artifact."""
        stage, recipe = artifact.split("/")
        lines = self.cluster.run("squeue", "--noheader", "--states=all", "--format=%i %Z %k").splitlines()
        wanted = [str(self.root), f"rule_{stage}_wildcards_smoke_{recipe}"]
        return [line.split()[0] for line in lines if line.split()[1:] == wanted]

    def restarts(self, artifact: str) -> int:
        """How often SLURM queued a job of the artifact again."""
        return sum(int(self.job(job, "Restarts")) for job in self.jobs_of(artifact))

    def verify(self, *artifacts: str) -> None:
        """Each is what an undisturbed run makes, agrees with its manifest, and nothing half-written lies beside."""
        jobs = open_plan(self.root, "smoke").jobs
        for name in artifacts:
            folder, record = self.root / "results/smoke" / name, manifests.read(self.root / "results/smoke" / name)
            for output, entry in zip(STAGES[name.split("/")[0]].files, record["outputs"], strict=True):
                assert (folder / output).read_text() == text(jobs, name)
                assert manifests.describe(folder / output, self.root) == entry
            assert not (self.root / "results/smoke/.state" / name).exists()
        assert not [*self.root.glob("results/smoke/*/.*.making-*")]

    def nothing_landed(self, artifact: str) -> None:
        folder = self.root / "results/smoke" / artifact
        assert not [path.name for path in folder.glob("*") if path.name != "stage.log"]
        assert not [*self.root.glob("results/smoke/*/.*.making-*")]

    def stage_log(self, artifact: str) -> str:
        return (self.root / "results/smoke" / artifact / "stage.log").read_text()

    def slurm_log(self, artifact: str, job: str) -> str:
        """What SLURM itself wrote about a job."""
        stage, recipe = artifact.split("/")
        return (self.notes / f"slurm/rule_{stage}/smoke_{recipe}/{job}.log").read_text()


def text(jobs: dict, name: str) -> str:
    """What a toy writes into each of its files (TOY in tests/workflow/conftest.py), worked out without running it."""
    job = jobs[name]
    read = [text(jobs, producer) * len(STAGES[producer.split("/")[0]].files) for producer in job.inputs.values()]
    return hashlib.sha256("".join(["1", repr(job.spec), *read]).encode()).hexdigest()


@pytest.fixture
def site(tmp_path: Path, cluster: Cluster) -> Site:
    return Site(fresh_toys(tmp_path), cluster)
