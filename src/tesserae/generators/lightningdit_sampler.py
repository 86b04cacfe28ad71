"""Sampling from LightningDiT: Euler steps that are short where there is noise, guided after the first of them.

Sources: LightningDiT (arXiv 2501.01423), official code; l-DeTok (arXiv 2507.15856), App. A (guidance on all channels).
Shapes: B samples, N tokens, C channels.
"""

import torch
from torch import Tensor

from tesserae.diffusion import flow
from tesserae.diffusion.guidance import guided_velocity
from tesserae.diffusion.integrators import draw_streams, euler, noise_streams
from tesserae.generators.lightningdit import LightningDiT


@torch.no_grad()
def sample(
    model: LightningDiT,
    labels: Tensor,
    *,
    seeds: list[int],
    guidance: float,
    steps: int,
    shift: float,
    guidance_start: float,
) -> Tensor:
    """Tokens (B, N, C), float32, of the classes `labels` (B,) int64; sample i uses only the noise of seeds[i].

    `steps` counts the points of the time grid, as the official num_steps: one more than Euler steps. `shift` moves the
    even grid towards the noise (`flow.shifted`). Guidance acts from the shifted time `guidance_start` on; before it, as
    with guidance 1 everywhere, there is one forward pass of the batch per step instead of one of twice the batch.

    Sample i does not depend on the size of the batch, on the other samples in it or on their order, but for rounding.
    Raises ValueError for a wrong number of seeds or fewer than two points.
    """
    if len(seeds) != len(labels):
        raise ValueError(f"{len(seeds)} seeds for {len(labels)} labels")
    if steps < 2:
        raise ValueError(f"a time grid needs at least 2 points, not {steps}")
    x = draw_streams(noise_streams(seeds), model.token_shape).to(labels.device)
    times = flow.shifted(torch.linspace(0, 1, steps, device=x.device), shift)
    return euler(guided_velocity(model, labels, guidance, guidance_start), x, times)
