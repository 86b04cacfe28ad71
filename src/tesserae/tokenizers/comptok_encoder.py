"""CompTok's transformers that read: its encoder, which is Semanticist's (arXiv 2503.08685, official code), and the
network Q that reads tokens back from what was decoded (arXiv 2602.03339, Sec. 3.4.1).

Shapes: B images of side S, P patches, K concept tokens, d values of a token, C x H x H values of latents, D width.
"""

import torch
from torch import Tensor, nn

from tesserae.nn.masked_attention import prefix_mask
from tesserae.nn.positions import placed
from tesserae.nn.register_encoder import MaskedBlock
from tesserae.nn.sizes import TransformerSize

NORM_EPS = 1e-6
STD = 0.02  # of linear layers, positions and learned tokens


def free(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=STD))


def start_linear(model: nn.Module) -> None:
    """Linear layers: truncated normal, biases zero. Convolutions keep PyTorch's."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=STD)
            nn.init.zeros_(module.bias)


def blocks_of(size: TransformerSize, drop_path: float = 0.0) -> nn.ModuleList:
    """Pre-norm blocks, the first of which is never left out and the last with probability `drop_path`."""
    last = max(1, size["blocks"] - 1)
    return nn.ModuleList(
        MaskedBlock(size["width"], size["heads"], eps=NORM_EPS, drop_path=drop_path * i / last)
        for i in range(size["blocks"])
    )


class ConceptEncoder(nn.Module):
    """Images (B, 3, S, S) in [0, 1] -> (B, K, D).

    A class token and patches see each other; concept token k sees them and the concept tokens up to itself.
    """

    mask: Tensor

    def __init__(self, size: TransformerSize, image_size: int, patch_size: int, concepts: int, drop_path: float):
        super().__init__()
        width, self.patches, self.concepts = size["width"], (image_size // patch_size) ** 2, concepts
        self.cls_token, self.slot_embed = free(1, 1, width), free(1, concepts, width)
        self.pos_embed = free(1, 1 + self.patches + concepts, width)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch_size, stride=patch_size)})
        self.blocks, self.norm = blocks_of(size, drop_path), nn.LayerNorm(width, eps=NORM_EPS)
        self.register_buffer("mask", prefix_mask(1 + self.patches, concepts, causal=True), persistent=False)
        start_linear(self)

    @torch.no_grad()
    def place_tokens(self) -> None:
        """Positions of patches start as those of a grid."""
        self.pos_embed[0, 1 : 1 + self.patches] = placed(self.pos_embed.shape[-1], self.patches)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](images).flatten(2).transpose(1, 2)
        first, last = (x.expand(len(images), -1, -1) for x in (self.cls_token, self.slot_embed))
        x = torch.cat([first, patches, last], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x, mask=self.mask)
        return self.norm(x[:, -self.concepts :])


class Recogniser(nn.Module):
    """Q: latents (B, C, H, H) -> tokens (B, K, d), with learned queries among which all see all."""

    # DECISION (D09): a network of its own, as large as the encoder. InfoGAN shares it with the discriminator, which one
    # ablation does without; and latents spare a gradient through the first stage.

    def __init__(self, size: TransformerSize, side: int, channels: int, concepts: int, token_width: int):
        super().__init__()
        width, self.places, self.concepts = size["width"], side * side, concepts
        self.embed = nn.Linear(channels, width)
        self.queries, self.pos_embed = free(1, concepts, width), free(1, self.places + concepts, width)
        self.blocks, self.norm = blocks_of(size), nn.LayerNorm(width, eps=NORM_EPS)
        self.out = nn.Linear(width, token_width)
        start_linear(self)

    @torch.no_grad()
    def place_tokens(self) -> None:
        """Positions of latents start as those of a grid."""
        self.pos_embed[0, : self.places] = placed(self.pos_embed.shape[-1], self.places)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.embed(latents.flatten(2).transpose(1, 2))
        x = torch.cat([x, self.queries.expand(len(x), -1, -1)], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x[:, self.places :]))
