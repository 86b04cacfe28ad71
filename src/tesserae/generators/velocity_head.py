"""A head that draws one continuous token along a flow: a small MLP, to whose layers the condition is appended.

Source: Semanticist (arXiv 2503.08685, official code: DiffLoss with `use_si` and `cond_method="concat"`), after the
diffusion loss of MAR (arXiv 2406.11838). Only the time modulates. Parameter names are those of the official code.

Shapes: M tokens of C values, Z width of a condition, W width.
"""

import torch
from torch import Tensor, nn

from tesserae.diffusion.flow import draw_noise, draw_uniform_times, path, path_velocity
from tesserae.nn.modulation import TimestepEmbedder

EPS = 1e-6  # official code


class AppendedBlock(nn.Module):
    """x + gate * MLP(modulated LayerNorm(x), condition): all (M, W)."""

    def __init__(self, width: int):
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=EPS)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        self.mlp = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.adaLN_modulation(time).chunk(3, dim=-1)
        seen = torch.addcmul(shift, self.in_ln(x), 1 + scale)
        return torch.addcmul(x, gate, self.mlp(torch.cat([seen, condition], dim=-1)))


class AppendedOutput(nn.Module):
    """Linear of (modulated LayerNorm(x), condition): (M, W) -> (M, C)."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=EPS)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.linear = nn.Linear(2 * width, outputs)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(time).chunk(2, dim=-1)
        return self.linear(torch.cat([torch.addcmul(shift, self.norm_final(x), 1 + scale), condition], dim=-1))


class VelocityMLP(nn.Module):
    """Noisy token, time and condition -> velocity."""

    def __init__(self, channels: int, condition_width: int, width: int, blocks: int):
        super().__init__()
        self.time_embed = TimestepEmbedder(width)
        self.cond_embed, self.input_proj = nn.Linear(condition_width, width), nn.Linear(channels, width)
        self.res_blocks = nn.ModuleList(AppendedBlock(width) for _ in range(blocks))
        self.final_layer = AppendedOutput(width, channels)
        self.initialise()

    def initialise(self) -> None:
        """Linear Xavier-uniform with zero bias, time MLP N(0, 0.02^2), modulations and output zero (as DiT)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.time_embed.mlp[0], self.time_embed.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)
        for layer in (*self.res_blocks, self.final_layer):
            nn.init.zeros_(layer.adaLN_modulation[1].weight)
        nn.init.zeros_(self.final_layer.linear.weight)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """x (M, C), t (M,) or (1,) in [0, 1], condition (M, Z) -> (M, C)."""
        x, condition = self.input_proj(x), self.cond_embed(condition)
        time = self.time_embed(t).expand(len(x), -1)
        for block in self.res_blocks:
            x = block(x, time, condition)
        return self.final_layer(x, time, condition)


class VelocityHead(nn.Module):
    """The loss: flow matching over single tokens, several times and noises for each."""

    def __init__(self, *, channels: int, condition_width: int, width: int, blocks: int, batch_multiplier: int):
        super().__init__()
        self.batch_multiplier = batch_multiplier
        self.net = VelocityMLP(channels, condition_width, width, blocks)

    def forward(self, conditions: Tensor, tokens: Tensor, rng: torch.Generator) -> Tensor:
        """Mean squared error of the velocity, 0-d, for conditions (m, Z) of tokens (m, C)."""
        conditions, tokens = (x.repeat(self.batch_multiplier, 1) for x in (conditions, tokens))
        t, noise = draw_uniform_times(tokens, rng), draw_noise(tokens, rng)
        found = self.net(path(tokens, noise, t), t, conditions)
        return (found.float() - path_velocity(tokens, noise)).square().mean()
