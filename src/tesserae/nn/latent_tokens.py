"""One-dimensional tokens of an image in TiTok's official layout (arXiv 2406.07550): learned tokens that stand beside an
image's patches in one transformer, and what training spares of such networks.

Shapes: B images, P patches, N latent tokens, D width.
"""

import torch
from torch import Tensor, nn

from tesserae.nn.clip_blocks import Block, learned
from tesserae.nn.positions import placed
from tesserae.nn.sizes import TransformerSize

# Parameters that the official code spares from weight decay: those with such a word in their names.
NOT_DECAYED = ("ln", "bias", "latent_tokens", "mask_token", "embedding", "norm", "gamma", "embed")


class LatentTransformer(nn.Module):
    """A class token, patches and latent tokens, with learned positions, through pre-norm blocks; all see each other."""

    def __init__(self, size: TransformerSize, patches: int, latent_tokens: int):
        super().__init__()
        width = size["width"]
        self.class_embedding = learned(1, width)
        self.positional_embedding = learned(1 + patches, width)
        self.latent_token_positional_embedding = learned(latent_tokens, width)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.ModuleList(Block(width, size["heads"]) for _ in range(size["blocks"]))

    def transform(self, patches: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, P, D) and (B, N, D) without positions -> the same two after the last block, before `ln_post`."""
        count = patches.shape[1]
        x = torch.cat([self.class_embedding.expand(len(patches), 1, -1), patches], dim=1) + self.positional_embedding
        x = torch.cat([x, latents + self.latent_token_positional_embedding], dim=1)
        x = self.ln_pre(x).transpose(0, 1)
        for block in self.transformer:
            x = block(x)
        x = x.transpose(0, 1)
        return x[:, 1 : 1 + count], x[:, 1 + count :]

    @torch.no_grad()
    def place_tokens(self) -> None:
        """Positions of patches start as those of a grid."""
        positions = self.positional_embedding[1:]
        positions.copy_(positions.shape[1] ** -0.5 * placed(positions.shape[1], len(positions)))


def spared_from_decay(name: str, parameter: Tensor) -> bool:
    """Vectors, norms, tokens, positions, codebooks and all that is called an embedding (official code)."""
    return parameter.ndim < 2 or any(word in name for word in NOT_DECAYED)
