"""What Snakemake's SLURM executor lacks on a bad day, for the main process of a run.

The executor forgets every job when the controller does not answer five questions in a row, and then waits for them for
ever; interrupted while it asks, it cancels none of them; a job that outlived its Snakemake is started a second time.
tests/slurm/test_failures.py shows each. The executor's version stands in requirements.lock.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from snakemake_executor_plugin_slurm import Executor
from snakemake_executor_plugin_slurm_jobstep import Executor as Step
from snakemake_interface_common.exceptions import WorkflowError

MEANT = set('$`"\\%')  # what the executor's quotes, or sbatch in names of logs, would take for something else


def prepare(jobs: Iterable[Any]) -> None:
    """Called once, before the first of Snakemake's `jobs` is submitted.

    Raises WorkflowError if jobs of an earlier run are still at work on what this run would make, or if the executor
    cannot hand the project's folder to SLURM.
    """
    for path in (sys.executable, os.getcwd()):
        if found := sorted(MEANT.intersection(path)):
            raise WorkflowError(f"SLURM's executor cannot pass {' '.join(found)} in {path}: rename that folder")
    quote_interpreter()
    _refuse_twins({_comment(job) for job in jobs})
    for number in (signal.SIGTERM, signal.SIGHUP):  # a login node that goes down: cancel, do not wait for the jobs
        signal.signal(number, signal.default_int_handler)
    Executor.check_active_jobs = _patient(Executor.check_active_jobs)
    Executor.cancel_jobs = _cancel


def quote_interpreter() -> None:
    """Have a path with spaces reach the shell as one word: in what is submitted, and in what a SLURM job starts."""
    for executor in (Executor, Step):
        executor.get_python_executable = lambda self: shlex.quote(sys.executable)


def _patient(check: Any) -> Any:
    async def check_active_jobs(self: Executor, active_jobs: list) -> Any:
        answers = self._status_query_calls
        async for job in check(self, active_jobs):
            yield job
        if self._status_query_calls == answers:  # no answer, no news
            for job in active_jobs:
                yield job

    return check_active_jobs


def _cancel(self: Executor, active_jobs: list) -> None:
    self._job_submission_executor.shutdown(wait=True)  # what is being submitted has a number then
    subprocess.run(["scancel", "--name", self.run_uuid])  # every job of a run has its name


def _comment(job: Any) -> str:
    """What the executor writes beside a job in the queue."""
    return f"rule_{job.rule.name}_wildcards_{'_'.join(job.wildcards)}"


def _refuse_twins(wanted: set[str]) -> None:
    while twins := _queued(wanted):
        ending = [job for job, state in twins if state == "COMPLETING"]
        if len(ending) < len(twins):
            jobs = " ".join(job for job, _ in twins)
            raise WorkflowError(
                f"SLURM still has jobs of an earlier run for what this one would make: {jobs}. Wait until they ended, "
                f"or `scancel {jobs}`; then run again"
            )
        print(f"waiting for SLURM jobs of an earlier run to end: {' '.join(ending)}", file=sys.stderr)
        time.sleep(1)


def _queued(wanted: set[str]) -> list[tuple[str, str]]:
    """Id and state of this folder's jobs in the queue that make something `wanted`."""
    answer = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i|%T|%k|%Z"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
    )
    if answer.returncode:
        raise WorkflowError(f"cannot ask SLURM which jobs it has: squeue: {answer.stderr.strip()}")
    lines = [line.split("|", 3) for line in answer.stdout.splitlines()]
    return [(job, state) for job, state, comment, folder in lines if comment in wanted and folder == os.getcwd()]
