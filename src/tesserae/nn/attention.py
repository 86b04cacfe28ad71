"""Multi-head self-attention, the one copy in the project, and the cache that lets causal models go on one by one.

Shapes: B batch, N tokens, D width, H heads, d = D / H head dim, L longest sequence.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.rope import apply_rope


class KeyValueCache:
    """Keys and values of one causal attention layer, of the tokens it has seen so far."""

    def __init__(self, keys: Tensor, values: Tensor):
        self.keys, self.values, self.length = keys, values, 0  # (B, H, L, d) each, of which `length` tokens are filled

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put (B, H, N, d) at the end; -> all so far. Raises ValueError beyond L tokens."""
        start, end = self.length, self.length + keys.shape[2]
        if end > self.keys.shape[2]:
            raise ValueError(f"a cache for {self.keys.shape[2]} tokens cannot hold {end} tokens")
        self.length = end
        self.keys[:, :, start:end], self.values[:, :, start:end] = keys, values
        return self.keys[:, :, :end], self.values[:, :, :end]


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool, cache: KeyValueCache | None = None, dropout: float = 0.0
) -> Tensor:
    """Softmax(q k^T / sqrt(d)) v: three times (B, H, N, d) -> (B, H, N, d).

    With a `cache`, the N tokens continue the sequence in it: they see all of those and, causally, each other.
    """
    N, mask = q.shape[2], None
    if cache is not None:
        seen = cache.length
        k, v = cache.extend(k, v)
        causal = N > 1 and not seen  # the flag counts queries from the first key: it is wrong for those in between
        if N > 1 and seen:
            mask = torch.ones(N, seen + N, dtype=torch.bool, device=q.device).tril(seen)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal)


class Attention(nn.Module):
    """Softmax(q k^T / sqrt(d)) v with a fused, biased qkv projection (as in ViT and timm).

    Both dropouts are used by MAR alone (rate 0.1); everyone else leaves them at zero.
    """

    def __init__(self, width: int, heads: int, *, attention_dropout: float = 0.0, projection_dropout: float = 0.0):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads")
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Dropout(projection_dropout)

    def forward(
        self, x: Tensor, *, rope: Tensor | None = None, causal: bool = False, cache: KeyValueCache | None = None
    ) -> Tensor:
        """x (B, N, D) -> (B, N, D). `rope` is a table of (N, 2d) or, per sample, (B, N, 2d).

        With a `cache`, x continues the sequence in it: its tokens see all of those and, causally, each other.
        """
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # (B, H, N, d)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        dropout = self.attention_dropout if self.training else 0.0
        out = attend(q, k, v, causal=causal, cache=cache, dropout=dropout)
        return self.proj_drop(self.proj(out.transpose(1, 2).reshape(B, N, D)))

    def empty_cache(self, batch: int, length: int) -> KeyValueCache:
        """For `batch` sequences of at most `length` tokens."""
        shape = (batch, self.heads, length, self.qkv.in_features // self.heads)
        return KeyValueCache(self.qkv.weight.new_empty(shape), self.qkv.weight.new_empty(shape))
