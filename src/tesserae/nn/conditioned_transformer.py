"""A diffusion transformer that reads the tokens of an image beside its noisy patches: the decoder of FlexTok
(arXiv 2502.13967, Sec. 3.2), and of others that decode by a flow.

Patches and tokens are one sequence, with the same weights and a modulation of their own each (FlexTok, official code:
"adaLN_expansion"). Nothing is a class here.

Shapes: B samples, P patches of p values, N tokens, T = P + N, D width.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.clip_blocks import learned
from tesserae.nn.diffusion_transformer import EMBEDDING_STD, plain_feedforward, plain_norm
from tesserae.nn.masked_attention import MaskedAttention
from tesserae.nn.modulation import ModulatedLinear, TimestepEmbedder, modulate
from tesserae.nn.positions import placed
from tesserae.nn.sizes import TransformerSize

TIME_SCALE = 1000.0  # times in [0, 1] are embedded as DDPM's steps are (SD3, FlexTok: official codes)


class Said(NamedTuple):
    patches: Tensor  # (B, P, p): of each what the network was trained to say, a velocity or the patch itself
    hidden: Tensor  # (B, P, D): patches after the block that was asked for


class GroupedBlock(nn.Module):
    """DiT's modulated block (arXiv 2212.09748, Sec. 3.2), of which patches and tokens have each their shifts, scales
    and gates.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = plain_norm(width), plain_norm(width)
        self.attn, self.mlp = MaskedAttention(width, heads), plain_feedforward(width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * 6 * width))

    def forward(self, x: Tensor, condition: Tensor, patches: int, mask: Tensor | None) -> Tensor:
        """x (B, T, D), of which the first are patches; condition (B, D); mask as of `MaskedAttention`."""
        of_patches, of_tokens = self.adaLN_modulation(condition)[:, None].chunk(2, dim=2)  # (B, 1, 6 D) each
        spread = of_patches.expand(-1, patches, -1), of_tokens.expand(-1, x.shape[1] - patches, -1)
        shift1, scale1, gate1, shift2, scale2, gate2 = torch.cat(spread, dim=1).chunk(6, dim=2)
        x = torch.addcmul(x, gate1, self.attn(modulate(self.norm1(x), shift1, scale1), mask=mask))
        return torch.addcmul(x, gate2, self.mlp(modulate(self.norm2(x), shift2, scale2)))


class ConditionedTransformer(nn.Module):
    """Noisy patches, times and tokens -> what is said of each patch; zero when it starts.

    `gate_start` is the first bias of the blocks' gates: 0, as in DiT, lets a block in only as fast as its gates grow.
    """

    def __init__(
        self, size: TransformerSize, patches: int, values: int, tokens: int, token_width: int, gate_start: float = 0.0
    ):
        super().__init__()
        width = size["width"]
        self.patches = patches
        self.x_embedder, self.token_embedder = nn.Linear(values, width), nn.Linear(token_width, width)
        self.register_buffer("pos_embed", placed(width, patches), persistent=False)  # (P, D)
        self.token_pos_embed = learned(tokens, width)
        self.t_embedder = TimestepEmbedder(width)
        self.blocks = nn.ModuleList(GroupedBlock(width, size["heads"]) for _ in range(size["blocks"]))
        self.final_layer = ModulatedLinear(width, values, norm=lambda: plain_norm(width))
        self.initialise(gate_start)

    def initialise(self, gate_start: float) -> None:
        """As DiT's: Xavier-uniform linear maps, a small embedding of times, modulations and outputs at zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.t_embedder.mlp[0], self.t_embedder.mlp[2]):
            nn.init.normal_(layer.weight, std=EMBEDDING_STD)
        for layer in (*self.blocks, self.final_layer):
            nn.init.zeros_(layer.adaLN_modulation[1].weight)
        nn.init.zeros_(self.final_layer.linear.weight)
        for block in self.blocks:
            biases = block.adaLN_modulation[1].bias.unflatten(0, (2, 2, 3, -1))  # of each kind, twice: the third a gate
            nn.init.constant_(biases[:, :, 2], gate_start)

    def embedded(self, vectors: Tensor) -> Tensor:
        """Entries of the codebook (B, N, d) -> tokens (B, N, D), as `forward` reads them."""
        return self.token_embedder(vectors)

    def forward(self, x: Tensor, t: Tensor, tokens: Tensor, *, visible: Tensor | None = None, after: int = 0) -> Said:
        """Noisy patches x (B, P, p), times t (B,) or (1,) in [0, 1], tokens (B, N, D) without positions.

        `visible`: bool (B, N), the tokens that are seen by anyone; None: all. `after`: the block, from 0 on, whose
        patches are returned as well.
        """
        condition = self.t_embedder(TIME_SCALE * t).expand(len(x), -1)
        mask = None
        if visible is not None:
            mask = F.pad(visible, (self.patches, 0), value=True)[:, None, None]  # (B, 1, 1, T)
        x = torch.cat([self.x_embedder(x) + self.pos_embed, tokens + self.token_pos_embed], dim=1)
        for place, block in enumerate(self.blocks):
            x = block(x, condition, self.patches, mask)
            if place == after:
                hidden = x[:, : self.patches]
        return Said(self.final_layer(x[:, : self.patches], condition), hidden)
