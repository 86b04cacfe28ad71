"""Entries of several codebooks as rows of one tensor."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Entries (B, n, d) of each codebook -> (B, N, D), one after another; narrower ones are filled up with zeros."""
    width = max(part.shape[2] for part in parts)
    return torch.cat([F.pad(part, (0, width - part.shape[2])) for part in parts], dim=1)
