"""How fast a network learns: PSNR and rFID, or FID, against CPU seconds, as the papers train and as a scale does.

    python benchmarks/learning.py tokenizer/detok_sb_baseline [generator/sit_b_baseline ...] [--scale pocket]
                                  [--fractions 0.125 0.25 0.5 1] [--out folder]

after `make reproduce`, whose data set, reference and tokens it reads. "before" has AdamW for all parameters, first
weights as in the papers, heads that predict noises and the rates that the scales had then; "after" is the spec of the
scale. Each point is a training of its own, with its whole schedule, of that fraction of the scale's steps: half-way, a
longer one would not have come to rest. Seconds are those of one thread and of the training alone; a busy machine adds
to both alike. "control" is the closed-form control of the tokenizer, or of the generator's tokens (docs/controls.md).
Generators are measured at the first guidance that the scale searches, with the scale's `search_samples` x 4 images, as
is their control: more than a search, fewer than a table, so that FIDs compare within this benchmark alone.

Writes learning.csv and learning.png to `out`. Points that learning.csv has already stay as they are: a benchmark that
was stopped goes on, and several with the same `out` are drawn together.
"""

import argparse
import importlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import torch

from tesserae.lineage.work import Work
from tesserae.workflow.graph.controls import controls_of
from tesserae.workflow.graph.job import Job
from tesserae.workflow.plan import Plan, read_plan

BEFORE_LR = {"tokenizer": 4.0e-3, "generator": 1.5e-3}  # of AdamW at pocket, before there was Muon
BEFORE_LRS = {"concepttok": 1.0e-3, "maetok": 2.0e-3, "kl_vae": 1.0e-3, "va_vae": 1.0e-3, "llamagen_vq": 1.0e-3}
COLUMNS = ["job", "when", "steps", "seconds", "psnr", "fid"]


def training_of(job: Job, fraction: float, before: bool) -> dict[str, Any]:
    """The spec of a training that is a fraction as long."""
    spec = json.loads(json.dumps(job.spec))
    training = spec["training"]
    shorter = {key: round(fraction * training[key]) for key in ("steps", "warmup_steps")}
    training |= shorter | {"ema": 1 - (1 - training["ema"]) / fraction} if training["ema"] else shorter
    start = spec["model"].get("gan_start_step")
    if start is not None:
        spec["model"]["gan_start_step"] = round(fraction * start)
        training["starts"] = {group: round(fraction * at) for group, at in training.get("starts", {}).items()}
    if before:
        training.pop("muon", None)
        training.pop("first_weights", None)
        spec["model"].get("diffloss", {}).pop("prediction", None)  # heads predicted noises
        training["lr"] = BEFORE_LRS.get(spec["module"].rsplit(".", 1)[-1], BEFORE_LR[job.stage])
    return spec


