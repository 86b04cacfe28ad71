"""Transformer with learned tokens beside an image's patches, its blocks, its first weights and what training spares of
it, as TiTok's official code has them (arXiv 2406.07550).

Shapes: B images, P patches, N latent tokens, D width.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from tesserae.nn.sizes import TransformerSize

# Parameters that the official code spares from weight decay: those with such a word in their names.
NOT_DECAYED = ("ln", "bias", "latent_tokens", "mask_token", "embedding", "norm", "gamma", "embed")


def learned(*shape: int) -> nn.Parameter:
    """Tokens or positions of width `shape[-1]`, normal with that to the power -1/2 as deviation (official code)."""
    return nn.Parameter(shape[-1] ** -0.5 * torch.randn(shape))


def init_layers(module: nn.Module, std: float) -> None:
    """Linear layers and convolutions: normal with deviation `std`, biases 0 (official code: 0.02)."""
    # The fused projection of queries, keys and values is a bare parameter and keeps PyTorch's Xavier initialisation.
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.trunc_normal_(module.weight, std=std)
        nn.init.zeros_(module.bias)


class Block(nn.Module):
    """Pre-norm transformer block on (tokens, B, D), with CLIP's names."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads)
        layers = {"c_fc": nn.Linear(width, 4 * width), "gelu": nn.GELU(), "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


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

    def transform(self, patches: Tensor, latents: Tensor, *further: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, P, D) and (B, N, D) without positions -> the same two after the last block, before `ln_post`.

        `further` tokens (B, T, D), with their positions, stand behind these and are seen by them.
        """
        count, end = patches.shape[1], 1 + patches.shape[1] + latents.shape[1]
        x = torch.cat([self.class_embedding.expand(len(patches), 1, -1), patches], dim=1) + self.positional_embedding
        x = torch.cat([x, latents + self.latent_token_positional_embedding, *further], dim=1)
        x = self.ln_pre(x).transpose(0, 1)
        for block in self.transformer:
            x = block(x)
        x = x.transpose(0, 1)
        return x[:, 1 : 1 + count], x[:, 1 + count : end]


def spared_from_decay(name: str, parameter: Tensor) -> bool:
    """Vectors, norms, tokens, positions, codebooks and all that is called an embedding (official code)."""
    return parameter.ndim < 2 or any(word in name for word in NOT_DECAYED)
