"""Against l-DeTok's official code: a training step of the tokenizer, and sampling from MAR, SiT and RandomAR.

    python benchmarks/official.py --official PATH/TO/DeTok [--rounds 7] [--only mar randomar]

Same weights, same batch, float32, one thread, one run: both take turns, and the medians are compared. Its code is
imported as it is, but for what it wants from a GPU or from packages that these models do not use; it needs einops.
GFLOP are counted by PyTorch in each implementation's own work (the official RandomAR repeats its whole prefix for
every token). The peak is the speed of large products in the same run. CPU seconds.
"""

import argparse
import functools
import random
import statistics
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from measuring import clock, flop, product_speed
from torch import nn
from torch.nn import functional as F

from tesserae.generators import mar, mar_sampler, randomar, randomar_sampler, sit, sit_sampler
from tesserae.tokenizers import detok, detok_weights

IMAGE, PATCH, CHANNELS, CLASSES = 128, 16, 16, 10  # 64 tokens
WIDTH, BLOCKS, HEADS = 256, 6, 4
TRAINED, DRAWN = 16, 8  # images in a batch
MASKED = 0.5  # ratio, instead of a random one, so that all steps do the same work
GUIDANCE, ITERATIONS, DIFFUSION_STEPS, FLOW_STEPS = 3.0, 16, 25, 25
DIFFLOSS = {"blocks": 3, "width": 512, "batch_multiplier": 4, "steps": 1000, "schedule": "cosine"}
SIZE = {"width": WIDTH, "blocks": BLOCKS, "heads": HEADS}
LABELS = torch.arange(DRAWN) % CLASSES


class Pair(NamedTuple):
    """The same work by both."""

    ours: Callable[[], Any]
    official: Callable[[], Any]


def import_official(folder: Path) -> Callable[[str], Any]:
    """Make the modules of the official repository importable; -> import by dotted name."""
    sys.path.insert(0, str(folder))
    for name in ("diffusers", "diffusers.models", "utils.loader"):  # wanted by models that are not measured
        sys.modules[name] = mock.MagicMock()
    package = types.ModuleType("models")  # without its __init__, which imports every model there is
    package.__path__ = [str(folder / "models")]
    sys.modules["models"] = package
    torch.Tensor.cuda = lambda self, *_, **__: self
    sizes = {"width": WIDTH, "layers": BLOCKS, "heads": HEADS}
    __import__("models.model_utils").model_utils.SIZE_DICT["benchmark"] = sizes
    __import__("models.mar").mar.MAR_SIZE_DICT["benchmark"] = sizes
    return lambda name: functools.reduce(getattr, name.split(".")[1:], __import__(name.rpartition(".")[0]))


