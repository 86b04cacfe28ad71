"""How fast a network learns: PSNR and rFID, or FID, against CPU seconds, as the papers train and as a scale does.

    python benchmarks/learning.py tokenizer/detok_sb_baseline [generator/sit_b_baseline ...] [--scale pocket]
                                  [--fractions 0.125 0.25 0.5 1] [--out folder]

after `make reproduce`, whose data set, reference and tokens it reads. "before" has AdamW for all parameters, first
weights as in the papers, heads that predict noises and the rates that the scales had then; "after" is the spec of the
scale. Each point is a training of its own, with its whole schedule, of that fraction of the scale's steps: half-way, a
longer one would not have come to rest. Seconds are those of one thread and of the training alone; a busy machine adds
to both alike.
Generators are measured at the first guidance that the scale searches, with the scale's `search_samples` x 4 images:
more than a search, fewer than a table, so that FIDs compare within this benchmark alone. Writes learning.csv and
learning.png to `out`.
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
from tesserae.workflow.graph.job import Job
from tesserae.workflow.plan import Plan, read_plan

BEFORE_LR = {"tokenizer": 4.0e-3, "generator": 1.5e-3}  # of AdamW at pocket, before there was Muon
BEFORE_LRS = {"concepttok": 1.0e-3, "llamagen": 1.5e-3, "maetok": 2.0e-3, "kl_vae": 1.0e-3, "va_vae": 1.0e-3}


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


def tokenizer_point(folders: Folders, job: Job, spec: dict[str, Any], name: str) -> dict[str, float]:
    trained, seconds = folders.run(job, spec, name, {})
    measured = folders.plan.jobs[f"reconstruction/{job.recipe}"]
    found, _ = folders.run(measured, measured.spec, name, {"tokenizer": trained})
    values = json.loads((found / "metrics.json").read_text())["values"]
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
    (point,) = json.loads((found / "search.json").read_text())["points"]
    return {"seconds": seconds, "fid": point["fid"]}


POINTS = {"tokenizer": tokenizer_point, "generator": generator_point}


def plot(found: pd.DataFrame, file: Path) -> None:
    matplotlib.use("agg")
    from matplotlib import pyplot

    drawn = [(job, number) for job in found.job.unique() for number in ("psnr", "fid")]
    drawn = [(job, number) for job, number in drawn if found[found.job == job][number].notna().any()]
    figure, axes = pyplot.subplots(1, len(drawn), figsize=(3.2 * len(drawn), 2.8), squeeze=False)
    for axis, (job, number) in zip(axes[0], drawn, strict=True):
        for when, style in (("before", "o--"), ("after", "o-")):
            some = found[(found.job == job) & (found.when == when)]
            axis.plot(some.seconds, some[number], style, label=when)
        axis.set(title=job.partition("/")[2], xlabel="CPU seconds", ylabel={"psnr": "PSNR, dB", "fid": "FID"}[number])
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
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
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folders = Folders(plan, Path(folder))
        for name in given.jobs:
            job = plan.jobs[name]
            for when in ("before", "after"):
                for fraction in given.fractions:
                    spec = training_of(job, fraction, when == "before")
                    found = POINTS[job.stage](folders, job, spec, f"{job.recipe}-{when}-{fraction}")
                    rows.append({"job": name, "when": when, "steps": spec["training"]["steps"], **found})
                    print(
                        " ".join(
                            f"{key} {value:.4g}" if isinstance(value, float) else f"{value}"
                            for key, value in rows[-1].items()
                        ),
                        flush=True,
                    )
    given.out.mkdir(parents=True, exist_ok=True)
    found = pd.DataFrame(rows, columns=["job", "when", "steps", "seconds", "psnr", "fid"])
    found.to_csv(given.out / "learning.csv", index=False, float_format="%.4g")
    plot(found, given.out / "learning.png")


if __name__ == "__main__":
    main()
