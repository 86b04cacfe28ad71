"""Diffusion loss: a small MLP that models one continuous token given its condition vector.

Source: MAR (arXiv 2406.11838), Sec. 3 and App. "Diffusion Loss"; sizes from l-DeTok (arXiv 2507.15856), App. A.2.
Sampling is elsewhere (it must not retrain anything). Parameter names are those of the published MAR weights.

Shapes: M tokens (all positions of a batch are alike here), C channels, Z condition width, W width, T steps.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.diffusion.gaussian import DiffusionLoss, GaussianDiffusion, make_betas
from tesserae.nn.modulation import TimestepEmbedder


class ResBlock(nn.Module):
    """x + gate * MLP(modulated LayerNorm(x)), with (shift, scale, gate) from the condition."""

    def __init__(self, width: int):
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(self, x: Tensor, shift: Tensor, gain: Tensor, gate: Tensor) -> Tensor:
        """All (..., M, W), gain = 1 + scale; x may lack the leading axes of the others."""
        return torch.addcmul(x, gate, self.mlp(torch.addcmul(shift, self.in_ln(x), gain)))


class FinalLayer(nn.Module):
    """Modulated LayerNorm without weights of its own, then Linear."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor, shift: Tensor, gain: Tensor) -> Tensor:
        """All (..., M, W), gain = 1 + scale -> (..., M, outputs)."""
        return self.linear(torch.addcmul(shift, self.norm(x), gain))


class DenoisingMLP(nn.Module):
    """Noisy token, time and condition -> (prediction, variance logits)."""

    def __init__(self, channels: int, condition_width: int, width: int, blocks: int):
        super().__init__()
        self.time_embed = TimestepEmbedder(width)
        self.cond_embed = nn.Linear(condition_width, width)
        self.input_proj = nn.Linear(channels, width)
        self.res_blocks = nn.ModuleList(ResBlock(width) for _ in range(blocks))
        self.final_layer = FinalLayer(width, 2 * channels)
        self.initialise()

    def initialise(self) -> None:
        """Linear Xavier-uniform with zero bias, time MLP N(0, 0.02^2), modulations and output zero (as DiT)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.time_embed.mlp[0], self.time_embed.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)
        for layer in [*(block.adaLN_modulation[1] for block in self.res_blocks), self.final_layer.adaLN_modulation[1]]:
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.final_layer.linear.weight)

    def modulations(self, embedded: Tensor) -> list[list[Tensor]]:
        """What conditions each layer: shift, 1 + scale and, but for the last one, gate, each like `embedded` (..., W).

        Nothing here depends on the noisy token, so a sampler can do it for many diffusion steps at once.
        """
        activated = F.silu(embedded)  # the first layer of every adaLN_modulation, done once for all of them
        found = []
        for layer in (*self.res_blocks, self.final_layer):
            linear = layer.adaLN_modulation[1]
            shift, scale, *gate = linear(activated).split(embedded.shape[-1], dim=-1)
            found.append([shift, 1 + scale, *gate])
        return found

    def modulated(self, x: Tensor, modulations: list[list[Tensor]]) -> Tensor:
        """x (M, C) and what conditions each layer, each (..., M, W) -> (..., M, 2C)."""
        x = self.input_proj(x)
        for block, modulation in zip((*self.res_blocks, self.final_layer), modulations, strict=True):
            x = block(x, *modulation)
        return x

    def denoise(self, x: Tensor, embedded: Tensor) -> Tensor:
        """x (M, C) and embedded = time_embed(t) + cond_embed(z) (M, W) -> (M, 2C)."""
        return self.modulated(x, self.modulations(embedded))

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """x (M, C), t (M,) in 0..T-1, z (M, Z) -> (M, 2C): predicted noise or velocity, then variance logits."""
        return self.denoise(x, self.time_embed(t) + self.cond_embed(z))


class DiffLoss(nn.Module):
    """The loss: MSE + VB of a diffusion over single tokens, at random times."""

    def __init__(
        self,
        *,
        channels: int,
        condition_width: int,
        width: int,
        blocks: int,
        batch_multiplier: int,
        steps: int,
        schedule: str,
        prediction: str = "noise",
    ):
        super().__init__()
        self.channels = channels
        self.batch_multiplier = batch_multiplier
        self.net = DenoisingMLP(channels, condition_width, width, blocks)
        self.diffusion = GaussianDiffusion(make_betas(schedule, steps), prediction)

    def losses_at(self, z: Tensor, target: Tensor, t: Tensor, noise: Tensor) -> DiffusionLoss:
        """Terms (M,) for conditions z (m, Z), targets (m, C), times (M,) and noise (M, C); M is a multiple of m.

        Conditions and targets are repeated, as one block after the other, to length M.
        """
        copies = len(t) // len(z)
        # Times are integers: when there are more rows than times, embed each time once. Same numbers, less work.
        if len(t) > self.diffusion.steps:
            every = torch.arange(self.diffusion.steps, device=t.device)
            time = F.embedding(t, self.net.time_embed(every))
        else:
            time = self.net.time_embed(t)
        target = target.repeat(copies, 1)
        output = self.net.denoise(
            self.diffusion.q_sample(target, t, noise), time + self.net.cond_embed(z).repeat(copies, 1)
        )
        return self.diffusion.losses(output, target, t, noise)

    def forward(self, z: Tensor, target: Tensor, rng: torch.Generator) -> DiffusionLoss:
        """Mean terms (0-d) for conditions z (m, Z) and targets (m, C): `batch_multiplier` times and noises for each."""
        rows = self.batch_multiplier * len(target)
        t = torch.randint(self.diffusion.steps, (rows,), generator=rng, device=rng.device).to(target.device)
        noise = torch.randn(rows, self.channels, generator=rng, device=rng.device).to(target.device)
        terms = self.losses_at(z, target, t, noise)
        return DiffusionLoss(terms.mse.mean(), terms.vb.mean())