def weighted(model: nn.Module) -> nn.Module:
    """Random weights also where training starts at zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.02)
    return model


def tokenizer(official: Callable[[str], Any]) -> Pair:
    theirs = weighted(
        official("models.detok.DeTok")(
            img_size=IMAGE,
            patch_size=PATCH,
            token_channels=CHANNELS,
            vit_enc_model_size="benchmark",
            vit_dec_model_size="benchmark",
            mask_ratio=MASKED,
            gamma=3.0,
        )
    )
    ours = detok.build(
        {
            "image_size": IMAGE,
            "patch_size": PATCH,
            "latent_channels": CHANNELS,
            "encoder": SIZE,
            "decoder": SIZE,
            "noise": "interpolative",
            "gamma": 3.0,
            "mask_ratio": MASKED,
            "mask_mode": "constant",
            "perceptual": "none",
            "loss_weights": {"mse": 1.0, "perceptual": 0.0, "kl": 1e-6, "gan": 0.0},
            "gan_start_step": None,
            "discriminator": None,
        }
    )
    detok_weights.load_official(ours, theirs.state_dict())
    images, rng = torch.rand(TRAINED, 3, IMAGE, IMAGE) * 2 - 1, torch.Generator().manual_seed(0)

    def our_loss() -> torch.Tensor:
        ((_, terms),) = ours.losses({"images": images}, 0, rng)
        return sum(terms.values())

    def their_loss() -> torch.Tensor:
        with mock.patch.object(random, "uniform", return_value=MASKED):
            output, posterior = theirs(images)
        return F.mse_loss(output * 0.5 + 0.5, images * 0.5 + 0.5) + 1e-6 * posterior.kl().mean()

    return Pair(stepping(ours, our_loss, fused=True), stepping(theirs, their_loss, fused=False))  # as each one trains


def stepping(model: nn.Module, loss: Callable[[], torch.Tensor], fused: bool) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-5, fused=fused)

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def generator(official: Callable[[str], Any], name: str, module: Any, changes: dict, more: dict) -> tuple[Any, Any]:
    """Our and their model with the same weights."""
    theirs = official(name)(
        img_size=IMAGE,
        tokenizer_patch_size=PATCH,
        model_size="benchmark",
        token_channels=CHANNELS,
        num_classes=CLASSES,
        **more,
    )
    spec = {"token_length": (IMAGE // PATCH) ** 2, "token_width": CHANNELS, "classes": CLASSES, "label_dropout": 0.1}
    ours = module.build({**spec, **changes})
    ours.load_state_dict(weighted(theirs).state_dict())
    return ours.eval().requires_grad_(False), theirs.eval().requires_grad_(False)


def head() -> dict:
    """The official keywords of DIFFLOSS."""
    return {
        "diffloss_d": DIFFLOSS["blocks"],
        "diffloss_w": DIFFLOSS["width"],
        "num_sampling_steps": str(DIFFUSION_STEPS),
    }


def drawing(module: Any, model: nn.Module, **settings) -> Callable[[], torch.Tensor]:
    return functools.partial(module.sample, model, LABELS, seeds=list(range(DRAWN)), guidance=GUIDANCE, **settings)


def masked(official: Callable[[str], Any]) -> Pair:
    size = {"width": WIDTH, "encoder_blocks": BLOCKS, "decoder_blocks": BLOCKS, "heads": HEADS, "buffer_size": 64}
    rest = {"attention_dropout": 0.1, "projection_dropout": 0.1, "mask_ratio_min": 0.7, "mask_ratio_std": 0.25}
    ours, theirs = generator(official, "models.mar.MAR", mar, {**size, **rest, "diffloss": DIFFLOSS}, head())
    settings = {"iterations": ITERATIONS, "diffusion_steps": DIFFUSION_STEPS, "temperature": 1.0}
    return Pair(
        drawing(mar_sampler, ours, guidance_schedule="linear", **settings),
        torch.inference_mode()(lambda: theirs.sample_tokens(DRAWN, num_iter=ITERATIONS, cfg=GUIDANCE, labels=LABELS)),
    )


def causal(official: Callable[[str], Any]) -> Pair:
    more = head() | {"order": "random"}
    ours, theirs = generator(official, "models.ardiff.ARDiff", randomar, {**SIZE, "diffloss": DIFFLOSS}, more)
    settings = {"guidance_schedule": "linear", "diffusion_steps": DIFFUSION_STEPS, "temperature": 1.0}
    return Pair(
        drawing(randomar_sampler, ours, **settings),
        # Without its cache, as it samples itself: with it, a new token would see the first one alone.
        torch.inference_mode()(lambda: theirs.sample_tokens(DRAWN, cfg=GUIDANCE, labels=LABELS)),
    )


def flow(official: Callable[[str], Any], method: str) -> Pair:
    more = {"num_sampling_steps": FLOW_STEPS + 1, "sampling_method": method}  # of the official grid, both ends count
    ours, theirs = generator(official, "models.sit.SiT", sit, {**SIZE, "layout": "grid"}, more)
    settings = {"steps": FLOW_STEPS} if method == "euler" else {"atol": 1e-6, "rtol": 1e-3}
    return Pair(
        drawing(sit_sampler, ours, method=method, **settings),
        lambda: theirs.generate(DRAWN, LABELS, cfg=GUIDANCE),
    )


CASES: dict[str, tuple[str, Callable[[Callable[[str], Any]], Pair]]] = {
    "tokenizer": (f"tokenizer, training step of {TRAINED}", tokenizer),
    "mar": (f"MAR, {DRAWN} samples", masked),
    "sit_euler": (f"SiT euler, {DRAWN} samples", functools.partial(flow, method="euler")),
    "sit_dopri5": (f"SiT dopri5, {DRAWN} samples", functools.partial(flow, method="dopri5")),
    "randomar": (f"RandomAR, {DRAWN} samples", causal),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, required=True, help="a clone of the official repository")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    official = import_official(arguments.official)
    peak = product_speed()
    print(f"matrix products: {peak / 1e9:.0f} GFLOP/s, one thread")
    print(f"{'':31}{'official':^23}{'ours':^23}{'times faster':>13}")
    print(f"{'':31}{'GFLOP':>6} {'s':>8} {'peak':>6} {'GFLOP':>7} {'s':>8} {'peak':>6}")
    for name in arguments.only:
        title, build = CASES[name]
        pair = build(official)
        theirs, ours = flop(pair.official), flop(pair.ours)
        times = [[clock(pair.official), clock(pair.ours)] for _ in range(arguments.rounds)]
        before, now = (statistics.median(some) for some in zip(*times, strict=True))
        cells = f"{theirs / 1e9:6.0f} {before:8.3f} {theirs / before / peak:6.0%} "
        cells += f"{ours / 1e9:7.0f} {now:8.3f} {ours / now / peak:6.0%}"
        print(f"{title:31}{cells} {before / now:12.2f}", flush=True)


if __name__ == "__main__":
    main()
