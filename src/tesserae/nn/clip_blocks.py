"""Transformer blocks, learned tokens and first weights as TiTok's official code has them (arXiv 2406.07550).

Shapes: B batch, D width.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn


def learned(*shape: int) -> nn.Parameter:
    """Tokens or positions of width `shape[-1]`, normal with that to the power -1/2 as deviation (official code)."""
    return nn.Parameter(shape[-1] ** -0.5 * torch.randn(shape))


def init_layers(module: nn.Module, std: float) -> None:
    """Linear layers and convolutions: normal with deviation `std`, biases 0 (official code: 0.02)."""
    # The fused projection of queries, keys and values is a bare parameter and keeps PyTorch's Xavier initialisation.
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.trunc_normal_(module.weight, std=std)
        nn.init.zeros_(module.bias)


class Block(nn.Module):
    """Pre-norm transformer block on (tokens, B, D), with CLIP's names."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads)
        layers = {"c_fc": nn.Linear(width, 4 * width), "gelu": nn.GELU(), "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))
