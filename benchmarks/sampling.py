"""Seconds per 1,000 images of each sampler at one scale, with and without guidance.

    python benchmarks/sampling.py [--scale pocket] [--batch 125]

Random weights: time does not depend on them. Decoding is not inside the clock. One thread.
"""

import argparse
import functools
import importlib
import time
from pathlib import Path

import torch

from tesserae.workflow.plan import read_plan


def clock(work, repeats: int) -> float:
    work()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--batch", type=int, default=125)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan = read_plan(Path.cwd(), arguments.scale)
    print(f"{'generator':18} {'guidance':>8} {'s / 1,000 images':>17} {'to unguided':>12}")
    for recipe in ("mar_b_joint", "sit_b_joint"):
        model = plan.jobs[f"generator/{recipe}"].spec
        settings = dict(plan.jobs[f"search_samples/{recipe}"].spec["sampler"])
        sampler = importlib.import_module(settings.pop("module"))
        network = importlib.import_module(model["module"]).build(model["model"]).eval()
        labels = torch.arange(arguments.batch) % model["model"]["classes"]
        extra = {"temperature": 1.0} if "mar" in recipe else {}
        unguided = None
        for guidance in (1.0, 3.0):
            draw = functools.partial(
                sampler.sample,
                network,
                labels,
                seeds=list(range(arguments.batch)),
                guidance=guidance,
                **settings,
                **extra,
            )
            seconds = clock(draw, repeats=2)
            unguided = unguided or seconds
            print(f"{recipe:18} {guidance:8.1f} {1000 * seconds / arguments.batch:17.2f} {seconds / unguided:12.2f}")


if __name__ == "__main__":
    main()
