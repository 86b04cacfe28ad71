"""AvgIG and MC of a batch, against the obvious loop that descends one image, and walks one pair, after the other.

    python benchmarks/descent.py [--images 32] [--steps 10] [--rounds 5] [--threads 2]

Tokenizers as they are at scale `pocket`, untrained, float32; all make the same numbers, or it stops. In turns, the
shortest wall time of all rounds: other work on the cores only ever adds to one. "loop" is written as the paper has it:
a decode, `backward`, a step, for a network whose weights could learn. "frozen" is our own code, an image at a time.
`memory` is what graphs of a batch hold at most: those of one step of the descent, whatever the number of steps.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests.metrics.held import Held  # noqa: E402
from tests.stages.test_contracts import tokenizers  # noqa: E402

from tesserae.config.spaces import SPACES  # noqa: E402
from tesserae.metrics.information_gain import Coordinates, coordinates_of, descend  # noqa: E402
from tesserae.metrics.mode_connectivity import POINTS, path_losses  # noqa: E402

SHOWN = ("detok_sb_baseline", "concepttok_bb64_baseline", "comit_b", "comptok")
RATE = 1e-3

Measure = Callable[[slice], Tensor]  # rows -> numbers of each


def judge(images: Tensor) -> Tensor:
    return images.square().flatten(1).mean(dim=1)


def by_hand(decode: Callable[[Tensor], Tensor], image: Tensor, w: Tensor, units: Coordinates, steps: int) -> Tensor:
    """One descent as the paper has it: errors (T + 1, 1)."""
    w, errors = w.clone().requires_grad_(), []
    for _ in range(steps):
        squares = ((decode(units.vectors(w)) - image) / 2).square().sum()
        errors.append(squares.item() / image.numel())
        (0.5 * squares).backward()
        with torch.no_grad():
            w -= RATE * w.grad
        w.grad = None
    with torch.no_grad():
        errors.append(((decode(units.vectors(w)) - image) / 2).square().mean().item())
    return torch.tensor(errors, dtype=torch.float64)[:, None]


@torch.no_grad()
def walked_by_hand(decode: Callable[[Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
    """One path as the paper has it: losses (1, U)."""
    losses = []
    for u in torch.linspace(0, 1, POINTS).tolist():
        image = decode((1 - u) * first + u * second).clamp(-1, 1)
        losses.append(judge(image).item())
    return torch.tensor(losses, dtype=torch.float64)[None]


def frozen(model: nn.Module, yes: bool) -> None:
    """Whether the weights of a network that learn could learn now."""
    for p in model.parameters():
        p.requires_grad_(not yes)
        p.grad = None


class Case:
    """A tokenizer with images, and what is timed of it."""

    def __init__(self, name: str, count: int, steps: int):
        case = tokenizers("pocket")[name]
        self.space, self.model = importlib.import_module(SPACES[case.system]), case.build().eval()
        for p in self.model.parameters():
            if p.ndim > 1 and not p.any():
                nn.init.normal_(p, std=0.02)
        self.count, self.steps, side = count, steps, case.model["image_size"]
        self.images = 2 * torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) - 1
        with torch.no_grad():
            self.vectors = self.space.vectors(self.model, self.model.encode(self.images))
        units = coordinates_of(self.vectors)
        self.units = units._replace(std=units.std.clamp(min=1e-3))  # codes of an untrained network may not differ
        self.w, self.others = self.units.of(self.vectors).roll(1, dims=0), self.vectors.roll(1, dims=0)

    def decode(self, rows: slice) -> Callable[[Tensor], Tensor]:
        seeds = list(range(self.count))[rows]
        return lambda z: self.space.images(self.model, z, seeds=seeds)

    def errors(self, rows: slice, steps: int | None = None) -> Tensor:
        how = {"steps": steps or self.steps, "rate": RATE}
        return descend(self.decode(rows), self.images[rows], self.w[rows], self.units, **how).errors

    def errors_by_hand(self, rows: slice) -> Tensor:
        return by_hand(self.decode(rows), self.images[rows], self.w[rows], self.units, self.steps)

    def losses(self, rows: slice) -> Tensor:
        return path_losses(self.decode(rows), judge, self.vectors[rows], self.others[rows])

    def losses_by_hand(self, rows: slice) -> Tensor:
        return walked_by_hand(self.decode(rows), self.vectors[rows], self.others[rows])

    def timed(self, measure: Measure, hand: Measure, rounds: int, dim: int) -> dict[str, list[float]]:
        """Seconds of each round, of a batch, of our code and of one by hand for an image at a time."""
        ones = [slice(at, at + 1) for at in range(self.count)]
        ways: dict[str, tuple[Callable[[], Tensor], bool]] = {
            "batch": (lambda: measure(slice(None)), True),
            "frozen": (lambda: torch.cat([measure(row) for row in ones], dim=dim), True),
            "loop": (lambda: torch.cat([hand(row) for row in ones], dim=dim), False),
        }
        found: dict[str, Tensor] = {}
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, (run, still) in ways.items():
                frozen(self.model, still)
                start = time.perf_counter()
                found[way] = run()
                times[way].append(time.perf_counter() - start)
        for way in ("frozen", "loop"):
            if not torch.allclose(found["batch"], found[way], rtol=1e-3, atol=1e-6):
                raise SystemExit(f"batch and {way} make different numbers")
        return times

    def memory(self, steps: int) -> float:
        """MB that graphs of a batch hold at most."""
        frozen(self.model, True)
        with Held() as held:
            self.errors(slice(None), steps)
        return held.peak / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in SHOWN:
        case = Case(name, options.images, options.steps)
        pairs = {"AvgIG": (case.errors, case.errors_by_hand, 1), "MC": (case.losses, case.losses_by_hand, 0)}
        for what, (measure, hand, dim) in pairs.items():
            times = case.timed(measure, hand, options.rounds, dim)
            least, middle = ({way: of(each) for way, each in times.items()} for of in (min, statistics.median))
            said = [
                f"{way} {least[way]:.2f} s, {least[way] / least['batch']:.1f} times"
                f" (medians {middle[way] / middle['batch']:.1f})"
                for way in ("frozen", "loop")
            ]
            print(f"{name}, {what}, {options.images} images: {least['batch']:.2f} s, {', '.join(said)}", flush=True)
        print(f"{name}: memory {case.memory(1):.0f} MB for 1 step, {case.memory(3):.0f} MB for 3", flush=True)


if __name__ == "__main__":
    main()
