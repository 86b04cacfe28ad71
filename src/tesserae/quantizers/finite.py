"""Finite scalar quantisation (FSQ, arXiv 2309.15505, Sec. 3.1): values of a token are rounded to a few levels each.

There is no codebook: the levels' product is the vocabulary. All of it is float32, whatever the autocast: a rounding in
half precision would change codes.

Shapes: d values of a token, with L_i levels each; V = L_1 ... L_d codes.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tesserae.quantizers.vector import straight_through

MARGIN = 1e-3  # by which the bounds lie outside the outermost levels (the authors' code)


class FiniteQuantizer(nn.Module):
    """Values (..., d) <-> codes int64 (...). The first value of a token counts fastest in its code."""

    levels: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int]):
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"levels {list(levels)}: every value needs at least two")
        self.vocabulary, self.width = math.prod(levels), len(levels)
        counts = torch.tensor(levels)
        basis = torch.cumprod(torch.tensor([1, *levels[:-1]]), dim=0)
        self.register_buffer("levels", counts, persistent=False)
        self.register_buffer("basis", basis, persistent=False)

    def bounded(self, values: Tensor) -> Tensor:
        """Values (..., d) of any floating type -> float32 between the outermost levels, which are whole numbers."""
        with torch.autocast(values.device.type, enabled=False):
            half = (self.levels - 1).float() * (1 + MARGIN) / 2
            offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
            return (values.float() + (offset / half).atanh()).tanh() * half - offset

    def forward(self, values: Tensor, *, rounded: bool = True) -> Tensor:
        """Values (..., d) -> those of their codes, float32 (..., d) in [-1, 1]; the gradient is that of `bounded`.

        Without `rounded`: the bounded values on the same scale.
        """
        bounded = self.bounded(values)
        return (straight_through(bounded, bounded.round()) if rounded else bounded) / (self.levels // 2)

    def codes(self, vectors: Tensor) -> Tensor:
        """Vectors (..., d) that `forward` made -> int64 (...), 0 ... V - 1."""
        half = self.levels // 2
        return ((vectors * half).round().long() + half).mul(self.basis).sum(dim=-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes int64 (...) -> their vectors, float32 (..., d)."""
        half = self.levels // 2
        return (codes[..., None] // self.basis % self.levels - half) / half
