"""Sampling from DiT: ancestral steps with the learned variance, guided on all channels.

Sources: DiT (arXiv 2212.09748), Sec. 3.1; l-DeTok (arXiv 2507.15856), App. A (guidance on all channels).
Shapes: B samples, N tokens, C channels, S steps.
"""

import torch
from torch import Tensor

from tesserae.diffusion.ddpm import DDPMSampler, guide
from tesserae.diffusion.guidance import class_halves
from tesserae.diffusion.integrators import draw_streams, noise_streams
from tesserae.generators.dit import DiT


@torch.no_grad()
def sample(
    model: DiT,
    labels: Tensor,
    *,
    seeds: list[int],
    guidance: float,
    steps: int,
    x0_limit: float | None = None,
) -> Tensor:
    """Tokens (B, N, C), float32, of the classes `labels` (B,) int64, by S = `steps` of the training diffusion's steps.

    Two model halves unless guidance is 1. `x0_limit`, in standard deviations of the tokens, is not in the papers: see
    DDPMSampler. Sample i is a function of labels[i], seeds[i] and the settings, but for rounding (matrix products of
    another size may add in another order): its stream gives the first state, then the noise of each step when it is
    due, so that memory does not grow with S.

    Raises ValueError for a wrong number of seeds or an impossible number of steps.
    """
    if len(seeds) != len(labels):
        raise ValueError(f"{len(seeds)} seeds for {len(labels)} labels")
    sampler = DDPMSampler(model.diffusion, steps, x0_limit)
    times = torch.tensor(sampler.timesteps, device=labels.device)[:, None]  # (S, 1): one for all samples
    streams = noise_streams(seeds)
    classes, null = class_halves(model, labels)
    both = torch.cat([classes, null])

    def draw() -> Tensor:
        return draw_streams(streams, model.token_shape).to(labels.device)

    x = draw()
    for i in reversed(range(steps)):
        if guidance == 1:
            output = model(x, times[i], classes)
        else:
            output = guide(*model(torch.cat([x, x]), times[i], both).chunk(2), guidance)
        x = sampler.step(x, output, i, draw() if i else None, temperature=1.0)
    return x
