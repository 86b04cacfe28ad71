"""A run of the workflow: how our plan, records and lock get into Snakemake's main process.

Snakemake locks a folder with files that outlive it when it is killed, and then refuses to run until it is told to
unlock. Here the lock is one that dies with its holder (locks.py), one for each scale: whoever has it knows that locks
of Snakemake's that are still there were left behind.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tesserae.workflow import locks, records
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import ArtifactStatus

RUN = "TESSERAE_RUN"  # environment of a run's jobs: the process that started them, as `of_job` reads it


class Running(Exception):
    """Another run of the same scale is under way, or may be."""


def lock_file(root: Path, scale: str) -> Path:
    """The lock of a scale's run in a project folder."""
    return root / ".tesserae" / f"run-{scale}.lock"


def verify_none(root: Path, scale: str) -> None:
    """Raise Running if a run of the scale is under way, or may be."""
    file = lock_file(root, scale)
    holder = locks.holder_of(file)
    if holder or ((left := locks.read(file)) and not left.here):
        raise Running(_who(holder or left, scale))


@contextlib.contextmanager
def alone(root: Path, scale: str) -> Iterator[locks.Holder | None]:
    """Be the only run of a scale; yields who was killed while it was that, if anybody.

    Raises Running if there is another one, or if one of another host did not end in an orderly way.
    """
    file, us = lock_file(root, scale), locks.this_process(command=" ".join(sys.argv))
    left = locks.read(file)
    if left and not left.here:
        raise Running(_who(left, scale))
    try:
        with locks.holding(file, us) as before:
            yield before
    except locks.Occupied as occupied:
        raise Running(_who(occupied.holder, scale)) from None


def forget(root: Path, scale: str) -> None:
    """Take away the lock of a run that was killed, wherever it ran; raises Running if it is known to be under way."""
    file = lock_file(root, scale)
    if holder := locks.holder_of(file):
        raise Running(_who(holder, scale))
    file.unlink(missing_ok=True)


def of_job() -> dict[str, Any] | None:
    """The run that started this process, for the lock of what it makes; None if it was started by hand."""
    host, _, rest = os.environ.get(RUN, "").partition("|")
    pid, _, started = rest.partition("|")
    return {"host": host, "pid": int(pid), "started": started, "since": ""} if started else None


def orphan(holder: locks.Holder) -> bool:
    """Whether a job of this host was started by a run that is gone."""
    run = holder.about.get("run")
    return holder.here and run is not None and run["host"] == holder.host and not locks.Holder(**run).runs


def _who(holder: locks.Holder | None, scale: str) -> str:
    if holder is None:
        return f"another run at scale {scale} is under way; it does not say where"
    command = f" ({holder.about['command']})" if "command" in holder.about else ""
    if holder.here:
        return (
            f"a run at scale {scale} is under way: {holder}{command}. Wait until it ends, or stop it: kill {holder.pid}"
        )
    return (
        f"a run at scale {scale} is under way on another host, or was killed there: {holder}{command}. Look there; "
        f"if it is gone: `tesserae --scale {scale} reproduce --unlock`"
    )


def take_part(workflow: Any, plan: Plan, statuses: dict[str, ArtifactStatus]) -> None:
    """In the Snakefile of the main process: Snakemake goes by our records and our lock from here on."""
    from snakemake.exceptions import WorkflowError

    prepare, found = workflow._prepare_dag, records.records(plan, statuses)

    def _prepare_dag(*arguments: Any, **named: Any) -> None:
        prepare(*arguments, **named)
        persistence = workflow.persistence
        records.introduce(persistence, workflow.dag, found)
        root, clean_up = Path(persistence.path).parent, persistence.cleanup_locks

        def cleanup_locks() -> None:
            try:
                forget(root, plan.scale)
            except Running as running:
                raise WorkflowError(str(running)) from None
            clean_up()

        persistence.cleanup_locks = cleanup_locks
        if "lock" not in vars(persistence):  # else Snakemake was told not to lock, or only looks
            persistence.lock = _locking(persistence, persistence.lock, root, plan.scale, clean_up)

    workflow._prepare_dag = _prepare_dag


def _locking(persistence: Any, lock: Any, root: Path, scale: str, clean_up: Any) -> Any:
    """Snakemake's own lock inside of ours."""
    from snakemake.exceptions import WorkflowError
    from snakemake.logging import logger

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                left = stack.enter_context(alone(root, scale))
            except Running as running:
                raise WorkflowError(str(running)) from None
            if persistence.locked:
                logger.warning(f"Taking away the lock of a run that was killed{f': {left}' if left else ''}")
                clean_up()
            Path(persistence.path, "locks").mkdir(exist_ok=True)  # Snakemake takes the folder away with its locks
            us = asdict(locks.this_process())
            os.environ[RUN] = f"{us['host']}|{us['pid']}|{us['started']}"
            stack.enter_context(lock())
            yield

    return locked
