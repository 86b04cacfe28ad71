"""The scale test: the workflow of a paper on a real SLURM of many emulated nodes, with jobs that die and a node that
disappears. It ends complete, with each artifact made exactly once, or says what is wrong and exits with 1.

    python benchmarks/cluster.py [--jobs 300] [--nodes 8] [--failures 0.02] [--seed 0]

Plan, runner, Snakefile and profile are the project's own; the stages are toys that sleep (tests/slurm/toys.py). The
plan gets more recipes until it has so many jobs; `--jobs 1885` is the size of all papers. The nodes exist in name
only: all jobs microbatch this machine's cores (`--queue` bounds how many at once), and each starts Snakemake twice.
Needs what tests/slurm/cluster.py needs.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from planning import PER_ROW, project  # noqa: E402
from tests.slurm import toys  # noqa: E402
from tests.slurm.cluster import Cluster, Unavailable, running  # noqa: E402
from tests.slurm.conftest import SNAKEMAKE  # noqa: E402

# With --profile, profiles/default would still hold, and its `cores: all` cap the threads of every job.
PROFILE = ("--workflow-profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "2")
NUMBERS = ("number", "table")  # kinds of findings that toys cannot avoid: they measure nothing
FEWEST = 100  # asked for so many jobs, planning.project adds no rows
TRAININGS = ("tokenizer", "generator")


@dataclass
class Outcome:
    """What happened, and what is wrong with it (`faults`, in words)."""

    wanted: list[str]
    fates: dict[str, str]
    journal: list[dict]
    began: float
    ended: float
    busy: float  # microbatch of this machine's cores that somebody used meanwhile
    log: str  # Snakemake's
    jobs: list[dict]  # SLURM's own record of each job, also of each requeued start
    faults: list[str] = field(default_factory=list)


class Trial:
    """A project of toy stages at scale `scale` in `folder`, about `jobs` jobs of its plan, and their fates."""

    def __init__(self, folder: Path, jobs: int, scale: str, failures: float, seed: int, seconds: dict[str, float]):
        from tesserae.workflow.plan import read_plan  # here only for the graph: identities are of the copy's code

        self.root, self.notes, self.scale = folder / "project", folder / "notes", scale
        self.random = random.Random(seed)
        project(self.root, FEWEST + PER_ROW * rows(jobs, scale))
        site = self.root / "config/cluster.yaml"
        site.write_text(
            re.sub("(?m)^backoff_minutes: 1 ", "backoff_minutes: 0 ", site.read_text(encoding="utf-8")),
            encoding="utf-8",
        )
        for file in (self.root / "src/tesserae/stages").glob("*.py"):
            if "import hashlib" in (text := file.read_text(encoding="utf-8")) and "VERSION = 1" in text:
                file.write_text(toys.arm(text), encoding="utf-8")
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{self.root}/src:{ROOT}",
            "TESSERAE_WARM": "off",
            "MLFLOW_TRACKING_URI": "",
            toys.FOLDER: str(self.notes),
        }
        plan = read_plan(self.root, scale)
        chosen = choose(plan, jobs)
        self.wanted = plan.demanded(*chosen)
        self.targets = [str(plan.outputs(plan.jobs[name])[0]) for name in chosen]
        self.inputs = {name: list(plan.jobs[name].inputs.values()) for name in self.wanted}
        self.manifests = {name: self.root / plan.folder(name) / "manifest.json" for name in self.wanted}
        dying = self.random.sample(self.wanted, max(1, round(failures * len(self.wanted))) if failures else 0)
        self.fates = {name: ("exit", "kill")[k % 2] for k, name in enumerate(dying)}
        toys.prepare(self.notes, seconds, self.fates)
        self.landed: dict[str, set[str]] = {}  # artifact -> when the stages of its manifests began
        self._seen: dict[str, int] = {}

    def run(self, cluster: Cluster, queue: int, eager: bool = False) -> Outcome:
        """The workflow from nothing to its end; a node that is at work disappears once half is made.

        `queue`: at most so many jobs in it. `eager`: Snakemake looks after its jobs every second, not with the
        executor's pauses, which grow.
        """
        log, lose = self.root.parent / "snakemake.log", True
        command = self._snakemake()
        if eager:
            command[1:3] = ["-c", SNAKEMAKE]
        began, before = time.time(), _cores()
        with open(log, "w", encoding="utf-8") as out:
            snakemake = subprocess.Popen(
                [*command, *PROFILE, "--jobs", str(queue)],
                cwd=self.root,
                env=self.environment | {"SLURM_CONF": cluster.environment["SLURM_CONF"]},
                stdout=out,
                stderr=out,
            )
            try:
                while snakemake.poll() is None:
                    self._look()
                    lose = lose and not (len(self.landed) * 2 >= len(self.wanted) and self._lose(cluster))
                    time.sleep(0.3)
            finally:
                snakemake.kill()
                snakemake.wait()
        self._look()
        after = _cores()
        outcome = Outcome(
            self.wanted,
            self.fates,
            toys.read(self.notes),
            began,
            time.time(),
            (after[0] - before[0]) / (after[1] - before[1]),
            log.read_text(encoding="utf-8"),
            _slurms_record(cluster.folder / "ended.txt"),
        )
        outcome.faults = toys.faults(outcome.journal, self.wanted, {name: len(d) for name, d in self.landed.items()})
        outcome.faults += [f"Snakemake ended with {snakemake.returncode}"] if snakemake.returncode else []
        outcome.faults += ["no node was lost: the run was over too soon"] if lose else []
        return outcome

    def check(self) -> list[str]:
        """What is wrong with the artifacts: identities that are not as planned, findings of the audit, work left."""
        said = []
        code = (
            "import json, sys; from pathlib import Path; from tesserae.workflow.plan import read_plan; "
            "plan = read_plan(Path.cwd(), sys.argv[1]); "
            "print(json.dumps({name: plan.fingerprint(job) for name, job in plan.jobs.items()}))"
        )
        planned = json.loads(self._python("-c", code, self.scale).stdout)
        for name, file in self.manifests.items():
            if not file.exists() or json.loads(file.read_text(encoding="utf-8"))["fingerprint"] != planned[name]:
                said.append(f"{name} is not what was planned")
        audit = self._python("-m", "tesserae.cli.main", "--scale", self.scale, "audit", "--json")
        said += [f"audit: {audit.stderr}"] if not audit.stdout else []
        for finding in json.loads(audit.stdout or '{"findings": []}')["findings"]:
            if finding["kind"] not in NUMBERS:
                said.append(f"audit: {finding['path']}: {finding['what']}")
        again = self._python(*self._snakemake()[1:], "-n")
        said += [] if "Nothing to be done" in again.stdout + again.stderr else [f"work is left: {again.stdout[-1000:]}"]
        return said

    def _look(self) -> None:
        for name, file in self.manifests.items():
            try:
                inode = file.stat().st_ino  # a manifest is renamed into place: each is a file of its own
                if self._seen.get(name) != inode:
                    self.landed.setdefault(name, set()).add(json.loads(file.read_text(encoding="utf-8"))["started"])
                    self._seen[name] = inode
            except FileNotFoundError:
                continue

    def _lose(self, cluster: Cluster) -> bool:
        found = toys.makings(toys.read(self.notes)).values()
        busy = sorted({start["node"] for mine in found for *_, how, start in mine if how == "open"})
        if not busy:
            return False
        node = self.random.choice(busy)
        cluster.lose(node)
        toys.note(self.notes, "lost", "", node=node)
        return True

    def _snakemake(self) -> list[str]:
        return [sys.executable, "-m", "snakemake", *self.targets, "--config", f"scale={self.scale}"]

    def _python(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, encoding="utf-8", errors="replace"
        )


def rows(jobs: int, scale: str) -> int:
    """How many tokenizers, each with two generators, the project's plan may have more without exceeding `jobs`."""
    from tesserae.workflow.plan import read_plan

    plan = read_plan(ROOT, scale)
    trained = plan.project.tokenizers | plan.project.generators
    each = sum(job.recipe.split("-")[0] in trained for job in plan.jobs.values()) / len(plan.project.tokenizers)
    return max(0, int((jobs - len(plan.jobs)) / each))


