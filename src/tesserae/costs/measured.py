"""What a scale without GPUs costs: seconds that jobs took here, carried over to jobs that have not run yet.

A job's work is counted in units: FLOP where stages.py counts them (all precisions alike), else what grows with them. A
job takes what it took if it was made with these settings; otherwise, with

    seconds = constant + units x (seconds per unit)

with the least sum of absolute relative errors over the measured jobs: one slow job among many changes nothing. Without
a range of units there is no constant, and seconds per unit are a median.
"""

import heapq
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from tesserae.config.stages import STAGES
from tesserae.costs import simulate
from tesserae.costs.assumed import LIGHT, PER_NODE, STARTED
from tesserae.costs.calibration import Rates
from tesserae.costs.counts import count
from tesserae.costs.describe import SELF
from tesserae.costs.forecast import HOUR
from tesserae.costs.gpus import GPU
from tesserae.costs.networks import FOUNDED
from tesserae.costs.stages import Task, need
from tesserae.lineage import manifest as manifests

COUNTED = Rates(GPU(1.0, 1.0, 1.0, 1.0, 1.0, "one FLOP/s"), 0.0, 1.0, 0.0)  # seconds of it are FLOP
RANGE = 3.0  # largest units / smallest units from which on a constant can be told from the rest
FAR = 3.0  # times the largest measured job: beyond it a prediction is named ...
SMALL = 0.01  # ... unless all such of a stage take less of the whole
ASSUMED = "assumed"  # where costs/assumed.py says how long a job takes
OTHERS = "other stages"  # where none of a stage's own jobs was measured
COUNTS = 1e6  # FLOP from which on a job's seconds tell how fast FLOP are
HEAVY = ("metrics",)  # light beside a GPU, not on a CPU: never assumed
IMAGES = ("train_images", "val_images")
TRAINED = 3  # forward and backward, in forwards
LEAST = 1.0  # units of a job of which nothing is counted: a control by chance, components of patches


class Unmeasured(ValueError):
    """No measured job says how long some job takes."""


@dataclass(frozen=True, eq=False)
class Timed:
    """A job that has run: on a CPU, in one go, beside as many others as there are cores."""

    scale: str
    task: Task
    units: float
    seconds: float
    started: float  # of the clock
    ended: float


class Prediction(NamedTuple):
    """Seconds of a job, and what says so: measured jobs of a scale, of the job's own system or of all."""

    seconds: float
    scale: str
    jobs: int
    same_system: bool
    reach: float  # units / those of the largest measured job


# ---- work -------------------------------------------------------------------------------------------------------


def system(task: Task) -> str:
    """What decides a job's seconds per unit beside its stage: whose networks it runs."""
    spec = task.spec
    if _light(task):
        return ""
    if "official" in spec:
        return "published weights"
    named = spec.get("modules", {}).get("generator"), *(spec.get(key) for key in ("module", "tokenizer", "encoder"))
    return next(filter(None, named), "")


def _light(task: Task) -> bool:
    return task.stage in LIGHT or task.stage == SELF


def _measures(task: Task) -> bool:
    """Whether a job runs networks that are trained already: such a stage takes FLOP, and little of the whole."""
    return not (_light(task) or STAGES[task.stage].trains or task.stage == "dataset" or "official" in task.spec)


def units(task: Task) -> float:
    """A job's work: FLOP, images of a data set, published weights 1, artifacts read by what takes little.

    The training of VA-VAE and MAETok asks a frozen network that is not counted: three times the FLOP of encoding and
    decoding its images stand for it. LookupError, TypeError or ValueError for a spec that this code does not know.
    """
    spec = task.spec
    if _light(task):
        return max(1.0, len(task.producers))
    if "official" in spec:
        return 1.0
    if task.stage == "tokenizer" and spec["module"].rsplit(".", 1)[-1] in FOUNDED:
        used = count("coding", spec["module"], model=spec["model"], batch=spec["training"]["batch"])
        passes = TRAINED * spec["training"]["batch"] * spec["training"]["steps"]
        return passes * (COUNTED.seconds(used["encode"]) + COUNTED.seconds(used["decode"]))
    return need(task, COUNTED).seconds - STARTED or LEAST


# ---- what was measured ------------------------------------------------------------------------------------------


