"""Deterministic sampling of a Gaussian diffusion in few steps (DDIM, arXiv 2010.02502, Eq. 12 with eta = 0).

A gradient can go through it, and if one likes with memory for one evaluation of the network, whatever the number of
steps.

Shapes: S steps, x (B, ..., C) with channels last.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tesserae.diffusion.gaussian import GaussianDiffusion


def ddim_steps(total: int, count: int) -> list[int]:
    """`count` of the training steps 0 ... total - 1, from the noisiest on, evenly spaced; the last one is above 0."""
    if not 1 <= count <= total:
        raise ValueError(f"cannot take {count} of {total} diffusion steps: at least 1 and at most {total}")
    return [round(total - 1 - i * total / count) for i in range(count)]


def ddim(
    model: Callable[[Tensor, int], Tensor],
    noise: Tensor,
    diffusion: GaussianDiffusion,
    *,
    steps: int,
    x0_limit: float | None,
    recompute: bool = True,
) -> Tensor:
    """From noise (B, ..., C) at the last training step to x_0, float32.

    `model(x, t)` says at a training step t what `diffusion` predicts, (B, ..., C). Each x_0 on the way is clamped to
    +-x0_limit and the noise that goes with it is taken from there. Where a gradient is wanted, with `recompute` the
    model is evaluated again in the backward pass, and between steps only the states are kept: it must draw nothing.
    """
    times, x = ddim_steps(diffusion.steps, steps), noise.float()
    for i, t in enumerate(times):
        predicted = (_evaluated(model, x, t) if recompute else model(x, t)).float()
        x0 = diffusion.clean(x, predicted, t)
        if x0_limit is not None:
            x0 = x0.clamp(-x0_limit, x0_limit)
        if i + 1 == steps:
            return x0
        after = times[i + 1]
        direction = (x - diffusion.signal[t] * x0) / diffusion.noise[t]
        x = diffusion.signal[after] * x0 + diffusion.noise[after] * direction
    raise AssertionError("unreachable: there is at least one step")


def _evaluated(model: Callable[[Tensor, int], Tensor], x: Tensor, t: int) -> Tensor:
    if not torch.is_grad_enabled():
        return model(x, t)
    return checkpoint(model, x, t, use_reentrant=False, preserve_rng_state=False)
