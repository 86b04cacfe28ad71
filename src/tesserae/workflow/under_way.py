"""A run under way: what its events come to, how far its jobs are, how long it will still take."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from types import MappingProxyType
from typing import Any, NamedTuple

from tesserae.config.stages import STAGES
from tesserae.costs.simulate import DoesNotFit, Load, schedule
from tesserae.workflow.plan import Plan

TAIL = 4096  # bytes at the end of a log in which its last progress bar is looked for
TIMES, COLUMNS = Path("docs/timing.md"), 5  # of its first table, as `tesserae times` writes it
TOLD = 0.02  # of a training: from there on its own bar says how long it takes, and before, the last one did
_BAR = re.compile(rb"(\d{1,3})%\|[^|\r\n]*\| [^\r\n]*?\[([\d:]+)<([\d:]+|\?)")
_ENDS = re.compile(rb"[\r\n]")


class Bar(NamedTuple):
    """The last progress bar (tqdm's) in a log."""

    fraction: float
    left: float | None  # seconds, as the bar has it


class Left(NamedTuple):
    """How long a run will still take: seconds of what is known, and how many jobs nothing is known of."""

    seconds: float
    unknown: int


@dataclass
class Running:
    """A job that was started, or submitted, and has not ended."""

    since: float  # time.time()
    log: Path | None


@dataclass
class UnderWay:
    """A run, as far as its events tell. `root`: of the project."""

    root: Path
    jobs: list[str] | None = None  # what it makes; None: not known yet
    remote: bool = False  # its jobs are submitted, and may wait in a queue
    room: int = 1  # jobs, or cores, at a time
    running: dict[str, Running] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)  # seconds each took
    failed: dict[str, Path | None] = field(default_factory=dict)  # logs; of those whose last try failed
    ended: float | None = None

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in an event (workflow/events.py). Jobs that are no artifacts, such as `all`, do not count."""
        job, at = event.get("job"), event["at"]
        if event["event"] == "begun":
            self.jobs, self.remote, self.room = event["jobs"], event["remote"], event["room"] or 1
        elif self.jobs is None or job not in self.jobs:
            return
        elif event["event"] == "started":
            self.failed.pop(job, None)  # tried again
            self.running[job] = Running(at, self.root / event["log"][0] if event["log"] else None)
        elif event["event"] == "finished" and job in self.running:
            self.done[job] = at - self.running.pop(job).since
        elif event["event"] == "failed" and job in self.running:
            self.failed[job] = self.running.pop(job).log

    def waits(self, job: str) -> bool:
        """Whether a submitted job has not begun: its log is not of this try."""
        return self.remote and _written(self.running[job]) is None

    def bar(self, job: str) -> Bar | None:
        """How far a running job is, as its log has it; None where that says nothing."""
        running = self.running[job]
        return bar_of(running.log) if _written(running) is not None else None

    def left(
        self,
        plan: Plan,
        known: Callable[[str], float | None],
        elsewhere: Mapping[str, float] = MappingProxyType({}),
        now: float | None = None,
    ) -> Left | None:
        """How long what is not done still takes; None before it is known what that is, or of how long nothing is.

        known: seconds of an artifact. Where it is silent, what other jobs of its stage took in this run counts; else
        what the stage took `elsewhere`, at the pace that this run has so far, compared with that.
        """
        if self.jobs is None:
            return None
        now = time.time() if now is None else now
        todo = [name for name in self.jobs if name not in self.done and name not in self.failed]
        took: dict[str, list[float]] = {}
        for name, seconds in self.done.items():
            took.setdefault(name.split("/")[0], []).append(seconds)
        compared = [(mean(times), elsewhere[stage]) for stage, times in took.items() if stage in elsewhere]
        pace = sum(here for here, _ in compared) / sum(there for _, there in compared) if compared else 1.0
        loads, unknown = {}, 0
        for name in todo:
            stage = name.split("/")[0]
            seconds = known(name)
            if seconds is None and stage in took:
                seconds = mean(took[stage])
            elif seconds is None and stage in elsewhere:
                seconds = pace * elsewhere[stage]
            if name in self.running:
                seconds = self._rest(name, seconds, now)
            unknown += seconds is None
            cores = 1 if self.remote else min(plan.threads(stage), self.room)
            before = {producer for producer in plan.jobs[name].inputs.values() if producer in todo}
            loads[name] = Load(seconds or 0.0, () if name in self.running else tuple(before), threads=cores)
        if todo and unknown == len(todo):
            return None
        try:
            slots = schedule(loads, gpus=0, per_node=1, threads=self.room)
        except DoesNotFit:
            return None
        return Left(max((slot.end for slot in slots.values()), default=0.0), unknown)

    def _rest(self, name: str, seconds: float | None, now: float) -> float | None:
        """Seconds that a running job still takes, given what it takes in all."""
        if self.waits(name):
            return seconds
        bar = self.bar(name) if STAGES[name.split("/")[0]].trains or seconds is None else None
        if bar and bar.left is not None and bar.fraction >= TOLD:
            return bar.left
        return None if seconds is None else max(0.0, seconds - (now - self.running[name].since))


def taken_elsewhere(root: Path, scale: str) -> dict[str, float]:
    """Mean seconds of each stage's jobs at a scale as docs/timing.md has them; empty where it is about another one."""
    try:
        lines = (root / TIMES).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    if not lines or not lines[0].startswith("#") or f"`{scale}`" not in lines[0]:
        return {}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {
        stage: max(float(seconds), 0.1) / int(jobs)
        for stage, jobs, _, seconds, *_ in (row for row in rows if len(row) == COLUMNS)
        if stage in STAGES
    }


def bar_of(log: Path) -> Bar | None:
    """The last progress bar in a log; None without one."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL))
            tail = file.read()
    except OSError:
        return None
    for line in reversed(_ENDS.split(tail)):
        if found := _BAR.search(line):
            percent, _, left = found.groups()
            return Bar(min(int(percent), 100) / 100, None if left == b"?" else _seconds(left))
    return None


def _seconds(clock: bytes) -> float:
    """1:02:03 or 02:03 in seconds."""
    found = 0
    for part in clock.split(b":"):
        found = 60 * found + int(part or 0)
    return float(found)


def _written(running: Running) -> float | None:
    """When a job's log was last written; None if that was before it started."""
    try:
        written = running.log.stat().st_mtime if running.log else None
    except OSError:
        return None
    return written if written is not None and written >= running.since - 1.0 else None