def read(root: Path) -> tuple[list[Timed], list[str]]:
    """Measured jobs of all scales in `root`/results, and why others do not count: `artifact of scale: reason`."""
    found, left_out = [], []
    for folder in sorted((root / "results").glob("[!.]*/")):
        tasks: dict[str, Task] = {}
        for name, record in manifests.collect(root, folder.name).items():
            spec, stage = record["spec"], record["stage"]
            if stage == "dataset":
                spec = spec | {key: record["metrics"][key] for key in IMAGES}
            request = {"threads": 1, "processes": record["hardware"].get("processes", 1)}
            tasks[name] = task = Task(name, spec, tuple(tasks[p] for p in record["inputs"] if p in tasks), request)
            try:
                started, ended = (datetime.fromisoformat(record[key]).timestamp() for key in ("started", "ended"))
                if record["hardware"]["gpu"]:
                    raise ValueError("it ran on a GPU")
                found.append(Timed(folder.name, task, units(task), record["seconds"], started, ended))
            except (LookupError, TypeError, ValueError) as error:  # made by another version of this code
                left_out.append(f"{name} of {folder.name}: {type(error).__name__} {error}")
    return found, left_out


class Known:
    """Measured jobs, and what they say of others."""

    def __init__(self, timed: Iterable[Timed]):
        self.timed = list(timed)
        self._groups: dict[tuple[str, str, str | None], list[Timed]] = defaultdict(list)
        self._by_id = {(one.scale, one.task.id): one for one in self.timed}
        self._lines: dict[tuple[str, str, str | None], tuple[float, float]] = {}
        spent: dict[str, float] = defaultdict(float)
        for one in self.timed:
            spent[one.scale] += one.seconds
            for key in (system(one.task), None):
                self._groups[one.scale, one.task.stage, key].append(one)
        self._scales = sorted(spent, key=lambda scale: -spent[scale])  # what took longest tells most

    def predict(self, task: Task, scale: str, work: float, without: Timed | None = None) -> Prediction:
        """Seconds of a job with `work` units at a scale: from jobs of its stage and system, of this scale if any ran,
        else of another one; else from all of its stage. `without` one of the measured; Unmeasured if none is left."""
        scales = sorted(self._scales, key=lambda name: name != scale)
        for whose in (system(task), None):
            for name in scales:
                key = name, task.stage, whose
                some = [one for one in self._groups.get(key, ()) if one is not without]
                largest = max((one.units for one in some), default=0.0)
                if some and not largest <= LEAST < work:  # jobs of which nothing is counted say nothing of counted work
                    if without is not None:
                        constant, rate = line(some)
                    else:
                        constant, rate = self._lines[key] = self._lines.get(key) or line(some)
                    return Prediction(constant + rate * work, name, len(some), whose is not None, work / largest)
        raise Unmeasured(task.id)

    def stand_in(self, task: Task, work: float) -> Prediction | None:
        """Seconds of a job of whose stage nothing was measured: assumed of what takes little; of one that measures,
        what other such stages take for a FLOP. None where nothing stands in.
        """
        if _light(task) and task.stage not in HEAVY:
            return Prediction(LIGHT.get(task.stage, STARTED), ASSUMED, 0, True, 1.0)
        rates = [one.seconds / one.units for one in self.timed if _measures(one.task) and one.units > COUNTS]
        if not rates or not _measures(task):
            return None
        return Prediction(median(rates) * work, OTHERS, len(rates), True, 1.0)

    def same(self, task: Task, scale: str) -> Timed | None:
        """This very job, if it ran with the settings it has now."""
        one = self._by_id.get((scale, task.id))
        return one if one and one.task.spec == task.spec else None

    def between(self, scale: str) -> float:
        """Seconds that a core waits from the end of a job to the next one: the median of the scale, else of all."""
        gaps: dict[str, list[float]] = {name: [] for name in self._scales}
        free: dict[str, list[float]] = {name: [] for name in self._scales}
        for one in sorted(self.timed, key=lambda one: one.started):
            ends = free[one.scale]
            if ends and ends[0] <= one.started:
                gaps[one.scale].append(one.started - heapq.heappop(ends))
            heapq.heappush(ends, one.ended)
        known = gaps.get(scale) or [gap for some in gaps.values() for gap in some]
        return median(known) if known else 0.0

    def check(self, timed: Iterable[Timed]) -> list[tuple[Timed, float]]:
        """Measured jobs with what all others say of them; not those that no other one speaks for."""
        found = []
        for one in timed:
            try:
                found.append((one, self.predict(one.task, one.scale, one.units, without=one).seconds))
            except Unmeasured:
                continue
        return found


