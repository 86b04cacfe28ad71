"""Images as rows of patches, and back: a patch's values stand row by row, its colours last.

Shapes: B images of C colours and side S, G x G = P patches of p x p pixels, row by row.
"""

from torch import Tensor


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """(B, C, S, S) -> (B, P, p p C); the side has to be a multiple of p."""
    grid = images.shape[-1] // patch_size
    x = images.reshape(len(images), -1, grid, patch_size, grid, patch_size)  # (B, C, G, p, G, p)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(len(images), grid * grid, -1)


def unpatchify(patches: Tensor, patch_size: int, grid: int) -> Tensor:
    """(B, P, p p C) -> (B, C, S, S)."""
    x = patches.reshape(len(patches), grid, grid, patch_size, patch_size, -1)  # (B, G, G, p, p, C)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, grid * patch_size, grid * patch_size)
