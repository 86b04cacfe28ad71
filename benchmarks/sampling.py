"""Seconds per 1,000 images of each sampler at one scale, with and without guidance.

    python benchmarks/sampling.py [--scale pocket] [--batch 125]

Random weights: time does not depend on them. Then `dopri5`, whose steps do, with a trained SiT: own steps for each
sample against torchdiffeq's common ones. Decoding is not inside the clock. CPU seconds of one thread.
"""

import argparse
import functools
import importlib
import time
from pathlib import Path

import torch
from torchdiffeq import odeint

from tesserae.diffusion import integrators
from tesserae.generators.sit_sampler import guided_velocity
from tesserae.training import weights
from tesserae.workflow.plan import read_plan

TOLERANCES = {"atol": 1e-6, "rtol": 1e-3}  # config/papers/detok.yaml


def clock(work, repeats: int) -> float:
    work()
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats


def torchdiffeq(velocity, x: torch.Tensor) -> torch.Tensor:
    """The library's dopri5: one step size, from the error of the whole batch."""
    rows, ends = torch.arange(len(x)), torch.tensor([0.0, 1.0])
    return odeint(lambda t, x: velocity(x, t, rows), x, ends, method="dopri5", **TOLERANCES)[-1]


SOLVERS = {
    "torchdiffeq": torchdiffeq,
    "per sample, growth 10": functools.partial(integrators.dopri5, **TOLERANCES, growth=10.0),
    "per sample": functools.partial(integrators.dopri5, **TOLERANCES),
}


@torch.no_grad()
def compare_dopri5(file: Path, batch: int) -> None:
    """Cost of one batch by each solver, and how far its first 16 samples are from the same ones drawn alone."""
    network = weights.load(file).eval()
    labels = torch.arange(batch) % network.y_embedder.null
    noise = integrators.draw_streams(integrators.noise_streams(list(range(batch))), network.token_shape)
    firsts = noise[:16].split(1), labels[:16].split(1)
    print(f"\nrows: network rows per sample; calls: of the network; alone: largest and median change\n{file}")
    columns = f"{'rows':>5} {'ratio':>5} {'calls':>5} {'s / 1,000':>9} {'ratio':>5} {'alone':>15}"
    print(f"{'dopri5':22} {'guidance':>8} {columns}")
    for guidance in (1.0, 3.0):
        first = None
        for name, solver in SOLVERS.items():
            sizes, velocity = [], guided_velocity(network, labels, guidance)
            hook = network.register_forward_hook(lambda module, inputs, output, sizes=sizes: sizes.append(len(output)))
            together = solver(velocity, noise)
            hook.remove()
            rows, seconds = sum(sizes) / batch, clock(functools.partial(solver, velocity, noise), repeats=2)
            first = first or (rows, seconds)
            alone = [solver(guided_velocity(network, y, guidance), x) for x, y in zip(*firsts, strict=True)]
            change = (torch.cat(alone) - together[:16]).abs().amax((1, 2))
            print(
                f"{name:22} {guidance:8.1f} {rows:5.1f} {rows / first[0]:5.2f} {len(sizes):5d} "
                f"{1000 * seconds / batch:9.2f} {seconds / first[1]:5.2f} {change.max():7.0e} {change.median():7.0e}"
            )


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
    trained = Path("results", arguments.scale, "generator", "sit_b_joint", "weights.safetensors")
    if trained.exists():
        compare_dopri5(trained, arguments.batch)
    else:
        print(f"dopri5: not compared, because {trained} does not exist; make it or pull it first")


if __name__ == "__main__":
    main()