def line(some: list[Timed]) -> tuple[float, float]:
    """Constant and seconds per unit with the least sum of absolute relative errors; neither is negative."""
    work, seconds = (np.array([getattr(one, key) for one in some]) for key in ("units", "seconds"))
    proportional = (0.0, median(seconds / work))
    distinct = sorted(set(work))
    if len(some) < 3 or distinct[-1] < RANGE * distinct[0]:
        return proportional
    points = [(unit, median(seconds[work == unit])) for unit in distinct]
    through = [
        (s - u * (t - s) / (v - u), (t - s) / (v - u)) for i, (u, s) in enumerate(points) for v, t in points[i + 1 :]
    ]
    lines = [proportional, *(each for each in through if each[0] >= 0 and each[1] > 0)]
    return min(lines, key=lambda each: np.abs((each[0] + each[1] * work) / seconds - 1).sum())


# ---- a scale ----------------------------------------------------------------------------------------------------


def forecast(
    jobs: Mapping[str, Any], requests: Mapping[str, Any], *, scale: str, cores: int, timed: Iterable[Timed]
) -> dict[str, Any]:
    """What `jobs` (by id, producers first, as workflow.graph makes them) cost on so many cores, as plain data.

    requests: stage -> its Resources. Unmeasured, with what to run first, if no measured job speaks for some; DoesNotFit
    for a job of more cores.
    """
    known = Known(timed)
    tasks, found, made = _predicted(jobs, requests, scale, known)
    between = known.between(scale)
    loads = {
        task.id: simulate.Load(
            found[task.id].seconds + between, tuple(p.id for p in task.producers), threads=task.request["threads"]
        )
        for task in tasks
    }
    slots = simulate.schedule(loads, gpus=0, per_node=PER_NODE, threads=cores)
    path = simulate.critical_path(loads)
    by_stage: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        by_stage[task.stage].append(task)
    used = {prediction.scale for prediction in found.values()}
    checked = known.check(one for one in known.timed if one.scale in used)
    elsewhere = Known(one for one in known.timed if one.scale != scale)
    total = sum(load.seconds * load.threads for load in loads.values())
    stages = [_stage(name, some, found, loads, made, checked, total) for name, some in by_stage.items()]
    return {
        "scale": scale,
        "cores": cores,
        "stages": stages,
        "total": {
            "jobs": len(tasks),
            "made": len(made),
            "cpu_hours": total / HOUR,
            "made_hours": sum(loads[name].seconds * loads[name].threads for name in made) / HOUR,
            "wall_hours": max(slot.end for slot in slots.values()) / HOUR,
            "critical_hours": sum(loads[name].seconds for name in path) / HOUR,
        },
        "critical_path": [{"job": name, "hours": loads[name].seconds / HOUR} for name in path],
        "between": between,
        "check": errors(checked),
        "across": errors(elsewhere.check(one for one in known.timed if one.scale == scale)),
        "warnings": _warnings(by_stage, found, scale),
    }


def hours_of(
    jobs: Mapping[str, Any], requests: Mapping[str, Any], *, scale: str, timed: Iterable[Timed]
) -> dict[str, float]:
    """CPU-hours of each of `jobs`, 0 of those that are made; arguments and errors as `forecast`."""
    known = Known(timed)
    tasks, found, made = _predicted(jobs, requests, scale, known)
    between = known.between(scale)
    return {
        task.id: 0.0 if task.id in made else (found[task.id].seconds + between) * task.request["threads"] / HOUR
        for task in tasks
    }


def _predicted(
    jobs: Mapping[str, Any], requests: Mapping[str, Any], scale: str, known: Known
) -> tuple[list[Task], dict[str, Prediction], set[str]]:
    """Jobs as tasks, what each takes, and which are made; Unmeasured as `forecast`."""
    tasks = _tasks(jobs, requests, known, scale)
    found: dict[str, Prediction] = {}
    made: set[str] = set()
    missing: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for task in tasks:
        same = known.same(task, scale)
        if same:
            made.add(task.id)
            found[task.id] = Prediction(same.seconds, scale, 1, True, 1.0)
            continue
        work = units(task)
        try:
            predicted = known.predict(task, scale, work)
        except Unmeasured:
            predicted = known.stand_in(task, work)
        if predicted is None:
            missing[task.stage].append((work, task.id))
        else:
            found[task.id] = predicted
    if missing:
        first = [min(some)[1] for some in missing.values()]
        raise Unmeasured(
            f"{scale} asks for no GPU, so its times follow from jobs that ran on a CPU, of any scale in results/; none "
            f"of {', '.join(missing)} did: {_advice(scale, first)}"
        )
    return tasks, found, made


