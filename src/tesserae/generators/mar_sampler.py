"""Sampling of MAR: random order, cosine schedule, several tokens per iteration, each by its own diffusion.

Sources: MAR (arXiv 2406.11838), Sec. 4.2 and App. B; l-DeTok (arXiv 2507.15856), App. A.2 (guidance on all channels).
Shapes: B samples, N tokens, C channels, D width, S diffusion steps, P tokens predicted in one iteration.
"""

import math

import torch
from torch import Tensor

from tesserae.generators.diffloss_sampler import Streams, TokenSampler, draw_streams, guidance_at
from tesserae.generators.mar import MAR, pick


def masked_after(tokens: int, iterations: int) -> list[int]:
    """The masked count after each iteration: cosine, at least one less each time, never below one.

    The last entry is therefore 1 and not 0: the last iteration predicts all that is left, but its guidance (linear
    schedule) is the one for a single masked token.
    """
    counts, masked = [], tokens
    for k in range(1, iterations + 1):
        masked = max(1, min(masked - 1, math.floor(tokens * math.cos(math.pi / 2 * k / iterations))))
        counts.append(masked)
    return counts


def generate(
    model: MAR,
    labels: Tensor,
    streams: Streams,
    *,
    guidance: float,
    guidance_schedule: str,
    iterations: int,
    temperature: float,
    x0_limit: float | None = None,
) -> Tensor:
    """Tokens (B, N, C) for labels (B,) from given randomness. Two model halves unless guidance is 1.

    Tokens are predicted from the end of the drawn order to its start.
    """
    (B, N, steps, C), guided = streams.noise.shape, guidance != 1
    order, noise = streams
    draw = TokenSampler(model.diffloss, steps, temperature, x0_limit)
    classes = model.class_emb(labels)
    if guided:
        classes = torch.cat([classes, model.fake_latent.expand(B, -1)])

    def halves(x: Tensor) -> Tensor:
        return torch.cat([x, x]) if guided else x

    counts = masked_after(N, min(iterations, N))  # more iterations than tokens would leave some without work
    tokens = noise.new_zeros(B, N, C)  # in the drawn order: known ones at the end
    before = N
    for k, after in enumerate(counts):
        left = after if k < len(counts) - 1 else 0
        known, chosen = order[:, before:], order[:, left:before]
        x = model.encode(halves(tokens[:, before:]), halves(known), classes)
        z = model.decode(x, halves(known), halves(order[:, :before]))[:, left:]
        tokens[:, left:before] = draw(
            z.reshape(1 + guided, -1, z.shape[-1]),
            pick(noise.flatten(2), chosen).view(-1, steps, C).transpose(0, 1),
            guidance_at(guidance, guidance_schedule, N - after, N),
        ).view(B, -1, C)
        before = left
    return torch.empty_like(tokens).scatter_(1, order.unsqueeze(-1).expand_as(tokens), tokens)


@torch.inference_mode()
def sample(
    model: MAR,
    labels: Tensor,
    *,
    seeds: list[int],
    guidance: float,
    guidance_schedule: str,
    iterations: int,
    diffusion_steps: int,
    temperature: float,
    x0_limit: float | None = None,
) -> Tensor:
    """Standardised tokens (B, N, C) for labels (B,), one seed per sample; dropout is off whatever the model's mode.

    Sample i is a function of labels[i], seeds[i] and the settings: it does not depend on the size of the batch, on the
    other samples in it or on their order, but for rounding (matrix products of another size may add in another order).

    x0_limit, in standard deviations of the tokens, is not in the papers: see DDPMSampler.
    Memory for the noise: 4 N S C bytes per sample (1.6 MB at 256 tokens, 100 steps, 16 channels).
    """
    if len(seeds) != len(labels):
        raise ValueError(f"{len(seeds)} seeds for {len(labels)} labels")
    N = model.token_length
    streams = draw_streams(
        seeds,
        lambda rng: torch.randperm(N, generator=rng),
        tokens=N,
        channels=model.token_width,
        diffusion_steps=diffusion_steps,
    )
    streams = Streams(*(x.to(labels.device) for x in streams))
    was_training = model.training
    model.eval()
    try:
        return generate(
            model,
            labels,
            streams,
            guidance=guidance,
            guidance_schedule=guidance_schedule,
            iterations=iterations,
            temperature=temperature,
            x0_limit=x0_limit,
        )
    finally:
        model.train(was_training)