def choose(plan, jobs: int) -> list[str]:
    """Artifacts that together need at most `jobs` jobs: the report if that is all, else the deepest that fit."""
    if len(plan.demanded()) <= jobs:
        return ["report/index"]
    chosen: list[str] = []
    needed: set[str] = set()
    for name in reversed(plan.jobs):
        if name not in needed and len(more := needed.union(plan.demanded(name))) <= jobs:
            chosen, needed = [*chosen, name], more
    return chosen


def phases(outcome: Outcome, inputs: dict[str, list[str]]) -> dict[str, list[float]]:
    """Seconds of each job that made an artifact, by where they went; the words in the order of a job's life."""
    slurm = {job["JobId"]: job for job in outcome.jobs if job["JobState"] == "COMPLETED"}
    noticed, last, of = {}, outcome.began, {}
    for line in outcome.log.splitlines():
        if stamp := re.match(r"\[(\w{3} \w{3} +\d+ [\d:]{8} \d{4})\]", line):
            last = datetime.strptime(stamp[1], "%a %b %d %H:%M:%S %Y").timestamp()
        elif told := re.match(r"Job (\d+) has been submitted with SLURM jobid (\d+)", line):
            of[told[1]] = told[2]
        elif told := re.match(r"Finished jobid: (\d+)", line):
            noticed[of.get(told[1])] = last
    made = {
        name: making for name, mine in toys.makings(outcome.journal).items() for making in mine if making[2] == "end"
    }
    found: dict[str, list[float]] = {}
    for name, (start, end, _, line) in made.items():
        if (job := slurm.get(line["job"])) is None:
            continue
        runner, step = line["began"][0], next(one for one in line["began"] if "slurmstepd" in one[0])
        ready = max((noticed.get(made[producer][3]["job"], 0.0) for producer in inputs[name]), default=outcome.began)
        seconds = {
            "until it is submitted": job["SubmitTime"] - ready,
            "in the queue": job["StartTime"] - job["SubmitTime"],
            "Snakemake starts in the job": step[1] - job["StartTime"],
            "Snakemake starts in the step": runner[1] - step[1],
            "the runner starts": start - runner[1],
            "asleep": end - start,
            "landing, and two Snakemakes end": job["EndTime"] - end,
            "until Snakemake notices": noticed.get(line["job"], job["EndTime"]) - job["EndTime"],
        }
        for word, taken in seconds.items():
            found.setdefault(word, []).append(taken)
    return found


