"""Self-attention in which not every token sees every other one, and who sees whom where registers follow patches.

Shapes: B batch, N tokens, D width, H heads, d = D / H.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tesserae.nn.attention import Attention


def prefix_mask(prefix: int, registers: int, *, causal: bool) -> Tensor:
    """Who sees whom among `prefix` tokens and, behind them, registers: bool (N, N), rows see columns.

    The prefix sees itself alone. A register sees the prefix and, if `causal`, the registers up to itself, else all of
    them: FlexTok and Semanticist have the first, SelfTok's encoder the second.
    """
    seen = torch.ones(prefix + registers, prefix + registers, dtype=torch.bool)
    seen[:prefix, prefix:] = False
    if causal:
        seen[prefix:, prefix:] = seen[prefix:, prefix:].tril()
    return seen


class MaskedAttention(Attention):
    """`Attention` with a mask."""

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """x (B, N, D) -> the same. `mask`: bool (N, N), or any shape that spreads to (B, H, N, N), whom a row sees."""
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # (B, H, N, d)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(out.transpose(1, 2).reshape(B, N, D))
