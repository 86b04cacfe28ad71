"""CompTok's transformers on noisy latents: its decoder, which is Semanticist's (arXiv 2503.08685, official code), and
the critic of adversarial flow models (arXiv 2511.22475, official code). Both are DiT (arXiv 2212.09748) but for what
they read beside the patches of latents. Names of parameters are those of the official codes.

Shapes: B samples, P patches of p x p latents, s = p * p, C channels; K concept tokens of d values; D width; T steps.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.losses.representation import projector
from tesserae.nn.attention import Attention
from tesserae.nn.diffusion_transformer import EMBEDDING_STD, MLP_RATIO, plain_norm
from tesserae.nn.feedforward import MLP
from tesserae.nn.modulation import ModulatedBlock, ModulatedLinear, TimestepEmbedder
from tesserae.nn.positions import placed, sincos_2d
from tesserae.nn.sizes import TransformerSize


class Denoised(NamedTuple):
    output: Tensor  # (B, P, s, 2C): what is predicted, then logits of its variance
    hidden: Tensor | None  # (B, P, D): patches after the aligned block, where that is asked for


class LatentTransformer(nn.Module):
    """What decoder and critic share: noisy latents as patches, times, modulated blocks."""

    def __init__(self, size: TransformerSize, grid: int, patch_size: int, channels: int):
        super().__init__()
        width = size["width"]
        self.x_embedder = nn.ModuleDict({"proj": nn.Conv2d(channels, width, patch_size, stride=patch_size)})
        self.register_buffer("pos_embed", sincos_2d(width, grid, grid)[None], persistent=False)  # fixed
        self.t_embedder = TimestepEmbedder(width)
        self.blocks = nn.ModuleList(
            ModulatedBlock(
                width,
                norm=lambda: plain_norm(width),
                attn=Attention(width, size["heads"]),
                mlp=MLP(width, MLP_RATIO * width, "tanh"),
            )
            for _ in range(size["blocks"])
        )

    def initialise(self) -> None:
        """DiT, official code: Xavier-uniform linear maps, a small embedding of times, modulations at zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))
                nn.init.zeros_(module.bias)
        for layer in (self.t_embedder.mlp[0], self.t_embedder.mlp[2]):
            nn.init.normal_(layer.weight, std=EMBEDDING_STD)
        for block in self.blocks:
            nn.init.zeros_(block.adaLN_modulation[1].weight)

    def embedded(self, x: Tensor) -> Tensor:
        """Latents (B, P, s, C) -> (B, P, D): the convolution of the map, applied to patches as the linear map it is."""
        layer = self.x_embedder["proj"]
        return F.linear(x.flatten(2), layer.weight.permute(0, 2, 3, 1).flatten(1), layer.bias) + self.pos_embed


class ConceptDecoder(LatentTransformer):
    """Noisy latents, times and concept tokens in one sequence in which all see all; zero when it starts."""

    # DECISION (D07): concept tokens have no positions, as in Semanticist's code: their order says nothing. A scale may
    # give them some.

    def __init__(
        self,
        size: TransformerSize,
        *,
        grid: int,
        patch_size: int,
        channels: int,
        concepts: int,
        token_width: int,
        concept_positions: bool,
        aligned_block: int,  # 1-based; 0: nothing is aligned
        projector_width: int,
        teacher_width: int | None,
    ):
        super().__init__(size, grid, patch_size, channels)
        if not 0 <= aligned_block <= size["blocks"]:
            raise ValueError(f"aligned_block {aligned_block}: a decoder of {size['blocks']} blocks has 1 to that many")
        self.aligned_block, self.cells = aligned_block, patch_size**2
        width, outputs = size["width"], self.cells * 2 * channels
        self.final_layer = ModulatedLinear(width, outputs, norm=lambda: plain_norm(width))
        self.initialise()
        for layer in (self.final_layer.adaLN_modulation[1], self.final_layer.linear):
            nn.init.zeros_(layer.weight)
        # These keep PyTorch's first weights (official code).
        self.null_cond = nn.Parameter(EMBEDDING_STD * torch.randn(1, concepts, token_width))
        self.autoenc_cond_embedder = nn.Linear(token_width, width)
        if concept_positions:
            self.cond_positions = nn.Parameter(EMBEDDING_STD * torch.randn(1, concepts, width))
        if aligned_block:
            self.projector = projector(width, projector_width, teacher_width)

    @torch.no_grad()
    def place_tokens(self) -> None:
        """Learned positions of concept tokens, if there are any, start as those of a grid."""
        if hasattr(self, "cond_positions"):
            self.cond_positions[0] = placed(self.cond_positions.shape[-1], self.cond_positions.shape[1])

    def forward(self, x: Tensor, t: Tensor, tokens: Tensor, *, aligned: bool = False) -> Denoised:
        """x (B, P, s, C), t int64 (B,) or (1,), tokens (B, K, d); `aligned`: the hidden patches are wanted."""
        condition = self.t_embedder(t).expand(len(x), -1)
        patches, hidden = x.shape[1], None
        read = self.autoenc_cond_embedder(tokens)
        if hasattr(self, "cond_positions"):
            read = read + self.cond_positions
        h = torch.cat([self.embedded(x), read], dim=1)
        for number, block in enumerate(self.blocks, 1):
            h = block(h, condition)
            if aligned and number == self.aligned_block:
                hidden = h[:, :patches]
        output = self.final_layer(h[:, :patches], condition)
        return Denoised(output.unflatten(2, (self.cells, -1)), hidden)


class Critic(LatentTransformer):
    """D_psi: latents under noise and its time -> how real they look, (B,). Nothing else is asked of them."""

    # DECISION (D11): as large as the decoder, as the official code's is; no label, no concept tokens.

    def __init__(self, size: TransformerSize, *, grid: int, patch_size: int, channels: int):
        super().__init__(size, grid, patch_size, channels)
        self.initialise()
        width = size["width"]
        self.dis_embed = nn.Parameter(EMBEDDING_STD * torch.randn(width))
        self.final_layer = nn.Sequential(plain_norm(width), nn.Linear(width, 1, bias=False))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (B, P, s, C), t int64 (B,) or (1,) -> (B,)."""
        condition = self.t_embedder(t).expand(len(x), -1)
        h = torch.cat([self.dis_embed.expand(len(x), 1, -1), self.embedded(x)], dim=1)
        for block in self.blocks:
            h = block(h, condition)
        return self.final_layer(h[:, 0])[:, 0]
