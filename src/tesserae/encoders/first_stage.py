"""Frozen first stages: what turns images into the latents in which a flow draws, and back.

`sd_vae_mse` and `sd_vae_ema` are Stable Diffusion's autoencoder (arXiv 2112.10752) with either of its published
decoders; their files are read from the folder $TESSERAE_WEIGHTS. `pixels` is none: small scales draw pixels.

Shapes: B images of side S, f how much smaller latents are, C their channels.
"""

import functools
import os
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from tesserae.encoders.published import FOLDER_VARIABLE, weights_file
from tesserae.nn.conv_names import as_convolutions, name_of_diffusers
from tesserae.nn.hashing import normals, seeds_of
from tesserae.nn.latent_autoencoder import LatentAutoencoder
from tesserae.nn.official import load_strictly, read_official

SCALING = 0.18215  # of latents, so that their variance is about 1 (latent diffusion, official code)
NETWORK = {
    "channels": 128,
    "multipliers": (1, 2, 4, 4),
    "res_blocks": 2,
    "encoder_attention": False,
    "decoder_attention": False,
}


class Kind(NamedTuple):
    scale: int  # f
    channels: int  # C
    file: str | None  # below $TESSERAE_WEIGHTS


FIRST_STAGES = {
    "pixels": Kind(1, 3, None),
    "sd_vae_mse": Kind(8, 4, "sd-vae-ft-mse/diffusion_pytorch_model.safetensors"),
    "sd_vae_ema": Kind(8, 4, "sd-vae-ft-ema/diffusion_pytorch_model.safetensors"),
}


def pixels_of(images: Tensor) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] -> whole numbers 0 ... 255, int64 (B, 3 S S)."""
    return ((images.float() + 1) * 127.5).round().long().flatten(1)


class FirstStage:
    """One of FIRST_STAGES. It is no module, and so no part of the network that uses it; nothing of it is trained."""

    def __init__(self, name: str, posterior: Literal["sample", "mean"] = "sample"):
        self.name, self.kind, self.posterior = name, FIRST_STAGES[name], posterior

    @torch.no_grad()
    def encode(self, images: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> scaled latents (B, C, S / f, S / f), drawn from their posterior.

        From `rng`; or without one, for each image from numbers that follow from its pixels, so that an image has the
        same latents every time and in any batch. FileNotFoundError for missing weights, with the remedy.
        """
        if self.kind.file is None:
            return images
        mean, deviation = self.network(images.device).posterior(images)
        if self.posterior == "mean":
            return SCALING * mean
        if rng is not None:
            noise = torch.randn(mean.shape, generator=rng, device=rng.device).to(mean.device)
        else:
            noise = normals(seeds_of(pixels_of(images)), 0, tuple(mean.shape[1:]))
        return SCALING * torch.addcmul(mean, deviation, noise)

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, C, S / f, S / f) -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return latents if self.kind.file is None else self.network(latents.device).decode(latents / SCALING)

    def network(self, device: torch.device) -> LatentAutoencoder:
        """The frozen autoencoder, read once per process and device."""
        return _read(self.kind, os.environ.get(FOLDER_VARIABLE), device)


@functools.cache
def _read(kind: Kind, folder: str | None, device: torch.device) -> LatentAutoencoder:
    remedy = f"get it from the hub's stabilityai/{kind.file.split('/')[0]}, or set `first_stage: pixels` in the scale"
    path = weights_file(folder, kind.file, "the first stage needs its published weights", remedy)
    network = sd_vae(kind.channels)
    load_autoencoder(network, read_official(path))
    return network.requires_grad_(False).eval().to(device)


def sd_vae(latent_channels: int) -> LatentAutoencoder:
    """Stable Diffusion's autoencoder, with first weights."""
    return LatentAutoencoder(latent_channels=latent_channels, **NETWORK)


def load_autoencoder(network: LatentAutoencoder, state: dict[str, Tensor]) -> None:
    """Copy published tensors, of diffusers' AutoencoderKL; ValueError lists all that does not fit."""
    levels = len(NETWORK["multipliers"])
    load_strictly(network, as_convolutions(state, levels), rename=lambda name: name_of_diffusers(name, levels))
