"""How much of this machine's matmul peak a training step reaches, for every kind of recipe at one scale; and what it
costs to cut a batch into microbatches, or to divide it between two processes.

    python benchmarks/training.py [--scale pocket] [--steps 30]

Peak and steps are measured in the same run on one thread per process; only their ratios are worth quoting.
"""

import argparse
import importlib
import os
import socket
import time
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.utils.flop_counter import FlopCounterMode

from tesserae.training.batches import Microbatch
from tesserae.training.loop import StopRequest, learner_of, train_step
from tesserae.training.order import Stream
from tesserae.training.processes import make_fabric, own_microbatches, sum_over_processes
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
    if "vocabulary" in model:
        return {"tokens": torch.randint(0, model["vocabulary"], (size, model["token_length"])), "labels": labels}
    if "token_length" in model:
        return {"tokens": torch.randn(size, model["token_length"], model["token_width"]), "labels": labels}
    batch = {"images": torch.rand(size, 3, model["image_size"], model["image_size"]) * 2 - 1, "labels": labels}
    if model.get("text", "none") != "none":
        batch["text"] = torch.randn(size, model["text_tokens"], model["text_width"])
    if model.get("concepts"):
        batch["concepts"] = torch.randint(0, model["concepts"], (size, spec["concept_set"]))
    return batch


def measure(spec: dict, fabric: Fabric, steps: int, microbatches: int = 1) -> tuple[float, float]:
    """(FLOP of one step, seconds of one step) of this process, past the start of a GAN if there is one."""
    training = spec["training"] | {"microbatches": microbatches}
    torch.manual_seed(0)
    learner = learner_of(importlib.import_module(spec["module"]).build(spec["model"]).train(), training)
    whole, stop = batch_of(spec), StopRequest()
    first = spec["model"].get("gan_start_step") or 0

    def step(number: int) -> None:
        parts = [
            Microbatch(
                microbatch, torch.empty(0), {name: x[microbatch::microbatches] for name, x in whole.items()}, stream
            )
            for microbatch in own_microbatches(fabric, microbatches)
            for stream in [Stream(0, microbatch, number, fabric.device)]
        ]
        for _ in train_step(fabric, learner, parts, first + number, training, stop):
            pass

    with FlopCounterMode(display=False) as counter:
        step(0)
    seconds = []
    for number in range(5 + steps):
        start = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - start)
    return counter.get_total_flops(), min(seconds[5:])  # the machine may be busy with other things


def one_of_two(rank: int, port: int, specs: dict[str, dict], steps: int, into: Any) -> None:
    """A process: seconds of a step of each recipe cut into 2 microbatches, of its sum, and of a sum of one number."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    fabric = make_fabric("fp32", "cpu")
    found = {name: measure(spec, fabric, steps, microbatches=2)[1] for name, spec in specs.items()}
    for name, numbers in (("one number", 1), ("a million numbers", 10**6)):
        tensor = torch.zeros(numbers)
        seconds = []
        for _ in range(100):
            fabric.barrier()
            start = time.perf_counter()
            sum_over_processes([tensor])
            seconds.append(time.perf_counter() - start)
        found[name] = min(seconds)
    if rank == 0:
        into.put(found)
    fabric.barrier()


def in_two_processes(specs: dict[str, dict], steps: int) -> dict[str, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    into = context.SimpleQueue()
    processes = [context.Process(target=one_of_two, args=(rank, port, specs, steps, into)) for rank in (0, 1)]
    for process in processes:
        process.start()
    found = into.get()
    for process in processes:
        process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan, fabric = read_plan(Path.cwd(), arguments.scale), make_fabric("fp32", "cpu")
    specs = {
        job.id: job.spec
        for job in plan.jobs.values()
        if job.stage in ("tokenizer", "generator") and job.recipe.endswith(("joint", "extended", "baseline"))
    }
    before = peak()
    print(f"{'recipe':32} {'GFLOP/step':>10} {'ms/step':>8} {'images/s':>9} {'of peak':>8}")
    alone, cut = {}, {}
    for name, spec in specs.items():
        flop, alone[name] = measure(spec, fabric, arguments.steps)
        cut[name] = measure(spec, fabric, arguments.steps, microbatches=4)[1]
        images, rate = spec["training"]["batch"] / alone[name], flop / alone[name]
        print(f"{name:32} {flop / 1e9:10.2f} {1e3 * alone[name]:8.1f} {images:9.0f} {rate / before:8.1%}")
    after = peak()
    print(f"matmul peak, one thread: {before / 1e9:.0f} GFLOP/s before, {after / 1e9:.0f} after")
    print(f"\n{'time of a step, 1 = one microbatch in one process':32}  {'4 microbatches':>9} {'2 processes':>12}")
    two = in_two_processes(specs, arguments.steps)
    for name in specs:
        print(f"{name:46} {cut[name] / alone[name]:9.2f} {two[name] / alone[name]:12.2f}")
    print(
        f"sum over 2 processes: {1e3 * two['a million numbers']:.2f} ms for a million numbers. Whether to stop travels "
        f"with it; by itself it would be {1e3 * two['one number']:.2f} ms"
    )


if __name__ == "__main__":
    main()
