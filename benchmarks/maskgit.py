"""Sampling of MaskGIT: ours against the official generate() of 1d-tokenizer; padding and speed where lengths vary.

    python benchmarks/maskgit.py --official PATH/TO/1d-tokenizer [--size paper|pocket] [--batch 8] [--classes 1]
    python benchmarks/maskgit.py --lengths-of results/pocket/generator/maskgit_tatok_b56
    python benchmarks/maskgit.py --profile [--size paper|pocket] [--batch 8]            # where our time goes

TiTok-B-64's published sampling: 8 steps, temperature 11, linear guidance of 3. Same weights, batch, steps and device,
float32, one run: both take turns, and the medians are compared. The official code is imported as it is; it needs
transformers, einops and omegaconf. Samples come in the order of their classes, 50 of each, as published (`--classes`:
so many in a batch). Decoding is not inside the clock. CPU seconds: with one thread, of the clock on the wall.

GFLOP are those of matrix products; the peak is the speed of large products in the same run.
"""

import argparse
import functools
import importlib
import statistics
import sys
import time
import types
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from measuring import clock, flop, product_speed
from torch import Tensor, nn

from tesserae.generators import maskgit, maskgit_sampler
from tesserae.generators.maskgit import ABSENT, MaskGIT
from tesserae.generators.maskgit_weights import load_official
from tesserae.nn.masking import groups_by_length
from tesserae.training import weights

SIZES: dict[str, dict[str, int]] = {  # the paper's is TiTok-B-64's
    "paper": {"width": 768, "blocks": 24, "heads": 16, "vocabulary": 4096, "classes": 1000, "codes": 64},
    "pocket": {"width": 128, "blocks": 4, "heads": 4, "vocabulary": 256, "classes": 9, "codes": 18},
}
STEPS, TEMPERATURE, SCALE = 8, 11.0, 3.0
SETTINGS: dict[str, Any] = {
    "guidance": 1 + SCALE,
    "steps": STEPS,
    "choice_temperature": TEMPERATURE,
    "guidance_schedule": "linear",
    "guidance_power": 3.0,
    "softmax_annealing": True,
}
# TaTok's sequences at the paper's size: 16 global codes and, of 441 patches, about 40; the paper prints the mean alone.
GLOBALS, PLACES, MEAN, DEVIATION = 16, 441, 40.4, 16.0
BATCHES = (8, 32, 128)  # of which padding is counted


def network(size: dict[str, int], **changes: Any) -> MaskGIT:
    named = {**size}
    codes = named.pop("codes")
    spec = {
        "token_length": codes,
        "slots": codes,
        "ragged": False,
        "places": 0,
        "dropout": 0.1,
        "attention_dropout": 0.1,
    }
    torch.manual_seed(0)
    rest = {"label_dropout": 0.1, "label_smoothing": 0.1, "unmasked_weight": 0.1}
    return maskgit.build({**spec, **named, **rest, **changes}).eval()


def official(folder: Path, size: dict[str, int]) -> nn.Module:
    """The official model, without the packages' own __init__, which import every model there is."""
    sys.path.insert(0, str(folder))
    for name in ("modeling", "modeling.modules"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(folder / name.replace(".", "/"))]
    generator = {
        "condition_num_classes": size["classes"],
        "image_seq_len": size["codes"],
        "hidden_size": size["width"],
        "num_hidden_layers": size["blocks"],
        "num_attention_heads": size["heads"],
        "intermediate_size": 4 * size["width"],
        "dropout": 0.1,
        "attn_drop": 0.1,
    }
    settings = {"model": {"vq_model": {"codebook_size": size["vocabulary"]}, "generator": generator}}
    torch.manual_seed(0)
    return importlib.import_module("modeling.maskgit").ImageBert(settings).eval()


def same_weights(size: dict[str, int], theirs: nn.Module) -> MaskGIT:
    """Ours with their weights; stops if the two do not predict the same."""
    ours = network(size)
    load_official(ours, theirs.state_dict())
    codes = torch.randint(1 + size["vocabulary"], (2, size["codes"]))
    labels = torch.zeros(2, dtype=torch.int64)
    masked = codes == ours.mask
    with torch.inference_mode():
        found = ours.logits(ours.features(ours.sequences(codes.where(~masked, 0)), masked, labels))
        wanted = theirs(codes, labels, cond_drop_prob=0.0)
    if not torch.allclose(found, wanted, atol=1e-4):
        sys.exit(f"both networks should predict the same, and differ by {(found - wanted).abs().max():.1e}")
    return ours


def rows_of(lengths: Tensor) -> Tensor:
    """Rows of codes of such lengths, which is all that is counted of them."""
    return torch.where(torch.arange(GLOBALS + PLACES) < lengths[:, None], 0, ABSENT)


def of_many_lengths(size: dict[str, int]) -> MaskGIT:
    """TaTok's generator, which has seen images of lengths that are normally distributed."""
    longest = GLOBALS + PLACES
    model = network(size, token_length=longest, slots=longest, ragged=True, places=PLACES)
    rng = torch.Generator().manual_seed(0)
    patches = (MEAN + DEVIATION * torch.randn(1000, generator=rng)).round().clamp(1, PLACES).long()
    model.count_lengths(rows_of(GLOBALS + patches), torch.zeros(1000, dtype=torch.int64))
    return model


def padding(groups: list[list[int]], lengths: list[int]) -> float:
    """Fraction of the slots that are padding."""
    slots = sum(len(group) * max(lengths[i] for i in group) for group in groups)
    return 1 - sum(lengths) / slots