def report(outcome: Outcome, trial: Trial, cluster: Cluster) -> str:
    """The numbers of a run as Markdown."""
    journal, wall = outcome.journal, outcome.ended - outcome.began
    submitted = sorted({job["JobId"]: job["SubmitTime"] for job in outcome.jobs}.values())
    minutes = [sum(one <= other < one + 60 for other in submitted) for one in submitted]
    deaths = [line["fate"] for line in journal if line["event"] == "death"]
    made = toys.makings(journal)
    lost = [name for name, mine in made.items() if any(how == "lost" for *_, how, _ in mine)]
    spans = phases(outcome, trial.inputs)
    total = sum(map(sum, spans.values()))
    cpu = [line["began"][0][2] for line in journal if line["event"] == "start"]
    inner = [one[2] for line in journal if line["event"] == "start" for one in line["began"] if "snakemake" in one[0]]
    rows = [
        f"| {word} | {statistics.median(s):.1f} | {max(s):.1f} | {sum(s) / total:.0%} |" for word, s in spans.items()
    ]
    taken = sum(int(job["ProcCnt"]) * (job["EndTime"] - job["StartTime"]) for job in outcome.jobs if job["NodeList"])
    owned = cluster.cpus * len(cluster.nodes) * wall
    controller = [
        " ".join(line.split())
        for line in cluster.run("sdiag").splitlines()
        if "SUBMIT_BATCH_JOB" in line or "Mean cycle" in line or "Max cycle" in line
    ]
    return "\n".join(
        [
            f"{len(outcome.wanted)} artifacts in {len(submitted)} SLURM jobs on {len(cluster.nodes)} nodes: "
            f"{wall / 60:.1f} min, {wall / len(outcome.wanted):.1f} s per artifact",
            f"the cluster's cores were allocated {taken / owned:.0%} of the time, idle the rest",
            f"submissions: {60 * len(submitted) / wall:.1f} per minute, at most {max(minutes)} in one",
            f"injected: {deaths.count('exit')} jobs that fail, {deaths.count('kill')} that are killed, "
            f"{sum(line['event'] == 'lost' for line in journal)} node lost with {len(lost)} jobs; "
            f"SLURM's ends: {_counts(job['JobState'] for job in outcome.jobs)}",
            f"this machine's {os.cpu_count()} cores were busy {outcome.busy:.0%} of the time (with all who use it); "
            f"CPU seconds before a stage: runner {statistics.median(cpu):.1f}, "
            f"Snakemake in the step {statistics.median(inner):.1f}",
            f"controller: {'; '.join(controller)}",
            "",
            "| seconds of a job | median | most | microbatch |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )


def _counts(words) -> str:
    words = list(words)
    return ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))


