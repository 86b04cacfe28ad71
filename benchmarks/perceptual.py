"""What the frozen network of the small scales adds to a training step: the perceptual loss, and targets of features.

    python benchmarks/perceptual.py [--rounds 15] [--batches 16 32]

Sizes of scale `pocket`, one thread. In every round each step is run once, and medians of CPU seconds are compared with
those of the same step without the network. "kept" is the step if the originals' features were known beforehand, as a
store of both mirror images of every original would give them.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tesserae.encoders.foundation import spatial_features
from tesserae.losses import auxiliary
from tesserae.losses.perceptual import EarlyStages
from tesserae.tokenizers.detok import DeTok
from tesserae.tokenizers.maetok import MAETok
from tesserae.tokenizers.va_vae import VAVAE

SIDES, STAGES = (32, 48, 64), (1, 2, 3, 4)
GAN = {"gan_start_step": None, "discriminator": None}
DETOK = {
    **{"image_size": 32, "patch_size": 4, "latent_channels": 8, "noise": "interpolative", "gamma": 0.0},
    **{"mask_ratio": 0.0, "mask_mode": "random", "perceptual": "none", **GAN},
    "encoder": {"width": 64, "blocks": 2, "heads": 2},
    "decoder": {"width": 64, "blocks": 3, "heads": 2},
    "loss_weights": {"mse": 1.0, "perceptual": 1.0, "kl": 1e-6, "gan": 0.0},
}
VA_VAE = {
    **{"image_size": 32, "channels": 8, "multipliers": [1, 2, 2], "res_blocks": 1, "latent_channels": 16},
    **{"latent_patch": 1, "encoder_attention": True, "decoder_attention": True, "noise": "interpolative", "gamma": 0.0},
    **{"perceptual": "none", "adaptive_gan": True, "foundation": "lite2", **GAN},
    "alignment": {"weight": 0.1, "cosine_margin": 0.5, "distance_margin": 0.25},
    "loss_weights": {"reconstruction": 1.0, "perceptual": 1.0, "kl": 1e-6, "gan": 0.0},
}
MAETOK = {
    **{"image_size": 32, "patch_size": 4, "latent_tokens": 32, "latent_channels": 16, "modulated_decoder": False},
    **{"mask_ratio_min": 0.4, "mask_ratio_max": 0.6, "adaptive_gan": True, "perceptual": "none", **GAN},
    "encoder": {"width": 64, "blocks": 2, "heads": 2},
    "decoder": {"width": 64, "blocks": 2, "heads": 2},
    "auxiliary": [{"target": name, "width": 32, "blocks": 1, "heads": 2} for name in ("hog", "lite2")],
    "loss_weights": {"mse": 1.0, "perceptual": 1.0, "gan": 0.0, "auxiliary": 1.0},
}


def distance(side: int, count: int, kept: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss `lite2` of so many stages at a side; the features of `kept` images are known beforehand."""
    network = EarlyStages(count, side)
    with torch.no_grad():
        known = None if kept is None else network.features(kept)

    def compared(target: Tensor, prediction: Tensor) -> Tensor:
        if known is None:
            return network(target, prediction).mean()
        return network.distance(known, prediction).mean()

    return compared


def perceptual_steps(images: Tensor) -> Iterator[tuple[str, Callable[[], None]]]:
    model = DeTok(**DETOK).train()
    yield "DeTok", step(model, images, model, "perceptual_loss", None)
    for side in SIDES:
        for count in STAGES:
            for name, kept in (("", None), (", kept", images)):
                loss = distance(side, count, kept)
                yield f"  {side} pixels, {count} stages{name}", step(model, images, model, "perceptual_loss", loss)


def target_steps(images: Tensor) -> Iterator[tuple[str, Callable[[], None]]]:
    """Compared with "kept": neither network can do without its targets."""
    va_vae, maetok = VAVAE(**VA_VAE).train(), MAETok(**MAETOK).train()
    found = {}

    def known(name: str, pictures: Tensor, grid: int) -> Tensor:
        if grid not in found:
            found[grid] = spatial_features(name, pictures, grid)
        return found[grid]

    yield "VA-VAE, kept", step(va_vae, images, va_vae, "features", known)
    yield "  VA-VAE", step(va_vae, images, va_vae, "features", spatial_features)
    yield "MAETok, kept", step(maetok, images, auxiliary, "spatial_features", known)
    yield "  MAETok", step(maetok, images, auxiliary, "spatial_features", spatial_features)


def step(model: nn.Module, images: Tensor, place: Any, name: str, value: Any) -> Callable[[], None]:
    """A step of the autoencoder's optimizer, once `value` is put in its place."""
    optimizer = torch.optim.AdamW([p for _, p in model.parameter_groups()["autoencoder"]], lr=1e-4)

    def run() -> None:
        setattr(place, name, value)
        optimizer.zero_grad()
        _, terms, *_ = next(model.losses({"images": images}, 0, torch.Generator().manual_seed(0)))
        sum(terms.values()).backward()
        optimizer.step()

    return run


def compare(steps: dict[str, Callable[[], None]], rounds: int) -> None:
    """Print each step's median time as a ratio to that of the last one before it that is not indented."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, run in steps.items():
            began = time.process_time()
            run()
            if turn:  # the first one reads weights and fills caches
                taken[name].append(time.process_time() - began)
    base = 0.0
    for name in steps:
        median = statistics.median(taken[name])
        base = base if name.startswith(" ") else median
        print(f"{name:32} {1e3 * median:8.1f} ms {median / base:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for batch in asked.batches:
        torch.manual_seed(0)
        images = torch.rand(batch, 3, 32, 32) * 2 - 1
        print(f"batches of {batch} images")
        compare(dict(perceptual_steps(images)), asked.rounds)
        compare(dict(target_steps(images)), asked.rounds)


if __name__ == "__main__":
    main()
