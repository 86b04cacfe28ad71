"""A step of Muon as PyTorch makes it, in bfloat16 one matrix after the other, and as ours on a CPU.

    python benchmarks/muon.py [--blocks 4] [--rounds 5]

The matrices of transformer blocks as wide as those of the small scales, float32, one thread, the same gradients. In
turns, medians of CPU seconds. What it brings hangs on the CPU: only those with AVX512-BF16 or AMX multiply in bfloat16.
"""

import argparse
import statistics

import torch
from measuring import clock
from torch import nn

from tesserae.training.optimizers import KernelMuon


def matrices(width: int, blocks: int) -> list[nn.Parameter]:
    """Those of attention and of a gated feed-forward layer, with gradients."""
    inner = width * 8 // 3
    shapes = [(3 * width, width), (width, width), (inner, width), (inner, width), (width, inner)] * blocks
    rng = torch.Generator().manual_seed(0)
    made = [nn.Parameter(torch.randn(shape, generator=rng)) for shape in shapes]
    for matrix in made:
        matrix.grad = torch.randn(matrix.shape, generator=rng)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for width in (64, 96, 128):
        groups = [{"params": matrices(width, options.blocks), "weight_decay": 0.0} for _ in range(2)]
        theirs, ours = torch.optim.Muon(groups[:1], lr=0.01), KernelMuon(groups[1:], lr=0.01)
        times: dict[str, list[float]] = {"theirs": [], "ours": []}
        for _ in range(options.rounds):
            times["theirs"].append(clock(theirs.step))
            times["ours"].append(clock(ours.step))
        median = {name: 1000 * statistics.median(each) for name, each in times.items()}
        shown = ", ".join(f"{name} {value:.1f} ms" for name, value in median.items())
        print(f"width {width}, {options.blocks} blocks: {shown}; theirs / ours {median['theirs'] / median['ours']:.1f}")


if __name__ == "__main__":
    main()
