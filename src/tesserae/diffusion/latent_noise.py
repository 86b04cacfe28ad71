"""Noise on a tokenizer's latents (l-DeTok, arXiv 2507.15856, Eq. 4): one random level per image.

Shapes: B images, K tokens, C latent channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def interpolate(z: Tensor, noise: Tensor, tau: Tensor | float) -> Tensor:
    """Eq. 4: (1 - tau) z + tau noise, for latents and noise (B, K, C) and tau that broadcasts to them."""
    return (1 - tau) * z + tau * noise


def add(z: Tensor, noise: Tensor, tau: Tensor | float) -> Tensor:
    """The variant of Fig. 2a: z + tau noise."""
    return z + tau * noise


NOISES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"interpolative": interpolate, "additive": add}


def draw_noise(shape: torch.Size, gamma: float, rng: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """Noise gamma * N(0, I) of `shape` (B, K, C) and levels tau ~ U(0, 1) of (B, 1, 1): one per image (Eq. 4)."""
    tau = torch.rand(shape[0], 1, 1, generator=rng, device=rng.device)
    noise = gamma * torch.randn(shape, generator=rng, device=rng.device)
    return noise.to(device), tau.to(device)
