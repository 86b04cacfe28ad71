"""Sampling of LlamaGen: ours against the official generate().

    python benchmarks/llamagen.py --official PATH/TO/LlamaGen [--rounds 3] [--batch 8] [--threads 1]

LlamaGen-B on a grid of 64 codes, same weights, float32, one run: both take turns, and the medians are compared. The
official code is imported as it is. It has no microbatch of codes without guidance; that case is measured against its
guidance of all codes. Decoding is not inside the clock. CPU seconds: with one thread, of the clock on the wall.
"""

import argparse
import functools
import importlib
import statistics
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import clock

from tesserae.generators import llamagen, llamagen_sampler

SIZE = {"width": 768, "blocks": 12, "heads": 12}
TOKENS, VOCABULARY, CLASSES = 64, 16384, 1000
CASES: dict[str, dict[str, Any]] = {
    "without guidance": {"guidance": 1.0, "unguided_fraction": 0.0, "top_k": 0, "top_p": 1.0},
    "guidance of all codes": {"guidance": 2.0, "unguided_fraction": 0.0, "top_k": 0, "top_p": 1.0},
    "but for the first 18 %": {"guidance": 2.0, "unguided_fraction": 0.18, "top_k": 0, "top_p": 1.0},
    "top-k 2000, top-p 0.95": {"guidance": 2.0, "unguided_fraction": 0.0, "top_k": 2000, "top_p": 0.95},
}


def models(folder: Path) -> tuple[Callable[..., Any], torch.nn.Module, torch.nn.Module]:
    """The official generate(), its model and ours with the same weights."""
    sys.path.insert(0, str(folder))
    gpt = importlib.import_module("autoregressive.models.gpt")
    generate = importlib.import_module("autoregressive.models.generate").generate
    torch.manual_seed(0)
    theirs = gpt.GPT_models["GPT-B"](vocab_size=VOCABULARY, block_size=TOKENS, num_classes=CLASSES).eval()
    torch.nn.init.normal_(theirs.output.weight, std=0.02)
    spec = {"token_length": TOKENS, "vocabulary": VOCABULARY, "classes": CLASSES, "positions": "rope2d"}
    ours = llamagen.build({**spec, **SIZE, "dropout": 0.1, "label_dropout": 0.1}).eval()
    ours.load_state_dict(theirs.state_dict())
    return generate, theirs, ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, required=True, help="a clone of the official repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", category=FutureWarning)  # the official code names an old context manager
    generate, theirs, ours = models(arguments.official)
    labels = torch.arange(arguments.batch) % CLASSES
    print(f"{arguments.batch} samples at once, {arguments.threads} thread(s); images per CPU second")
    print(f"{'':24}{'official':>9} {'ours':>9} {'times faster':>13}")
    for title, settings in CASES.items():
        filters = {name: settings[name] for name in ("top_k", "top_p")}
        pair = (
            functools.partial(generate, theirs, labels, TOKENS, cfg_scale=settings["guidance"], **filters),
            functools.partial(
                llamagen_sampler.sample, ours, labels, seeds=labels.tolist(), first_token_guided=True, **settings
            ),
        )
        times = [[clock(work) for work in pair] for _ in range(1 + arguments.rounds)][1:]  # the first warms up
        before, now = (statistics.median(some) for some in zip(*times, strict=True))
        speeds = f"{arguments.batch / before:9.3f} {arguments.batch / now:9.3f}"
        print(f"{title:24}{speeds} {before / now:13.2f}", flush=True)


if __name__ == "__main__":
    main()
