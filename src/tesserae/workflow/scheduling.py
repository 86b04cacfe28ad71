"""What a job asks of a scheduler: the scale's resources and the site's names, as Snakemake's SLURM executor takes them.

A job of one process is an ordinary job: the executor starts it by `srun -n1`. A job of several processes is what the
executor calls an MPI job: it is started once, by the batch script, and starts its processes itself (processes.py).
Locally only cores and memory count.
"""

from collections.abc import Callable
from typing import Any

from tesserae.config.stages import STAGES
from tesserae.config.types import Cluster, Resources

Resource = int | str | Callable[..., int | str]


def resources(request: Resources, stage: str, site: Cluster) -> dict[str, Resource]:
    """Snakemake's resources of a stage; those that nobody set are left out."""
    kind = "gpu" if request.gpus else "cpu"
    found: dict[str, Any] = {
        "mem_mb": request.mem_mb,
        "runtime": request.runtime if STAGES[stage].resumes else _longer(request.runtime),
        "cpus_per_task": request.threads,
        "nodes": request.nodes,  # without it SLURM may give the GPUs of two nodes
        "slurm_partition": getattr(site.partition, kind),
        "slurm_account": site.account,
        "qos": site.qos,
        "constraint": getattr(site.constraint, kind),
        "slurm_extra": _options(request, stage, site),
    }
    if request.world == 1:
        found["gpu"] = request.gpus or None
    else:
        found["mpi"] = "srun"
        # The executor takes no tasks_per_node of 1; and of `tasks` it would make tasks for each GPU.
        found |= (
            {"tasks_per_node": request.per_node}
            if request.per_node > 1
            else {"tasks": request.world, "tasks_per_gpu": 0}
        )
        found["gres"] = f"gpu:{request.gpus}" if request.gpus else None  # of each node, where `gpu` would be of the job
    return {name: value for name, value in found.items() if value is not None}


def _longer(minutes: int) -> Callable[..., int]:
    # What cannot go on from a checkpoint would meet the same limit again.
    return lambda wildcards, attempt: minutes * attempt


def _options(request: Resources, stage: str, site: Cluster) -> Callable[..., str]:
    """Options of sbatch for one try of a job."""

    def options(wildcards: Any, attempt: int) -> str:
        found = ["--open-mode=append"]  # a job that was queued again adds to its log
        if STAGES[stage].resumes:  # it keeps what it did, and listens to the warning
            # Never in the first three quarters of its time: it has to get somewhere before it is stopped.
            found.append(f"--signal=USR1@{min(60 * site.warn_minutes, 15 * request.runtime)}")
        if STAGES[stage].alone:
            found.append("--exclusive")
        if attempt > 1 and site.backoff_minutes:
            found.append(f"--begin=now+{round(60 * site.backoff_minutes * 2 ** (attempt - 2))}")
        return " ".join([*found, *site.sbatch])  # the site has the last word

    return options
