"""Sampling of epsilon-LlamaGen: token after token, each by the stochastic equation of its flow.

Source: Semanticist (arXiv 2503.08685, official code). Shapes: B samples, N tokens of C values of which the first n are
drawn, S noisy steps of the flow, D width.
"""

import torch
from torch import Tensor

from tesserae.diffusion.integrators import euler_maruyama
from tesserae.generators.diffloss_sampler import guidance_at
from tesserae.generators.epsilon_llamagen import EpsilonLlamaGen

FORM, LAST_STEP = "sigma", 0.04  # official code


def generate(
    model: EpsilonLlamaGen,
    labels: Tensor,
    noise: Tensor,
    *,
    guidance: float,
    guidance_schedule: str,
    temperature: float,
) -> Tensor:
    """The first tokens (B, n, C) for labels (B,); noise (B, n, 1 + S, C): where a token begins, then of each step.

    Temperature scales the noise of the steps alone.
    """
    halves, (B, n) = (1 if guidance == 1 else 2), noise.shape[:2]
    classes = torch.cat([labels, torch.full_like(labels, model.cls_embedding.null)][:halves])
    caches, net = model.empty_caches(halves * B), model.diffloss.net
    x, drawn = model.cls_embedding(classes)[:, None], []
    for i in range(n):
        z, scale = model(x, caches)[:, 0], guidance_at(guidance, guidance_schedule, i + 1, n)

        def velocity(state: Tensor, t: Tensor, z: Tensor = z, scale: float = scale) -> Tensor:
            found = net(state.repeat(halves, 1), t.view(1), z)
            if halves == 1:
                return found
            informed, blind = found.chunk(2)
            return blind + scale * (informed - blind)

        steps = temperature * noise[:, i, 1:]
        token = euler_maruyama(velocity, noise[:, i, 0], steps, form=FORM, last_step=LAST_STEP)
        drawn.append(token)
        x = model.z_proj(token)[:, None].repeat(halves, 1, 1)
    return torch.stack(drawn, dim=1)


@torch.inference_mode()
def sample(
    model: EpsilonLlamaGen,
    labels: Tensor,
    *,
    seeds: list[int],
    guidance: float,
    guidance_schedule: str,
    flow_steps: int,
    temperature: float,
) -> Tensor:
    """Standardised tokens (B, N, C) for labels (B,), one seed per sample; those that are not drawn are NaN.

    The flow of a token is evaluated `flow_steps` times. Sample i is a function of labels[i], seeds[i] and the settings,
    but for rounding.
    """
    if len(seeds) != len(labels):
        raise ValueError(f"{len(seeds)} seeds for {len(labels)} labels")
    shape = model.first_tokens, flow_steps, model.token_width
    noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    was_training = model.training
    model.eval()
    try:
        tokens = generate(
            model,
            labels,
            noise.to(labels.device),
            guidance=guidance,
            guidance_schedule=guidance_schedule,
            temperature=temperature,
        )
    finally:
        model.train(was_training)
    absent = tokens.new_full((len(tokens), model.token_length - model.first_tokens, model.token_width), torch.nan)
    return torch.cat([tokens, absent], dim=1)
