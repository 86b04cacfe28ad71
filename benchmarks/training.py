"""How much of this machine's matmul peak a training step reaches, for every kind of recipe at one scale.

    python benchmarks/training.py [--scale pocket] [--steps 30]

Peak and steps are measured in the same run on one thread; only their ratio is worth quoting.
"""

import argparse
import importlib
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch.utils.flop_counter import FlopCounterMode

from tesserae.training.loop import make_fabric, optimizers_of, train_step
from tesserae.training.order import seed_step
from tesserae.workflow.plan import read_plan


def peak(seconds: float = 2.0, side: int = 1024) -> float:
    """FLOP/s of float32 matrix products of `side`."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    a @ b
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        a @ b
        count += 1
    return count * 2 * side**3 / (time.perf_counter() - start)


def batch_of(spec: dict, classes: int = 9) -> dict[str, torch.Tensor]:
    model, size = spec["model"], spec["training"]["batch"]
    labels = torch.randint(0, classes, (size,))
    if "token_length" in model:
        return {"tokens": torch.randn(size, model["token_length"], model["token_width"]), "labels": labels}
    return {"images": torch.rand(size, 3, model["image_size"], model["image_size"]) * 2 - 1, "labels": labels}


def measure(spec: dict, fabric: Fabric, steps: int) -> tuple[float, float]:
    """(FLOP of one step, seconds of one step), past the start of a GAN if there is one."""
    model = importlib.import_module(spec["module"]).build(spec["model"]).train()
    optimizers, batch = optimizers_of(model, spec["training"]), batch_of(spec)
    first = spec["model"].get("gan_start_step") or 0

    def step(number: int) -> None:
        rng = seed_step(0, 0, number, fabric.device)
        for _ in train_step(
            fabric, model, optimizers, batch, first + number, rng, 1e-4, spec["training"]["clip"], "benchmark"
        ):
            pass

    with FlopCounterMode(display=False) as counter:
        step(0)
    for number in range(5):
        step(number)
    start = time.perf_counter()
    for number in range(steps):
        step(number)
    return counter.get_total_flops(), (time.perf_counter() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan, fabric = read_plan(Path.cwd(), arguments.scale), make_fabric("fp32", "cpu")
    before = peak()
    print(f"{'recipe':32} {'GFLOP/step':>10} {'ms/step':>8} {'images/s':>9} {'of peak':>8}")
    for job in plan.jobs.values():
        if job.stage not in ("tokenizer", "generator") or not job.recipe.endswith(("joint", "extended", "baseline")):
            continue
        flop, seconds = measure(job.spec, fabric, arguments.steps)
        images = job.spec["training"]["batch"] / seconds
        print(f"{job.id:32} {flop / 1e9:10.2f} {1e3 * seconds:8.1f} {images:9.0f} {flop / seconds / before:8.1%}")
    after = peak()
    print(f"matmul peak, one thread: {before / 1e9:.0f} GFLOP/s before, {after / 1e9:.0f} after")


if __name__ == "__main__":
    main()
