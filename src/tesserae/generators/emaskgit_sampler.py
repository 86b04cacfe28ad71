"""Sampling of MaskGIT with a diffusion head: random order, cosine schedule, several tokens per step.

Sources: CompTok (arXiv 2602.03339), Sec. 3.5 and App. A; schedules of masks and of guidance as MAR (arXiv 2406.11838).
Shapes: B samples, N tokens of C values, D width, S diffusion steps.
"""

import math

import torch
from torch import Tensor

from tesserae.generators.diffloss_sampler import Streams, TokenSampler, draw_streams, guidance_at
from tesserae.generators.emaskgit import EMaskGIT


def masked_after(tokens: int, steps: int) -> list[int]:
    """How many tokens are masked after each step: cosine, at least one less each time, never below one.

    The last entry is therefore 1, though the last step draws all that is left: its guidance is the one for 1.
    """
    counts, masked = [], tokens
    for step in range(1, steps + 1):
        masked = max(1, min(masked - 1, math.floor(tokens * math.cos(math.pi / 2 * step / steps))))
        counts.append(masked)
    return counts


def generate(
    model: EMaskGIT,
    labels: Tensor,
    streams: Streams,
    *,
    guidance: float,
    guidance_schedule: str,
    steps: int,
    temperature: float,
    x0_limit: float | None = None,
) -> Tensor:
    """Tokens (B, N, C) for labels (B,) from given randomness: in the drawn order, from its end to its start."""
    # DECISION (D27): the paper masks "uncertain" tokens, which means nothing for a diffusion head; MAR's order it is.
    (order, noise), guided = streams, guidance != 1
    B, N, diffusion_steps, C = noise.shape
    draw = TokenSampler(model.diffloss, diffusion_steps, temperature, x0_limit)
    classes = torch.cat([labels, torch.full_like(labels, model.null)]) if guided else labels
    tokens, masked = noise.new_zeros(B, N, C), torch.ones(B, N, dtype=torch.bool, device=noise.device)
    counts, before = masked_after(N, min(steps, N)), N
    for number, after in enumerate(counts):
        left = after if number < len(counts) - 1 else 0
        chosen = order[:, left:before]
        seen, hidden = (torch.cat([x, x]) if guided else x for x in (tokens, masked))
        z = model.conditions(seen, hidden, classes)
        z = z.take_along_dim((torch.cat([chosen, chosen]) if guided else chosen)[..., None], dim=1)
        own = noise.flatten(2).take_along_dim(chosen[..., None], dim=1)
        drawn = draw(
            z.reshape(1 + guided, -1, z.shape[-1]),
            own.reshape(-1, diffusion_steps, C).transpose(0, 1),
            guidance_at(guidance, guidance_schedule, N - after, N),
        )
        tokens.scatter_(1, chosen[..., None].expand(-1, -1, C), drawn.view(B, -1, C))
        masked.scatter_(1, chosen, False)
        before = left
    return tokens


@torch.inference_mode()
def sample(
    model: EMaskGIT,
    labels: Tensor,
    *,
    seeds: list[int],
    guidance: float,
    guidance_schedule: str,
    steps: int,
    diffusion_steps: int,
    temperature: float,
    x0_limit: float | None = None,
) -> Tensor:
    """Standardised tokens (B, N, C) for labels (B,), one seed per sample; dropout is off whatever the model's mode.

    Sample i is a function of labels[i], seeds[i] and the settings, but for rounding, which differs from batch to batch.
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
            steps=steps,
            temperature=temperature,
            x0_limit=x0_limit,
        )
    finally:
        model.train(was_training)
