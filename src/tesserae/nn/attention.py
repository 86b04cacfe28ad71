"""Multi-head self-attention, the one copy in the project.

Shapes: B batch, N tokens, D width, H heads, d = D / H head dim.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.rope import apply_rope


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

    def forward(self, x: Tensor, *, rope: Tensor | None = None, causal: bool = False) -> Tensor:
        """x (B, N, D) -> (B, N, D). `rope` is a table of (N, 2d) or, per sample, (B, N, 2d)."""
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # (B, H, N, d)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        dropout = self.attention_dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal)
        return self.proj_drop(self.proj(out.transpose(1, 2).reshape(B, N, D)))
