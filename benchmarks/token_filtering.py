"""Dynamic Token Filtering of a batch, against the obvious loop over images and patches.

    python benchmarks/token_filtering.py [--images 32] [--rounds 5]

Sizes of TaTok at scale `pocket` and in the paper, float32, one thread, same tokens; both keep the same patches, or it
stops. In turns, medians of CPU seconds. "budget" is the bisection that a training step adds.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests.tokenizers import one_by_one  # noqa: E402

from tesserae.tokenizers import tatok_filtering as dtf  # noqa: E402

EPSILON = 0.05


class Case(NamedTuple):
    """Shapes of a batch."""

    width: int
    grid: int
    patch: int
    global_tokens: int


CASES = {"pocket": Case(64, 8, 4, 4), "paper": Case(512, 21, 16, 16)}


def vectorised(patches: Tensor, global_tokens: Tensor, images: Tensor) -> Tensor:
    ranking = dtf.rank(dtf.scores(patches, global_tokens, images, "patch_rate"))
    return dtf.first_of(ranking.order, dtf.lengths(ranking.cumulative, EPSILON))


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, case in CASES.items():
        rng = torch.Generator().manual_seed(0)
        patches = torch.randn(options.images, case.grid**2, case.width, generator=rng)
        global_tokens = torch.randn(options.images, case.global_tokens, case.width, generator=rng)
        side = case.grid * case.patch
        images = torch.randn(options.images, 3, side, side, generator=rng).mul(0.5).clamp(-1, 1)
        images[:, :, : side // 2] = 1.0  # half of each is empty
        batch = patches, global_tokens, images
        found, wanted = vectorised(*batch), one_by_one.filtered(*batch, EPSILON)
        if [row.nonzero().flatten().tolist() for row in found] != wanted:
            raise SystemExit(f"{name}: the two keep different patches")
        cumulative = dtf.rank(dtf.scores(*batch, "patch_rate")).cumulative
        contenders = {
            "ours": lambda batch=batch: vectorised(*batch),
            "loop": lambda batch=batch: one_by_one.filtered(*batch, EPSILON),
            "budget": lambda cumulative=cumulative: dtf.epsilon_for(cumulative, cumulative.shape[1] / 4),
        }
        times: dict[str, list[float]] = {contender: [] for contender in contenders}
        for _ in range(options.rounds):
            for contender, call in contenders.items():
                times[contender].append(seconds(call))
        median = {contender: statistics.median(each) for contender, each in times.items()}
        shown = ", ".join(f"{contender} {1000 * value:.2f} ms" for contender, value in median.items())
        print(f"{name}, {options.images} images: {shown}; loop / ours {median['loop'] / median['ours']:.0f}")


if __name__ == "__main__":
    main()
