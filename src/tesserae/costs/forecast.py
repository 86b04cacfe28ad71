"""What a described plan costs: hours, memory, disk, a schedule, and what to be warned of."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tesserae.config.stages import STAGES
from tesserae.costs import simulate
from tesserae.costs.assumed import CORES, PER_NODE, sentences
from tesserae.costs.calibration import as_json, calibrate, published_hours
from tesserae.costs.gpus import REFERENCE, gpu
from tesserae.costs.stages import Need, Task, check_gpus, need
from tesserae.words import size

DOMINATES = 0.6  # fraction of all GPU-hours from which a stage is named
HOUR = 3600


def forecast(described: Mapping[str, Any], published: Path, free_disk: int | None = None) -> dict[str, Any]:
    """Costs of `described` (see describe.py) as plain data, calibrated on the hours in the file `published`.

    ValueError for an unknown GPU, for a job that does not fit on the GPUs there are, and for a stage whose cost is not
    known. `free_disk`, in bytes, is compared with what the results take.
    """
    card = gpu(described["gpu"])
    tasks = _tasks(described)
    check_gpus(tasks)
    rates, checks = calibrate(described["anchors"], published_hours(published))
    rates = rates.on(card)
    needs = {task.id: need(task, rates) for task in tasks}
    loads = {
        task.id: simulate.Load(
            needs[task.id].seconds,
            tuple(producer.id for producer in task.producers),
            task.request["nodes"],
            task.request["gpus"],
            task.request["threads"],
        )
        for task in tasks
    }
    slots = simulate.schedule(loads, gpus=described["gpus"], per_node=PER_NODE, threads=CORES)
    path = simulate.critical_path(loads)
    peak_disk = _peak_disk(needs, slots)
    total = sum(map(_gpu_hours, tasks, [needs[task.id] for task in tasks]))
    stages = [_stage(name, [task for task in tasks if task.stage == name], needs, total) for name in _stages(tasks)]
    return {
        "scale": described["scale"],
        "gpu": described["gpu"],
        "gpus": described["gpus"],
        "stages": stages,
        "total": {
            "jobs": len(tasks),
            "gpu_hours": total,
            "cpu_hours": sum(stage["cpu_hours"] for stage in stages),
            "wall_hours": max(slot.end for slot in slots.values()) / HOUR,
            "critical_hours": sum(needs[name].seconds for name in path) / HOUR,
            "memory": max(found.memory for found in needs.values()),
            "disk": sum(found.disk for found in needs.values()),
            "peak_disk": peak_disk,
        },
        "critical_path": [{"job": name, "hours": needs[name].seconds / HOUR} for name in path],
        "warnings": _warnings(tasks, needs, slots, stages, card.memory, peak_disk, free_disk),
        "calibration": {
            "anchors": as_json(checks),
            "overhead": rates.overhead,
            "efficiency": rates.efficiency,
            "adversarial": rates.adversarial,
            "reference": REFERENCE,
        },
        "hardware": {"source": card.source, "memory": card.memory, "attained": card.attained},
        "assumptions": sentences(described["gpu"]),
        "schedule": [[name, slot.start / HOUR, slot.end / HOUR, list(slot.gpus)] for name, slot in slots.items()],
    }


def hours_of(described: Mapping[str, Any], published: Path) -> dict[str, float]:
    """GPU-hours of each job of `described`, of those without a GPU 0; errors as `forecast`."""
    tasks = _tasks(described)
    rates, _ = calibrate(described["anchors"], published_hours(published))
    rates = rates.on(gpu(described["gpu"]))
    return {task.id: _gpu_hours(task, need(task, rates)) for task in tasks}


def _tasks(described: Mapping[str, Any]) -> list[Task]:
    tasks: list[Task] = []
    for name, spec, producers in described["jobs"]:
        request = described["resources"][name.split("/")[0]]
        tasks.append(Task(name, described["specs"][spec], tuple(tasks[i] for i in producers), request))
    return tasks


def _stages(tasks: list[Task]) -> list[str]:
    return list(dict.fromkeys(task.stage for task in tasks))


def _gpu_hours(task: Task, found: Need) -> float:
    return found.seconds * task.request["nodes"] * task.request["gpus"] / HOUR


def _stage(name: str, tasks: list[Task], needs: Mapping[str, Need], total: float) -> dict[str, Any]:
    found = [needs[task.id] for task in tasks]
    hours = sum(map(_gpu_hours, tasks, found))
    on_cpu = sum(
        n.seconds * t.request["threads"] / HOUR for t, n in zip(tasks, found, strict=True) if not t.request["gpus"]
    )
    return {
        "stage": name,
        "jobs": len(tasks),
        "gpus": tasks[0].request["nodes"] * tasks[0].request["gpus"],
        "gpu_hours": hours,
        "fraction": hours / total if total else 0.0,
        "cpu_hours": on_cpu,
        "longest_hours": max(n.seconds for n in found) / HOUR,
        "memory": max(n.memory for n in found),
        "disk": sum(n.disk for n in found),
    }


def _peak_disk(needs: Mapping[str, Need], slots: Mapping[str, simulate.Slot]) -> float:
    """The most bytes at one time: outputs stay from a job's start on, checkpoints go at its end."""
    changes = [(slot.start, needs[name].disk + needs[name].state) for name, slot in slots.items()]
    changes += [(slot.end, -needs[name].state) for name, slot in slots.items()]
    most = now = 0.0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def _warnings(
    tasks: list[Task],
    needs: Mapping[str, Need],
    slots: Mapping[str, simulate.Slot],
    stages: list[dict[str, Any]],
    memory: float,
    disk: float,
    free: int | None,
) -> list[str]:
    found = []
    hours = max(slot.end for slot in slots.values())
    longest = max(tasks, key=lambda task: needs[task.id].seconds)
    if needs[longest.id].seconds > DOMINATES * hours and len(tasks) > 1:
        found.append(
            f"{longest.id} alone runs for {needs[longest.id].seconds / hours:.0%} of the wall time: give its stage "
            f"more GPUs or nodes before more GPUs to the whole"
        )
    if free is not None and disk > free:
        found.append(f"disk: the results need {size(round(disk))} at one time, {size(free)} are free")
    for stage in stages:
        if stage["fraction"] > DOMINATES and len(stages) > 1:
            found.append(f"{stage['stage']} takes {stage['fraction']:.0%} of all GPU-hours: save there first")
        if stage["memory"] > memory:
            found.append(
                f"{stage['stage']} needs {size(round(stage['memory']))} of a GPU that has {size(round(memory))}: "
                f"more micro-batches or a smaller batch"
            )
    for name in _stages(tasks):
        some = [task for task in tasks if task.stage == name]
        limit = 60 * some[0].request["minutes"]
        longest = max(some, key=lambda task: needs[task.id].seconds)
        segments = math.ceil(needs[longest.id].seconds / limit)
        over = sum(needs[task.id].seconds > limit for task in some)
        if over:
            what = (
                f"are requeued and go on, {longest.id} in {segments} segments"
                if STAGES[name].resumes
                else f"are killed and can never end, {longest.id} first: raise it, or scatter the stage"
            )
            found.append(f"{name}: {over} of {len(some)} jobs exceed their limit of {limit // 60} minutes and {what}")
    return found
