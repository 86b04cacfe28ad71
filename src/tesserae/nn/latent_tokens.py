"""Where the patches of a transformer with latent tokens begin to stand: on a grid, which training need not find out."""

import torch

from tesserae.nn.clip_blocks import LatentTransformer
from tesserae.nn.positions import placed


@torch.no_grad()
def place_patches(half: LatentTransformer) -> None:
    """Positions of patches start as those of a grid."""
    positions = half.positional_embedding[1:]
    positions.copy_(positions.shape[1] ** -0.5 * placed(positions.shape[1], len(positions)))