def _slurms_record(file: Path) -> list[dict]:
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        job = dict(part.split("=", 1) for part in line.split() if "=" in part)
        for key in ("SubmitTime", "StartTime", "EndTime"):
            known = job[key] not in ("Unknown", "None")
            job[key] = datetime.fromisoformat(job[key]).timestamp() if known else float("nan")
        found.append(job)
    return found


def _cores() -> tuple[int, int]:
    """Clock ticks of this machine so far: used, and all."""
    ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("jobs", 300), ("nodes", 8), ("gpus", 8), ("cpus", 64), ("queue", 24), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--failures", type=float, default=0.02, help="microbatch of jobs that die once (default: 0.02)")
    parser.add_argument("--seconds", type=float, default=2.0, help="a stage sleeps so long, a training three times")
    parser.add_argument("--eager", action="store_true", help="look after jobs every second, not ever more rarely")
    parser.add_argument("--folder", type=Path, help="keep everything in this new folder")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="cluster-"))
    seconds = {"default": arguments.seconds} | dict.fromkeys(TRAININGS, 3 * arguments.seconds)
    trial = Trial(folder.resolve(), arguments.jobs, "paper", arguments.failures, arguments.seed, seconds)
    print(f"{len(trial.wanted)} artifacts, {len(trial.fates)} of whose first makings die; in {folder}", flush=True)
    try:
        with running(
            folder.resolve() / "slurm", arguments.cpus, memory=1_000_000, nodes=arguments.nodes, gpus=arguments.gpus
        ) as cluster:
            outcome = trial.run(cluster, arguments.queue, arguments.eager)
            print(report(outcome, trial, cluster))
    except Unavailable as error:
        sys.exit(f"no SLURM: {error}")
    faults = outcome.faults + trial.check()
    again = [how for made in toys.makings(outcome.journal).values() for *_, how, _ in made].count("undone")
    print("\n".join(faults) or "every artifact was made exactly once, is as planned, and the audit is clean")
    print(f"made again, because their node was lost after they had ended and before SLURM knew: {again}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
