"""Ancestral sampling of a Gaussian diffusion on a subset of its steps, with the learned variance.

Sources: DDPM (arXiv 2006.11239), Alg. 2; improved DDPM (arXiv 2102.09672), Eq. 15 (variance) and Sec. 4 (fewer steps);
classifier-free guidance (arXiv 2207.12598), Eq. 6. Shapes: S sampling steps, x (B, ..., C) with channels last.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tesserae.diffusion.gaussian import GaussianDiffusion


def spaced_timesteps(total: int, count: int) -> list[int]:
    """`count` of the training steps 0..total-1, evenly spaced, ends included, ascending (improved DDPM, Sec. 4).

    The stride is added up rather than multiplied: where it ends in .5, the float error decides the rounding, and the
    official list came out this way (e.g. 499 instead of 500 for 21 steps of 1000).
    """
    if not 2 <= count <= total:
        raise ValueError(f"cannot take {count} of {total} diffusion steps: at least 2 and at most {total}")
    stride, position, steps = (total - 1) / (count - 1), 0.0, []
    for _ in range(count):
        steps.append(round(position))
        position += stride
    return steps


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Guided model output (B, ..., 2C): u + scale (c - u) on all C channels' prediction, variance logits of c."""
    noise, logits = conditional.chunk(2, dim=-1)
    base, _ = unconditional.chunk(2, dim=-1)
    return torch.cat([base + scale * (noise - base), logits], dim=-1)


class DDPMSampler:
    """Ancestral sampler over `steps` of a diffusion; `timesteps[i]` is the training step of sampling step i.

    With `x0_limit`, predicted clean values are clamped to +-x0_limit (None, as in the papers: never). A cosine schedule
    ends at a signal of 5e-5, by whose inverse the first step multiplies the model's error: a model that has not learned
    its last times yet leaves the range of the data there and never comes back.
    """

    def __init__(self, diffusion: GaussianDiffusion, steps: int, x0_limit: float | None = None):
        self.timesteps = spaced_timesteps(diffusion.steps, steps)
        kept = diffusion.alpha_bar[self.timesteps]
        self.process = GaussianDiffusion(1 - kept / np.append(1.0, kept[:-1]), diffusion.prediction)
        self.steps, self.x0_limit = steps, x0_limit

    def step(self, x: Tensor, output: Tensor, i: int, noise: Tensor | None, temperature: float) -> Tensor:
        """From x_i (B, ..., C) and the model's output (B, ..., 2C) to x_{i-1}. `noise` (like x) is unused at i = 0.

        Temperature scales this step's noise, not the initial one.
        """
        p = self.process
        predicted, logits = output.float().chunk(2, dim=-1)
        x0 = p.clean(x, predicted, i)
        if self.x0_limit is not None:
            x0 = x0.clamp(-self.x0_limit, self.x0_limit)
        mean = p.mean_from_x0[i] * x0 + p.mean_from_xt[i] * x  # DDPM Eq. 7
        if i == 0:
            return mean
        fraction = (logits + 1) / 2
        log_variance = fraction * p.log_beta[i] + (1 - fraction) * p.log_posterior[i]
        return mean + temperature * torch.exp(0.5 * log_variance) * noise

    def sample(self, model: Callable[[Tensor, int], Tensor], noise: Tensor, temperature: float) -> Tensor:
        """x_0 (B, ..., C). `model(x, i)` returns (B, ..., 2C) for x at sampling step i, guidance included if wanted.

        noise (S, B, ..., C) is standard normal: noise[0] is x at the start, noise[k] is added after step k.
        """
        if len(noise) != self.steps:
            raise ValueError(f"noise for {len(noise)} steps given, the sampler has {self.steps}")
        x = noise[0]
        for k in range(1, self.steps + 1):
            i = self.steps - k
            x = self.step(x, model(x, i), i, noise[k] if i else None, temperature)
        return x
