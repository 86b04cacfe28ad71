"""Sampling of RandomAR and RasterAR: one token after the other, each by its own diffusion.

Source: l-DeTok (arXiv 2507.15856), App. A.2. Shapes: B samples, N tokens, C channels, D width, S diffusion steps.
"""

import torch
from torch import Tensor

from tesserae.generators.causal_ar import CausalAR
from tesserae.generators.diffloss_sampler import Streams, TokenSampler, draw_streams, guidance_at


def generate(
    model: CausalAR,
    labels: Tensor,
    streams: Streams,
    *,
    guidance: float,
    guidance_schedule: str,
    temperature: float,
    x0_limit: float | None = None,
) -> Tensor:
    """Tokens (B, N, C) for labels (B,) from given randomness. Two model halves unless guidance is 1."""
    (B, N, steps, C), halves = streams.noise.shape, 1 if guidance == 1 else 2
    order, noise = streams
    draw = TokenSampler(model.diffloss, steps, temperature, x0_limit)
    classes = model.class_emb(labels)
    if halves == 2:
        classes = torch.cat([classes, model.fake_latent.expand(B, -1)])
    positions = model.positions(order).repeat(halves, 1, 1)
    caches = model.empty_caches(halves * B)
    tokens = noise.new_empty(B, N, C)  # in the drawn order
    x = model.bos_token
    for i in range(N):
        z = model(x.expand(halves * B, -1, -1), positions[:, i : i + 1], classes, caches)
        scale = guidance_at(guidance, guidance_schedule, i, N)
        tokens[:, i] = draw(z.view(halves, B, -1), noise[:, i].transpose(0, 1), scale)
        x = model.x_embedder(tokens[:, i : i + 1]).repeat(halves, 1, 1)
    return torch.empty_like(tokens).scatter_(1, order.unsqueeze(-1).expand_as(tokens), tokens)


@torch.inference_mode()
def sample(
    model: CausalAR,
    labels: Tensor,
    *,
    seeds: list[int],
    guidance: float,
    guidance_schedule: str,
    diffusion_steps: int,
    temperature: float,
    x0_limit: float | None = None,
) -> Tensor:
    """Standardised tokens (B, N, C) for labels (B,), one seed per sample.

    Sample i is a function of labels[i], seeds[i] and the settings: it does not depend on the size of the batch, on the
    other samples in it or on their order, but for rounding (matrix products of another size may add in another order).

    x0_limit, in standard deviations of the tokens, is not in the paper: see DDPMSampler.
    Memory: 4 N S C bytes per sample for the noise, and keys and values of all tokens (twice with guidance).
    """
    if len(seeds) != len(labels):
        raise ValueError(f"{len(seeds)} seeds for {len(labels)} labels")
    streams = draw_streams(
        seeds,
        lambda rng: model.orders(1, rng)[0],
        tokens=model.token_length,
        channels=model.token_width,
        diffusion_steps=diffusion_steps,
    )
    return generate(
        model,
        labels,
        Streams(*(x.to(labels.device) for x in streams)),
        guidance=guidance,
        guidance_schedule=guidance_schedule,
        temperature=temperature,
        x0_limit=x0_limit,
    )
