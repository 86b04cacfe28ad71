"""Dynamic Token Filtering as Algorithm 1 is printed: image by image, patch by patch. For tests and the benchmark."""

import math

import torch
from torch import Tensor

NOISE, FLOOR, TOLERANCE = 0.01, 0.05, 1e-6


def projected(patch: Tensor, basis: list[Tensor]) -> Tensor:
    return sum(((patch @ direction) * direction for direction in basis), torch.zeros_like(patch))


def orthonormal(global_tokens: Tensor) -> list[Tensor]:
    """Gram and Schmidt, twice for the digits."""
    basis: list[Tensor] = []
    for token in global_tokens:
        for _ in range(2):
            token = token - projected(token, basis)
        basis.append(token / token.norm())
    return basis


def scores_of(patches: Tensor, global_tokens: Tensor, image: Tensor) -> list[Tensor]:
    """Of one image: patches (M, D), global tokens (k, D), pixels (3, S, S) -> M numbers."""
    basis, grid = orthonormal(global_tokens), math.isqrt(len(patches))
    side, found = image.shape[-1] // grid, []
    for i, patch in enumerate(patches):
        row, column = divmod(i, grid)
        pixels = image[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
        complexity = FLOOR + 0.5 * math.log2(1 + pixels.var(correction=0).item() / NOISE)
        found.append((patch - projected(patch, basis)).square().sum() * complexity)
    return found


def kept_of(scores: list[Tensor], epsilon: float, threshold: float = 0.0) -> list[int]:
    """Numbers of the kept patches of one image, in raster order."""
    total = sum(float(score) for score in scores)
    wanted = min(max(threshold, (1 - epsilon) * total), total)
    order = sorted(range(len(scores)), key=lambda i: (-float(scores[i]), i))
    sum_so_far, kept = 0.0, []
    for i in order:
        kept.append(i)
        sum_so_far += float(scores[i])
        if sum_so_far >= wanted * (1 - TOLERANCE):
            break
    return sorted(kept)


def filtered(patches: Tensor, global_tokens: Tensor, images: Tensor, epsilon: float) -> list[list[int]]:
    """Of each image the numbers of its kept patches: (B, M, D), (B, k, D), (B, 3, S, S)."""
    each = zip(patches, global_tokens, images, strict=True)
    return [kept_of(scores_of(*one), epsilon) for one in each]
