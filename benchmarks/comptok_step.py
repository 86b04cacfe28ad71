"""A training step of CompTok, term by term: what each of its three losses adds to Semanticist's step.

    python benchmarks/comptok_step.py [--scale pocket] [--batch 16] [--rounds 5]

Forward and backward of one micro-batch without the optimizers, float32, CPU milliseconds of one thread; medians. Each
line is the step with one term more than the line before. A training does not time itself: its curves would not be the
same bytes twice.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests.stages.test_contracts import tokenizers  # noqa: E402

from tesserae.encoders.teachers import CHANNELS  # noqa: E402
from tesserae.tokenizers.comptok import CompTok, build  # noqa: E402

NONE = {"information": 0.0, "swapped_information": 0.0, "adversarial": 0.0}
VARIANTS = {
    "L_tok and REPA": NONE,
    "+ L_MI": NONE | {"information": 1.0},
    "+ L_MI^swap": NONE | {"information": 1.0, "swapped_information": 1.0},
    "+ L_AFM": dict.fromkeys(NONE, 1.0),
}


def seconds(model: CompTok, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Of each group's forward and backward pass."""
    found, rng = {}, torch.Generator().manual_seed(0)
    passes = model.losses(batch, 0, rng)
    while True:
        start = time.process_time()
        group, terms, *_ = next(passes, (None, {}))
        if group is None:
            return found
        sum(terms.values()).backward()
        found[group] = time.process_time() - start
        model.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = tokenizers(options.scale)["comptok"].model
    side, rng = settings["image_size"], torch.Generator().manual_seed(0)
    batch = {
        "images": 2 * torch.rand(options.batch, 3, side, side, generator=rng) - 1,
        "teacher_grid": torch.randn(
            options.batch, settings["teacher_side"] ** 2, CHANNELS[settings["teacher"]], generator=rng
        ),
    }
    before = 0.0
    for name, weights in VARIANTS.items():
        changes = {"loss_weights": settings["loss_weights"] | weights}
        changes["auxiliary_start_step"] = 0 if any(weights.values()) else None
        model = build(settings | changes).train()
        times = [seconds(model, batch) for _ in range(options.rounds + 1)][1:]
        parts = {group: statistics.median(each[group] for each in times) for group in times[0]}
        total = sum(parts.values())
        of_critic = f", the critic's update {1000 * parts['critic']:.0f} ms of it" if "critic" in parts else ""
        print(f"{name}: {1000 * total:.0f} CPU ms, {1000 * (total - before):+.0f}{of_critic}", flush=True)
        before = total


if __name__ == "__main__":
    main()
