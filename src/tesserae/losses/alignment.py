"""The vision-foundation loss of VA-VAE (arXiv 2501.01423, Sec. 3): latents that resemble a frozen network's features,
position by position and in how positions resemble each other.

Shapes: B images, F channels of the features, H x W positions.
"""

from torch import Tensor
from torch.nn import functional as F


def marginal_cosine(latents: Tensor, features: Tensor, margin: float) -> Tensor:
    """Mean over positions of max(0, 1 - margin - cos), for projected latents and features (B, F, H, W); 0-d."""
    return F.relu(1 - margin - F.cosine_similarity(latents, features, dim=1)).mean()


def marginal_distance_matrix(latents: Tensor, features: Tensor, margin: float) -> Tensor:
    """Mean over pairs of positions of max(0, |cos of latents - cos of features| - margin), for (B, F, H, W); 0-d."""
    return F.relu((_similarities(latents) - _similarities(features)).abs() - margin).mean()


def _similarities(maps: Tensor) -> Tensor:
    """(B, F, H, W) -> cosines of all pairs of an image's positions, (B, HW, HW)."""
    directions = F.normalize(maps.flatten(2), dim=1)
    return directions.transpose(1, 2) @ directions
