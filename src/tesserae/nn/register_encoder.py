"""A transformer whose registers collect what they can of an image's patches: FlexTok's encoder (arXiv 2502.13967,
Sec. 3.1), and the first half of others with tokens that stand nowhere on the image.

Shapes: B images, P patches of p values, N registers, D width, d values of a token.
"""

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from tesserae.nn.clip_blocks import learned
from tesserae.nn.feedforward import MLP
from tesserae.nn.masked_attention import MaskedAttention, prefix_mask
from tesserae.nn.positions import placed
from tesserae.nn.sizes import TransformerSize


class MaskedBlock(nn.Module):
    """Pre-norm transformer block on (B, N, D).

    In training each of its halves is left out of a sample with probability `drop_path` (arXiv 1603.09382).
    """

    def __init__(self, width: int, heads: int, *, eps: float = 1e-5, drop_path: float = 0.0):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attn, self.mlp = MaskedAttention(width, heads), MLP(width, 4 * width)
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), mask=mask))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class RegisterEncoder(nn.Module):
    """Patches (B, P, p) -> tokens (B, N, d), before they are quantised.

    Patches see each other and no register; a register sees all patches and the registers up to itself, or all of them
    if it is not `causal`.
    """

    mask: Tensor

    def __init__(self, size: TransformerSize, patches: int, values: int, registers: int, out: int, *, causal: bool):
        super().__init__()
        width = size["width"]
        self.patches = patches
        self.embed = nn.Linear(values, width)
        self.register_buffer("pos_embed", placed(width, patches), persistent=False)  # (P, D)
        self.registers = learned(registers, width)
        self.blocks = nn.ModuleList(MaskedBlock(width, size["heads"]) for _ in range(size["blocks"]))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, out)
        self.register_buffer("mask", prefix_mask(patches, registers, causal=causal), persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        x = self.embed(patches) + self.pos_embed
        x = torch.cat([x, self.registers.expand(len(x), -1, -1)], dim=1)
        for block in self.blocks:
            x = block(x, mask=self.mask)
        return self.out(self.norm(x[:, self.patches :]))