def pad(model: MaskGIT, name: str) -> None:
    """How much of a batch is padding: as one batch, and as samples go through the network."""
    classes = model.length_counts.sum(1).nonzero()[:, 0]
    counts = model.length_counts.sum(0)
    mean = (counts * torch.arange(len(counts))).sum() / counts.sum()
    print(f"{name}: {mean:.1f} codes on average, {counts.nonzero().min()} to {counts.nonzero().max()}")
    for batch in BATCHES:
        labels = classes[torch.arange(1024) % len(classes)]
        drawn = maskgit_sampler.lengths(model, labels, seeds=list(range(1024))).split(batch)
        parts = [lengths.tolist() for lengths in drawn]
        whole = statistics.mean(padding([list(range(batch))], lengths) for lengths in parts)
        grouped = [groups_by_length(lengths, maskgit.PADDING) for lengths in parts]
        found = [padding(groups, lengths) for groups, lengths in zip(grouped, parts, strict=True)]
        print(f"  batches of {batch}: {whole:.1%} padding as they come; {statistics.mean(found):.1%}", end="")
        print(f" (at most {max(found):.1%}) in {statistics.mean(map(len, grouped)):.1f} groups", flush=True)


def compared(pair: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Median seconds of each; they take turns, and the first round warms up."""
    times = [[clock(work) for work in pair] for _ in range(1 + rounds)][1:]
    return [statistics.median(some) for some in zip(*times, strict=True)]


def against_official(arguments: argparse.Namespace, labels: Tensor) -> None:
    size, batch = SIZES[arguments.size], len(labels)
    theirs = official(arguments.official, size)
    ours = same_weights(size, theirs)
    generate = functools.partial(
        theirs.generate,
        labels,
        guidance_scale=SCALE,
        guidance_decay="linear",
        randomize_temperature=TEMPERATURE,
        softmax_temperature_annealing=True,
        num_sample_steps=STEPS,
    )
    sample = functools.partial(maskgit_sampler.sample, ours, labels, seeds=list(range(batch)), **SETTINGS)
    before, now = compared([generate, sample], arguments.rounds)
    peak = product_speed()
    print(f"{batch} samples of {arguments.classes} class(es), size {arguments.size}, {arguments.threads} thread(s)")
    for name, work, seconds in (("official", generate, before), ("ours", sample, now)):
        done = flop(work)
        print(f"{name:9} {batch / seconds:8.3f} images per CPU second, {done / 1e9:7.1f} GFLOP", end="")
        print(f" at {done / seconds / peak:4.0%} of the peak")
    print(f"{before / now:.2f} times faster", flush=True)


def against_one_batch(arguments: argparse.Namespace) -> None:
    """Samples of many lengths: all in one batch, and in groups of similar lengths."""
    model, batch = of_many_lengths(SIZES[arguments.size]), arguments.batch
    labels = torch.zeros(batch, dtype=torch.int64)
    sample = functools.partial(maskgit_sampler.sample, model, labels, seeds=list(range(batch)), **SETTINGS)

    def whole() -> None:
        with mock.patch.object(maskgit_sampler, "PADDING", 1.0):
            sample()

    before, now = compared([whole, sample], arguments.rounds)
    print(f"{batch} samples of many lengths: {before / now:.2f} times faster in groups than in one batch", flush=True)


def profile(arguments: argparse.Namespace, labels: Tensor) -> None:
    """CPU seconds of one run, by what they are spent on."""
    model, spent = network(SIZES[arguments.size]), defaultdict(float)

    def timed(work: Callable[..., Any], part: str, but: str = "") -> Callable[..., Any]:
        """`but`: another part, whose seconds within this one are its own."""

        def inner(*given: Any, **more: Any) -> Any:
            start, others = time.process_time(), spent[but]
            found = work(*given, **more)
            spent[part] += time.process_time() - start - (spent[but] - others if but else 0.0)
            return found

        return inner

    for block in model.model.encoder["layer"]:
        for half in block.attention.values():
            half.forward = timed(half.forward, "attention")
        block.forward = timed(block.forward, "MLP", but="attention")
    model.model.lm_head.forward = timed(model.model.lm_head.forward, "head")
    model.model.embeddings.forward = timed(model.model.embeddings.forward, "embeddings")
    with (
        mock.patch.object(maskgit_sampler, "gumbel", timed(maskgit_sampler.gumbel, "noise")),
        mock.patch.object(maskgit_sampler.Streams, "_noise", timed(maskgit_sampler.Streams._noise, "noise")),
    ):
        whole = clock(lambda: maskgit_sampler.sample(model, labels, seeds=list(range(len(labels))), **SETTINGS))
    spent["all else"] = whole - sum(spent.values())
    parts = ", ".join(f"{part} {seconds / whole:.1%}" for part, seconds in spent.items() if part)
    print(f"{len(labels)} samples, size {arguments.size}: {parts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="a clone of the official repository")
    parser.add_argument("--lengths-of", type=Path, help="the artifact of a generator of many lengths: its padding")
    parser.add_argument("--many-lengths", action="store_true", help="in groups against in one batch")
    parser.add_argument("--profile", action="store_true", help="where our time goes")
    parser.add_argument("--size", choices=SIZES, default="paper")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--classes", type=int, default=1, help="different classes in a batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    labels = torch.arange(arguments.batch) * arguments.classes // arguments.batch
    if arguments.official:
        against_official(arguments, labels)
    if arguments.many_lengths:
        pad(of_many_lengths(SIZES[arguments.size]), "TaTok's mean, normally distributed")
        against_one_batch(arguments)
    if arguments.lengths_of:
        pad(weights.load(arguments.lengths_of / "weights.safetensors"), arguments.lengths_of.name)
    if arguments.profile:
        profile(arguments, labels)


if __name__ == "__main__":
    main()
