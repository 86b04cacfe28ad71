"""AvgIG and MC of a batch, against the obvious loop that descends one image, and walks one pair, after the other.

    python benchmarks/descent.py [--images 32] [--steps 10] [--rounds 3]

Tokenizers as they are at scale `pocket`, untrained, one thread, float32; both make the same numbers, or it stops. In
turns, medians of CPU seconds. `memory` is what a batch's graph holds at most: of no more than one step, so that it
grows with the batch and not with the steps.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests.metrics.held import Held  # noqa: E402
from tests.stages.test_contracts import tokenizers  # noqa: E402

from tesserae.config.spaces import SPACES  # noqa: E402
from tesserae.metrics.information_gain import coordinates_of, descend  # noqa: E402
from tesserae.metrics.mode_connectivity import path_losses  # noqa: E402

SHOWN = ("detok_sb_baseline", "concepttok_bb64_baseline", "comptok")


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def judge(images: Tensor) -> Tensor:
    return images.square().flatten(1).mean(dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = options.images
    for name in SHOWN:
        case = tokenizers("pocket")[name]
        space, model = importlib.import_module(SPACES[case.system]), case.build().eval().requires_grad_(False)
        for p in model.parameters():
            if p.ndim > 1 and not p.any():
                torch.nn.init.normal_(p, std=0.02)
        side = case.model["image_size"]
        images = 2 * torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) - 1
        with torch.no_grad():
            vectors = space.vectors(model, model.encode(images))
        coordinates = coordinates_of(vectors)
        w = coordinates.of(vectors).roll(1, dims=0)

        def errors(rows: slice, steps: int = options.steps) -> Tensor:
            seeds = list(range(count))[rows]
            decode = lambda z: space.images(model, z, seeds=seeds)  # noqa: B023
            return descend(decode, images[rows], w[rows], coordinates, steps=steps, rate=1e-3).errors  # noqa: B023

        def losses(rows: slice) -> Tensor:
            seeds = list(range(count))[rows]
            decode = lambda z: space.images(model, z, seeds=seeds)  # noqa: B023
            return path_losses(decode, judge, vectors[rows], vectors.roll(1, dims=0)[rows])  # noqa: B023

        for what, measure in {"AvgIG": errors, "MC": losses}.items():

            def loop(measure: Callable[[slice], Tensor] = measure) -> list[Tensor]:
                return [measure(slice(i, i + 1)) for i in range(count)]

            together, alone = measure(slice(None)), torch.cat(loop(), dim=1 if what == "AvgIG" else 0)
            if not torch.allclose(together, alone, rtol=1e-3, atol=1e-6):
                raise SystemExit(f"{name}, {what}: the two make different numbers")
            times = {"batch": [], "loop": []}
            for _ in range(options.rounds):
                times["batch"].append(seconds(lambda measure=measure: measure(slice(None))))
                times["loop"].append(seconds(loop))
            batch, one = (statistics.median(each) for each in times.values())
            print(
                f"{name}, {what}, {count} images: {batch:.2f} s, loop {one:.2f} s, {one / batch:.1f} times", flush=True
            )
        peaks = []
        for steps in (1, 3):
            with Held() as held:
                errors(slice(None), steps)
            peaks.append(held.peak / 1e6)
        print(f"{name}: memory {peaks[0]:.0f} MB for 1 step, {peaks[1]:.0f} MB for 3", flush=True)


if __name__ == "__main__":
    main()