def _tasks(jobs: Mapping[str, Any], requests: Mapping[str, Any], known: Known, scale: str) -> list[Task]:
    """Jobs as tasks, with specs as manifests have them. A data set that is drawn has the images it had when made."""
    tasks: dict[str, Task] = {}
    datasets = {_content(one.task.spec): one.task.spec for one in known.timed if one.task.stage == "dataset"}
    for name, job in jobs.items():
        wanted, spec = requests[job.stage], json.loads(json.dumps(job.spec))
        if job.stage == "dataset":
            known_spec = datasets.get(_content(spec), {}) | spec
            if "train_images" not in known_spec and "counts" not in known_spec:
                raise Unmeasured(f"how many images {name} has is not known before it is made; {_advice(scale, [name])}")
            spec |= {key: known_spec[key] for key in IMAGES if key in known_spec}
        resources = {"threads": wanted.threads * wanted.per_node * wanted.nodes, "processes": wanted.world}
        producers = (tasks[producer] for producer in dict.fromkeys(job.inputs.values()))
        tasks[name] = Task(name, spec, tuple(producers), resources)
    return list(tasks.values())


def _content(spec: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in spec.items() if key not in (*IMAGES, "image_size")}, sort_keys=True)


def _advice(scale: str, names: list[str]) -> str:
    return f"make it first: `tesserae --scale {scale} reproduce {' '.join(names)}`"


def _stage(
    name: str,
    tasks: list[Task],
    found: Mapping[str, Prediction],
    loads: Mapping[str, simulate.Load],
    made: set[str],
    checked: list[tuple[Timed, float]],
    total: float,
) -> dict[str, Any]:
    """A line of the table. basis: whose jobs speak for how many of the stage, and the fewest and most that do."""
    seconds = sum(loads[task.id].seconds * loads[task.id].threads for task in tasks)
    basis: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for task in tasks:
        if task.id not in made:
            basis[found[task.id].scale, found[task.id].same_system].append(found[task.id].jobs)
    return {
        "stage": name,
        "jobs": len(tasks),
        "made": sum(task.id in made for task in tasks),
        "cpu_hours": seconds / HOUR,
        "fraction": seconds / total,
        "longest_hours": max(loads[task.id].seconds for task in tasks) / HOUR,
        "basis": [
            {"scale": scale, "same_system": same, "jobs": len(said), "measured": [min(said), max(said)]}
            for (scale, same), said in basis.items()
        ],
        "check": errors([pair for pair in checked if pair[0].task.stage == name]),
    }


def errors(checked: list[tuple[Timed, float]]) -> dict[str, float] | None:
    """How far predictions are off: median and 90 % of |predicted / measured - 1|, and the ratio of the sums."""
    if not checked:
        return None
    measured, predicted = (np.array([one.seconds for one, _ in checked]), np.array([each for _, each in checked]))
    middle, most = np.quantile(np.abs(predicted / measured - 1), (0.5, 0.9))
    return {
        "jobs": len(checked),
        "median": float(middle),
        "most": float(most),
        "sum": float(predicted.sum() / measured.sum()),
    }


def _warnings(by_stage: Mapping[str, list[Task]], found: Mapping[str, Prediction], scale: str) -> list[str]:
    """Stages that take long and lie far beyond what was measured, and stages that other systems speak for."""
    warnings, unlike, far, first, never = [], [], [], [], []
    whole = sum(one.seconds for one in found.values())
    for name, tasks in by_stage.items():
        beyond: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            if found[task.id].reach > FAR:
                beyond[system(task)].append(task)
        spent = {key: sum(found[task.id].seconds for task in some) for key, some in beyond.items()}
        if sum(spent.values()) > SMALL * whole:
            most = beyond[max(spent, key=lambda key: spent[key])]
            far.append(
                f"{name} up to {max(found[task.id].reach for some in beyond.values() for task in some):.0f} times"
            )
            first.append(min(most, key=lambda task: found[task.id].seconds).id)
        if any(found[task.id].scale == OTHERS for task in tasks):
            never.append(name)
        others = sorted({system(task).rsplit(".", 1)[-1] for task in tasks if not found[task.id].same_system})
        if others:
            unlike.append(f"{name} of {', '.join(others)}")
    if unlike:
        warnings.append(f"not measured, so that other systems speak for them (*): {'; '.join(unlike)}")
    if never:
        warnings.append(
            f"no job of these stages was measured, so that what others take for a FLOP speaks: {', '.join(never)}"
        )
    if far:
        warnings.append(
            f"far beyond the largest measured job: {', '.join(far)}. For a better forecast {_advice(scale, first)}"
        )
    return warnings
