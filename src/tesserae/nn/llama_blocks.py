"""Blocks of LlamaGen's language models (arXiv 2406.06525, Sec. 3.2; official code), which are LLaMA's.

Pre-norm, with RMSNorm and SwiGLU, without biases, causal.

Shapes: B samples, n inputs at once, D width, H heads, d = D / H.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.attention import KeyValueCache, attend
from tesserae.nn.rope import apply_rope

NORM_EPS = 1e-5  # official code
HIDDEN_MULTIPLE = 256  # official code


def hidden_width(width: int) -> int:
    """Of the feed-forward layers: two thirds of 4 D, so that three matrices hold what two would, rounded up."""
    return -(-int(2 * 4 * width / 3) // HIDDEN_MULTIPLE) * HIDDEN_MULTIPLE


class CausalAttention(nn.Module):
    """Each input attends to itself and those before it; no biases. (B, n, D) -> (B, n, D)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.wqkv = nn.Linear(width, 3 * width, bias=False)
        self.wo = nn.Linear(width, width, bias=False)
        self.resid_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rope: Tensor | None, cache: KeyValueCache | None) -> Tensor:
        q, k, v = self.wqkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, H, n, d)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        out = attend(q, k, v, causal=True, cache=cache)
        return self.resid_dropout(self.wo(out.transpose(1, 2).flatten(2)))


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202, Eq. 6) of separate matrices without biases. (B, n, D) -> (B, n, D)."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        hidden = hidden_width(width)
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.ffn_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.ffn_dropout(self.w2(F.silu(self.w1(x)) * self.w3(x)))


class LlamaBlock(nn.Module):
    """Attention and feed-forward, each after a norm and beside the residual stream. (B, n, D) -> (B, n, D)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention = CausalAttention(width, heads, dropout)
        self.feed_forward = FeedForward(width, dropout)
        self.attention_norm = nn.RMSNorm(width, eps=NORM_EPS)
        self.ffn_norm = nn.RMSNorm(width, eps=NORM_EPS)

    def forward(self, x: Tensor, rope: Tensor | None, cache: KeyValueCache | None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rope, cache)
        return x + self.feed_forward(self.ffn_norm(x))