class Folders:
    """Jobs of a plan run beside it, in a folder of their own."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder

    def run(self, job: Job, spec: dict[str, Any], name: str, others: dict[str, Path]) -> tuple[Path, float]:
        """Folder of what a stage wrote with this spec, and its CPU seconds; `others` replaces inputs."""
        out = self.folder / name / job.stage
        out.mkdir(parents=True)
        inputs = {role: self.plan.project.root / self.plan.folder(of) for role, of in job.inputs.items()} | others
        plain = {"sources": {}, "identity": name, "comments": (), "data_root": None, "device": "cpu"}
        state, root = self.folder / name / "state", self.plan.project.root
        work = Work(job.stage, job.recipe, spec, inputs, out=out, state=state, root=root, **plain)
        began = time.process_time()
        importlib.import_module(f"tesserae.stages.{job.stage}").run(work)
        return out, time.process_time() - began

    def control(self, measured: str, **changed: int) -> dict[str, float]:
        """Values of the closed-form control of the job `measured`, with a spec that is `changed`."""
        control = controls_of(self.plan.project, self.plan.jobs[measured], self.plan.jobs).own
        found, _ = self.run(control, control.spec | changed, "control-" + measured.replace("/", "-"), {})
        return json.loads((found / "metrics.json").read_text(encoding="utf-8"))["values"]


def tokenizer_point(folders: Folders, job: Job, spec: dict[str, Any], name: str) -> dict[str, float]:
    trained, seconds = folders.run(job, spec, name, {})
    measured = folders.plan.jobs[f"reconstruction/{job.recipe}"]
    found, _ = folders.run(measured, measured.spec, name, {"tokenizer": trained})
    values = json.loads((found / "metrics.json").read_text(encoding="utf-8"))["values"]
    return {"seconds": seconds, "psnr": values["psnr"], "fid": values["rfid"]}


def generator_point(folders: Folders, job: Job, spec: dict[str, Any], name: str) -> dict[str, float]:
    trained, seconds = folders.run(job, spec, name, {})
    sampled = folders.plan.jobs[f"search_samples/{job.recipe}"]
    fewer = {**sampled.spec, "search_samples": 4 * sampled.spec["search_samples"], "unguided": False}
    head = spec["model"].get("diffloss", {"prediction": "velocity"})
    if head.get("prediction", "noise") == "noise":  # tokens explode without: see the scale's other heads
        fewer["sampler"] = {**sampled.spec["sampler"], "x0_limit": 3.0}
    fewer["search"] = {**sampled.spec["search"], "guidance": sampled.spec["search"]["guidance"][:1]}
    samples, _ = folders.run(sampled, fewer, name, {"generator": trained})
    searched = folders.plan.jobs[f"search/{job.recipe}"]
    found, _ = folders.run(searched, searched.spec, name, {"search_samples": samples})
    (point,) = json.loads((found / "search.json").read_text(encoding="utf-8"))["points"]
    return {"seconds": seconds, "fid": point["fid"]}


POINTS = {"tokenizer": tokenizer_point, "generator": generator_point}


def control_point(folders: Folders, job: Job) -> dict[str, float]:
    if job.stage == "tokenizer":
        values = folders.control(f"reconstruction/{job.recipe}")
        return {"seconds": 0.0, "psnr": values["psnr"], "fid": values["rfid"]}
    measured = next(name for name in folders.plan.jobs if name.startswith(f"metrics/{job.recipe}-"))
    samples = 4 * folders.plan.jobs[f"search_samples/{job.recipe}"].spec["search_samples"]
    return {"seconds": 0.0, "fid": folders.control(measured, samples=samples)["fid"]}


class Found:
    """The points of learning.csv, of this run and of those before it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows = pd.read_csv(file).to_dict("records") if file.exists() else []

    def has(self, job: str, when: str, steps: int) -> bool:
        return any((row["job"], row["when"], row["steps"]) == (job, when, steps) for row in self.rows)

    def add(self, job: str, when: str, steps: int, point: dict[str, float]) -> None:
        self.rows.append({"job": job, "when": when, "steps": steps, **point})
        self.table().to_csv(self.file, index=False, float_format="%.4g")
        values = " ".join(f"{key} {value:.4g}" for key, value in point.items())
        print(f"{job} {when} {steps} steps: {values}", flush=True)

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows, columns=COLUMNS)


def plot(found: pd.DataFrame, file: Path) -> None:
    """A column for each job: PSNR above FID, of generators FID alone."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    jobs, numbers = list(found.job.unique()), {"psnr": "PSNR, dB", "fid": "FID or rFID"}
    numbers = {number: label for number, label in numbers.items() if found[number].notna().any()}
    size = {"figsize": (2.4 * len(jobs) + 0.6, 2.3 * len(numbers) + 0.3), "squeeze": False}
    figure, axes = pyplot.subplots(len(numbers), len(jobs), **size)
    for row, (number, label) in enumerate(numbers.items()):
        for axis, job in zip(axes[row], jobs, strict=True):
            some = found[(found.job == job) & found[number].notna()].sort_values("steps")
            if some.empty:
                axis.set_axis_off()
                continue
            for when, style in (("before", "o--"), ("after", "o-")):
                points = some[some.when == when]
                axis.plot(points.seconds, points[number], style, label=when)
            for value in some[some.when == "control"][number]:
                axis.axhline(value, color="grey", linestyle=":", label="closed-form control")
            axis.set(xlabel="CPU seconds", ylabel=label)
            axis.set_xlim(left=0)
            axis.set_title(job.partition("/")[2], fontsize=9)
    handles, labels = axes[-1][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="+")
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.125, 0.25, 0.5, 1.0])
    parser.add_argument("--out", type=Path, default=Path("."))
    given = parser.parse_args()
    plan = read_plan(Path.cwd(), given.scale)
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    found = Found(given.out / "learning.csv")
    with tempfile.TemporaryDirectory() as folder:
        folders = Folders(plan, Path(folder))
        for name in given.jobs:
            job = plan.jobs[name]
            if not found.has(name, "control", 0):
                found.add(name, "control", 0, control_point(folders, job))
            for when in ("before", "after"):
                for fraction in given.fractions:
                    spec = training_of(job, fraction, when == "before")
                    steps = spec["training"]["steps"]
                    if not found.has(name, when, steps):
                        point = POINTS[job.stage](folders, job, spec, f"{job.recipe}-{when}-{steps}")
                        found.add(name, when, steps, point)
    plot(found.table(), given.out / "learning.png")


if __name__ == "__main__":
    main()
