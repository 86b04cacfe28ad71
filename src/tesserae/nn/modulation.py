"""Conditioning by adaptive layer norm: time and label embeddings, and the blocks they modulate.

Source: DiT (arXiv 2212.09748), Sec. 3.2 "adaLN-Zero block", as used by SiT, DiT, LightningDiT, the continuous
autoregressive models and the diffusion heads. The zero initialisation belongs to the models, with the rest of theirs.

Shapes: B batch, N tokens, D width. A condition is (B, D), one per sample, or (B, N, D), one per token.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

NUM_FREQUENCIES = 128  # cosines and sines: a sinusoid of 256 values (DiT, official code; ADM, arXiv 2105.05233)
MAX_PERIOD = 10_000.0


def timestep_sinusoid(t: Tensor) -> Tensor:
    """Times t (B,), any real unit -> float32 (B, 256): [cos(t w), sin(t w)], w_i = 10000^(-i/128), i = 0..127."""
    i = torch.arange(NUM_FREQUENCIES, dtype=torch.float32, device=t.device)
    angles = t[:, None].float() * torch.exp(-math.log(MAX_PERIOD) * i / NUM_FREQUENCIES)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (B, N, D) * (1 + scale) + shift, with shift and scale per sample (B, D) or already shaped like x."""
    if shift.ndim == x.ndim - 1:
        shift, scale = shift.unsqueeze(1), scale.unsqueeze(1)
    return torch.addcmul(shift, x, 1 + scale)  # one pass over x


class TimestepEmbedder(nn.Module):
    """Times (B,) -> (B, D): the sinusoid of 256 values through Linear, SiLU, Linear.

    `hidden` is the number of values of the sinusoid, the same in every system here. The time's unit is the caller's:
    [0, 1] for flows, integers for DDPM.
    """

    def __init__(self, width: int, hidden: int = 2 * NUM_FREQUENCIES):
        super().__init__()
        if hidden != 2 * NUM_FREQUENCIES:
            raise ValueError(f"the time sinusoid has {2 * NUM_FREQUENCIES} values, not {hidden}")
        self.mlp = nn.Sequential(nn.Linear(hidden, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(timestep_sinusoid(t).to(self.mlp[0].weight.dtype))


class LabelEmbedder(nn.Module):
    """Class labels int64 (B,) -> (B, D). The table has one row more than there are classes: the null class, last."""

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.null = classes
        self.embedding_table = nn.Embedding(classes + 1, width)

    def forward(self, labels: Tensor) -> Tensor:
        return self.embedding_table(labels)

    def drop(self, labels: Tensor, probability: float, rng: torch.Generator) -> Tensor:
        """Replace each label by the null class with `probability` (training for guidance, arXiv 2207.12598, Alg. 1)."""
        dropped = torch.rand(labels.shape, generator=rng, device=rng.device).to(labels.device) < probability
        return torch.where(dropped, self.null, labels)


def adaptive_parameters(layer: nn.Module, condition: Tensor, count: int) -> tuple[Tensor, ...]:
    """Condition (B, D) or (B, N, D) -> `count` tensors (B, 1, D) or (B, N, D) from one adaLN layer."""
    parameters = layer(condition)
    return (parameters.unsqueeze(1) if parameters.ndim == 2 else parameters).chunk(count, dim=-1)


class ModulatedBlock(nn.Module):
    """DiT, Sec. 3.2: a pre-norm transformer block whose two norms are shifted and scaled, and two outputs gated.

    The caller brings the parts: `norm()` makes each of the two norms, `attn` and `mlp` map (B, N, D) to (B, N, D).
    """

    def __init__(self, width: int, *, norm: Callable[[], nn.Module], attn: nn.Module, mlp: nn.Module):
        super().__init__()
        self.norm1, self.norm2 = norm(), norm()
        self.attn, self.mlp = attn, mlp
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor, **attention) -> Tensor:
        """x (B, N, D) -> (B, N, D). Further keywords (rope, causal) go to the attention."""
        shift1, scale1, gate1, shift2, scale2, gate2 = adaptive_parameters(self.adaLN_modulation, condition, 6)
        x = torch.addcmul(x, gate1, self.attn(modulate(self.norm1(x), shift1, scale1), **attention))
        return torch.addcmul(x, gate2, self.mlp(modulate(self.norm2(x), shift2, scale2)))


class ModulatedLinear(nn.Module):
    """DiT's last layer: norm, shift and scale from the condition, Linear(D -> C). (B, N, D) -> (B, N, C)."""

    def __init__(self, width: int, out: int, *, norm: Callable[[], nn.Module]):
        super().__init__()
        self.norm = norm()
        self.linear = nn.Linear(width, out)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = adaptive_parameters(self.adaLN_modulation, condition, 2)
        return self.linear(modulate(self.norm(x), shift, scale))
