"""Principal components of patches, each over its deviation, as a first stage, in whose latents others draw: linear, and
nothing of it is learned by steps. It has the methods of `LatentAutoencoder`, for which it stands in where images are
small.

Shapes: B images of side S, f x f pixels of a patch, D = 3 f f its values, C components kept.
"""

import torch
from torch import Tensor, nn

from tesserae.nn.patches import patchify, unpatchify


class PatchComponents(nn.Module):
    """Images to latents, C numbers of each patch, and back. `mean`, `basis` and `std` are to be given before use."""

    def __init__(self, *, patch: int, components: int):
        super().__init__()
        values = 3 * patch**2
        if not 0 < components <= values:
            raise ValueError(f"{components} components of patches of {values} values")
        self.patch = patch
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("basis", torch.eye(values, components))  # orthonormal columns
        self.register_buffer("std", torch.ones(components))  # of each component

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S) in [-1, 1] -> latents and their deviation, 0: float32 (B, C, S / f, S / f) each."""
        found = (patchify(images.float(), self.patch) - self.mean) @ self.basis / self.std  # (B, P, C)
        maps = unpatchify(found, 1, images.shape[-1] // self.patch)
        return maps, torch.zeros_like(maps)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, S / f, S / f) -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return unpatchify((patchify(latents, 1) * self.std) @ self.basis.T + self.mean, self.patch, latents.shape[-1])
