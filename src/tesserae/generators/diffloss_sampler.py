"""Sampling of tokens given their conditions, by the diffusion loss's network: what all autoregressive systems share.

Sources: MAR (arXiv 2406.11838), Sec. 3 and App. B; l-DeTok (arXiv 2507.15856), App. A.2 (guidance on all channels).
Shapes: B samples, N tokens of each, m tokens drawn at once, C channels, D width of a condition, W width of the head,
S diffusion steps, H = 1 half (with class) or 2 (with class, then without: guidance).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tesserae.diffusion.ddpm import DDPMSampler, guide
from tesserae.generators.diffloss import DiffLoss

GUIDANCE_SCHEDULES = ("linear", "constant")
ROWS = 256  # of one product of modulations: its speed is full from here on, and the results still fit into a cache


def guidance_at(guidance: float, schedule: str, known: int, tokens: int) -> float:
    """The guidance scale where `known` of `tokens` tokens are known (which ones count as known is the system's)."""
    if schedule == "linear":
        return 1 + (guidance - 1) * known / tokens
    if schedule == "constant":
        return guidance
    raise ValueError(f"unknown guidance schedule {schedule!r}; known: {', '.join(GUIDANCE_SCHEDULES)}")


class Streams(NamedTuple):
    """All randomness of B samples: a sample does not depend on the batch it is made in."""

    order: Tensor  # (B, N) permutation
    noise: Tensor  # (B, N, S, C) per token: the initial noise, then that of each diffusion step but the last


def draw_streams(
    seeds: list[int],
    draw_order: Callable[[torch.Generator], Tensor],
    *,
    tokens: int,
    channels: int,
    diffusion_steps: int,
) -> Streams:
    """Each sample's own order and noise, from its own seed, on the CPU: 2 calls per sample."""
    orders, noises = [], []
    for seed in seeds:
        rng = torch.Generator().manual_seed(seed)
        orders.append(draw_order(rng))
        noises.append(torch.randn(tokens, diffusion_steps, channels, generator=rng))
    return Streams(torch.stack(orders), torch.stack(noises))


class TokenSampler:
    """Draws tokens given their conditions. Holds what is the same for all of them."""

    def __init__(self, diffloss: DiffLoss, steps: int, temperature: float, x0_limit: float | None):
        self.net, self.temperature = diffloss.net, temperature
        self.process = DDPMSampler(diffloss.diffusion, steps, x0_limit)
        device = self.net.cond_embed.weight.device
        self.times = self.net.time_embed(torch.tensor(self.process.timesteps, device=device))  # (S, W)

    def __call__(self, z: Tensor, noise: Tensor, guidance: float) -> Tensor:
        """Tokens (m, C) for conditions z (H, m, D), from noise (S, m, C). H must be 2 unless guidance is 1."""
        modulations = self.modulations(self.net.cond_embed(z if guidance != 1 else z[:1]))

        def model(x: Tensor, i: int) -> Tensor:
            halves = self.net.modulated(x, next(modulations))  # both share x; the first layers see it once
            return guide(*halves, guidance) if guidance != 1 else halves[0]

        return self.process.sample(model, noise, self.temperature)

    def modulations(self, condition: Tensor) -> Iterator[list[tuple[Tensor, ...]]]:
        """What conditions the layers at each step, last one first, from embedded conditions (H, m, W).

        This is most of the head's work, and with few tokens the products are slow: so several steps are one product.
        """
        some = max(1, ROWS // condition[..., 0].numel())
        for times in self.times.flip(0).split(some):
            layers = self.net.modulations(times[:, None, None] + condition)  # each tensor (steps, H, m, W)
            yield from zip(*(zip(*(part.unbind() for part in layer), strict=True) for layer in layers), strict=True)
