"""Normal noise that follows from what it is for, as `nn/hashing.py` makes uniform numbers: the same for the same codes,
on any device and in any batch, up to the last bits of one function.

Shapes: B samples.
"""

import math

import torch
from torch import Tensor

from tesserae.nn.hashing import uniforms


def hashed_normals(seeds: Tensor, first: int, shape: tuple[int, ...]) -> Tensor:
    """Seeds int64 (B,) -> standard normal float32 (B, *shape): of each seed's numbers those from the `first` on."""
    middles = uniforms(seeds, first, shape) + 2.0**-25  # of the 2^24 equal parts of (0, 1): never 0 or 1
    return math.sqrt(2) * torch.erfinv(2 * middles.double() - 1).float()
