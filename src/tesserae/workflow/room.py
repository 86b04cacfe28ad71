"""How many jobs `tesserae reproduce` lets run at a time: as many as the machine has cores, memory and GPUs for.

Numbers do not depend on it: a job has the threads that its scale says, however many run beside it.
"""

import os
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tesserae.config.types import Resources
from tesserae.words import size
from tesserae.workflow import machine

JOB_MB = 900  # a job of a small scale: 720 MB at most (docs/timing.md), and its share of what runs beside
ON_ONE_GPU = 2  # jobs that do not say how much of a GPU's memory they take


class Room(NamedTuple):
    """Options for Snakemake, and what they come to, in a line for the user; both empty where the user decides."""

    options: tuple[str, ...]
    line: str


def room(arguments: Sequence[str], resources: Iterable[Resources], device: str) -> Room:
    """What to tell Snakemake of this machine.

    Args: `arguments`, the user's own for Snakemake, which win; `resources`, what the scale's stages ask for; `device`,
    of the configuration: auto, cpu or cuda.
    """
    given = _given(arguments)
    if given.workflow_profile or given.jobs or given.executor not in (None, "local"):
        return Room((), "")
    if given.cores:  # also from a profile of the user: the project's own one would have the last word otherwise
        return Room(("--cores", str(given.cores)), "")
    cores, free = machine.cores(), machine.free_mb()
    if any(request.gpus for request in resources):  # each says what it needs; all find the same first GPU
        one = () if given.resources else ("--resources", "gpu=1")
        return Room(
            ("--cores", str(cores), *one),
            f"Jobs share {_counted(cores, 'core')}; one at a time has the GPU; `--cores N` asks for another number",
        )
    limits = {f"memory has room for no more ({size(free * 1_000_000)} free)": max(1, free // JOB_MB)}
    if device != "cpu" and machine.has_gpu():
        limits["they share a GPU"] = ON_ONE_GPU
    least = min(limits, key=limits.__getitem__)
    jobs = min(cores, limits[least])
    of = f", on {_counted(cores, 'core')}" if jobs == cores else f": {_counted(cores, 'core')}, but {least}"
    return Room(("--cores", str(jobs)), f"{_counted(jobs, 'job')} at a time{of}; `--cores N` asks for another number")


def _given(arguments: Sequence[str]) -> Namespace:
    """What a user's arguments say, and the profile that they or SNAKEMAKE_PROFILE name."""
    if only_targets(arguments) and "SNAKEMAKE_PROFILE" not in os.environ:
        return Namespace(workflow_profile=None, jobs=None, executor=None, cores=None, resources=None)
    from snakemake.cli import get_argument_parser  # a second, which most runs need not wait

    given, _ = get_argument_parser().parse_known_args(list(arguments))
    if given.profile and given.profile != ["none"]:
        given, _ = get_argument_parser(profiles=given.profile).parse_known_args(list(arguments))
    return given


def only_targets(arguments: Sequence[str]) -> bool:
    """Whether a user's arguments for Snakemake hold no option: its parser, a second to import, would say no more."""
    return not any(one.startswith("-") for one in arguments)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
