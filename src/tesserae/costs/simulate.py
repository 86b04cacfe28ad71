"""Jobs on a cluster of given size: list scheduling, the job with the longest way still before it first.

Snakemake's greedy scheduler takes any set of ready jobs that fits; critical-path priorities are what a user would give
it. Nodes are whole: a job of 8 GPUs needs 8 free ones on one node, so single-GPU jobs go where least is free.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One job: seconds, the jobs it waits for, and what it takes while it runs."""

    seconds: float
    after: tuple[str, ...] = ()
    nodes: int = 1
    gpus: int = 0  # of each node
    threads: int = 1  # of jobs without GPUs


@dataclass(frozen=True)
class Slot:
    """When a job ran and on which GPUs, numbered through the cluster."""

    start: float
    end: float
    gpus: tuple[int, ...] = ()


class DoesNotFit(ValueError):
    """A job asks for more than the whole cluster has."""


def critical_path(loads: Mapping[str, Load]) -> list[str]:
    """The chain of jobs that takes longest if nothing waits for resources, first job first."""
    waits = _longest_ways(loads)
    path: list[str] = []
    todo = [name for name, load in loads.items() if not load.after]
    while todo:
        path.append(max(todo, key=lambda name: waits[name]))
        todo = [name for name, load in loads.items() if path[-1] in load.after]
    return path


def _longest_ways(loads: Mapping[str, Load]) -> dict[str, float]:
    """Seconds from each job's start to the end of the last job that needs it. `loads` has producers first."""
    ways = {name: load.seconds for name, load in loads.items()}
    for name in reversed(list(loads)):
        for before in loads[name].after:
            ways[before] = max(ways[before], loads[before].seconds + ways[name])
    return ways


def schedule(loads: Mapping[str, Load], *, gpus: int, per_node: int, threads: int) -> dict[str, Slot]:
    """A slot for every job, on `gpus` GPUs in nodes of `per_node`, and `threads` cores for jobs without GPUs.

    `loads` has producers first. DoesNotFit names a job that can never run.
    """
    free = [list(range(first, min(first + per_node, gpus))) for first in range(0, gpus, per_node)]
    for name, load in loads.items():
        wide = sum(len(node) >= load.gpus for node in free)
        if load.gpus and wide < load.nodes:
            raise DoesNotFit(
                f"{name} asks for {load.nodes} x {load.gpus} GPUs, but {gpus} GPUs in nodes of {per_node} are {wide} "
                f"such nodes; plan with more GPUs, or change its resources in the scale's file"
            )
        if not load.gpus and load.threads > threads:
            raise DoesNotFit(f"{name} asks for {load.threads} cores of {threads}")
    ways = _longest_ways(loads)
    missing = {name: len(load.after) for name, load in loads.items()}
    consumers: dict[str, list[str]] = {name: [] for name in loads}
    for name, load in loads.items():
        for before in load.after:
            consumers[before].append(name)
    ready = sorted((name for name, count in missing.items() if not count), key=lambda name: -ways[name])
    running: list[tuple[float, int, str]] = []
    slots: dict[str, Slot] = {}
    now = 0.0
    while ready or running:
        waiting = []
        full: set[tuple[int, int]] = set()  # shapes that do not fit any more at this moment
        for name in ready:
            load = loads[name]
            shape = (load.nodes, load.gpus) if load.gpus else (0, load.threads)
            if shape in full or (not load.gpus and load.threads > threads):
                full.add(shape)
                waiting.append(name)
                continue
            taken = _take(free, load)
            if taken is None:
                full.add(shape)
                waiting.append(name)
                continue
            threads -= 0 if load.gpus else load.threads
            slots[name] = Slot(now, now + load.seconds, taken)
            heapq.heappush(running, (now + load.seconds, len(slots), name))
        ready = waiting
        now = running[0][0]
        while running and running[0][0] == now:
            _, _, name = heapq.heappop(running)
            for number in slots[name].gpus:
                free[number // per_node].append(number)
            threads += 0 if loads[name].gpus else loads[name].threads
            for consumer in consumers[name]:
                missing[consumer] -= 1
                if not missing[consumer]:
                    ready.append(consumer)
        ready.sort(key=lambda name: -ways[name])
    return slots


def _take(free: list[list[int]], load: Load) -> tuple[int, ...] | None:
    """GPUs for a job, from the nodes where least is free; None if it does not fit now."""
    if not load.gpus:
        return ()
    fitting = sorted((node for node in free if len(node) >= load.gpus), key=len)[: load.nodes]
    if len(fitting) < load.nodes:
        return None
    taken = []
    for node in fitting:
        node.sort()
        taken += node[: load.gpus]
        del node[: load.gpus]
    return tuple(taken)
