"""Sampling of MaskGIT: ours against the loop of TiTok's code, written as it tells it.

    python benchmarks/maskgit.py [--blocks 24] [--batch 8] [--classes 4] [--rounds 3] [--threads 1]
    python benchmarks/maskgit.py --profile            # where our time goes

TiTok-B-64's generator (64 codes of 4096, width 768) with its published sampling: 8 steps, temperature 11, linear
guidance of 3. Same weights, batch, steps and device, float32, one run: both take turns, and the medians are compared.
The loop makes two passes where guidance is on, predicts all slots and draws noise for all of them. Samples come in the
order of their classes, 50 of each, as published (`--classes`: so many in a batch). Decoding is not inside the clock.
CPU seconds: with one thread, of the clock on the wall.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tesserae.generators import maskgit, maskgit_sampler
from tesserae.generators.maskgit import ABSENT, MaskGIT
from tesserae.nn.masking import groups_by_length, gumbel

CODES, VOCABULARY, CLASSES = 64, 4096, 1000
STEPS, TEMPERATURE, SCALE = 8, 11.0, 3.0
SETTINGS: dict[str, Any] = {
    "guidance": 1 + SCALE,
    "steps": STEPS,
    "choice_temperature": TEMPERATURE,
    "guidance_schedule": "linear",
    "guidance_power": 3.0,
    "softmax_annealing": True,
}
# TaTok's sequences: 16 global codes and, of 441 patches, about 40 (mean and deviation; the paper prints the mean).
GLOBALS, PLACES, MEAN, DEVIATION = 16, 441, 40.4, 16.0


def network(blocks: int, **changes: Any) -> MaskGIT:
    spec = {"token_length": CODES, "slots": CODES, "vocabulary": VOCABULARY, "classes": CLASSES, "width": 768}
    spec |= {"blocks": blocks, "heads": 16, "ragged": False, "places": 0, "dropout": 0.1, "attention_dropout": 0.1}
    torch.manual_seed(0)
    return maskgit.build(
        {**spec, "label_dropout": 0.1, "label_smoothing": 0.1, "unmasked_weight": 0.1, **changes}
    ).eval()


@torch.inference_mode()
def loop(model: MaskGIT, labels: Tensor) -> Tensor:
    """TiTok's, step by step: codes (B, N)."""
    B, mask = len(labels), model.mask
    nobody = torch.full_like(labels, model.null)
    lengths = torch.full_like(labels, CODES)
    codes, masked = torch.zeros(B, CODES, dtype=torch.int64), torch.ones(B, CODES, dtype=torch.bool)
    for step in range(STEPS):
        ratio, scale = (step + 1) / STEPS, SCALE * step / STEPS
        temperature = TEMPERATURE * (1 - ratio)

        def predicted(classes: Tensor, codes: Tensor = codes, masked: Tensor = masked) -> Tensor:
            return model.logits(model.features(maskgit.Sequences(codes, None, lengths), masked, classes))

        logits = predicted(labels)
        if scale:
            logits = logits + scale * (logits - predicted(nobody))
        logits = logits / (0.5 + 0.8 * (1 - ratio))
        chosen = (logits + temperature * gumbel(torch.rand_like(logits))).argmax(-1)
        sure = logits.gather(-1, chosen[..., None])[..., 0]
        codes, sure = torch.where(masked, chosen, codes), torch.where(masked, sure, torch.inf)
        sure = sure + temperature * gumbel(torch.rand_like(sure))
        left = int(masked[0].sum())
        count = max(1, min(left - 1, int(CODES * torch.tensor(ratio, dtype=torch.float64).acos() / (torch.pi / 2))))
        if step < STEPS - 1:
            masked = sure <= sure.sort(-1).values[:, count - 1 : count]
    assert codes.max() < mask
    return codes


def lengths_of_tatok(count: int) -> list[int]:
    rng = torch.Generator().manual_seed(0)
    patches = (MEAN + DEVIATION * torch.randn(count, generator=rng)).round().clamp(1, PLACES)
    return (GLOBALS + patches.long()).tolist()


def padding(groups: list[list[int]], lengths: list[int]) -> float:
    """Fraction of the slots that are padding."""
    slots = sum(len(group) * max(lengths[i] for i in group) for group in groups)
    return 1 - sum(lengths) / slots


def of_many_lengths(blocks: int, batch: int) -> tuple[MaskGIT, list[int]]:
    """TaTok's generator, which has seen images of such lengths."""
    lengths = lengths_of_tatok(batch)
    longest = GLOBALS + PLACES
    model = network(blocks, token_length=longest, slots=longest, ragged=True, places=PLACES)
    rows = torch.where(torch.arange(longest) < torch.tensor(lengths)[:, None], 0, ABSENT)
    model.count_lengths(rows, torch.zeros(batch, dtype=torch.int64))
    return model, lengths


def clock(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def compared(pair: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Median seconds of each; they take turns, and the first round warms up."""
    times = [[clock(work) for work in pair] for _ in range(1 + rounds)][1:]
    return [statistics.median(some) for some in zip(*times, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--classes", type=int, default=1, help="different classes in a batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="where our time goes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, batch = network(arguments.blocks), arguments.batch
    labels = torch.arange(batch) * arguments.classes // batch
    ours = functools.partial(maskgit_sampler.sample, model, labels, seeds=list(range(batch)), **SETTINGS)
    if arguments.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            ours()
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40))
        return
    before, now = compared([functools.partial(loop, model, labels), ours], arguments.rounds)
    print(f"{batch} samples of {arguments.classes} class(es), {arguments.blocks} blocks, {arguments.threads} thread(s)")
    print(f"64 codes: {batch / before:.3f} images per CPU second by the loop, {batch / now:.3f} by ours", end="")
    print(f", {before / now:.2f} times faster", flush=True)
    model, lengths = of_many_lengths(arguments.blocks, batch)
    labels = torch.zeros(batch, dtype=torch.int64)
    real = maskgit_sampler.groups_by_length
    works = []
    for grouped in (lambda lengths, waste: [list(range(len(lengths)))], real):

        def work(grouped: Callable = grouped) -> None:
            maskgit_sampler.groups_by_length = grouped
            maskgit_sampler.sample(model, labels, seeds=list(range(batch)), **SETTINGS)

        works.append(work)
    before, now = compared(works, arguments.rounds)
    whole, parts = padding([list(range(batch))], lengths), padding(groups_by_length(lengths, maskgit.PADDING), lengths)
    print(f"many lengths, one batch: {batch / before:.3f}, {whole:.0%} padding; by length: {batch / now:.3f}", end="")
    print(f", {parts:.0%} padding, {before / now:.2f} times faster", flush=True)


if __name__ == "__main__":
    main()
