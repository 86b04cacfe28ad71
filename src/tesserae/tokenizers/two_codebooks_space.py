"""How codes of two codebooks move together (`TokenSpace` in contracts.py): as rows of one width.

Shapes: B images, n codes of one codebook, d values of its entries, D those of the wider one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def rows(parts: Sequence[Tensor]) -> Tensor:
    """Entries (B, n, d) of each codebook -> (B, N, D), one after another.

    Where an entry has no more values its first ones come again, which no decoder reads: they are as large as the
    others, and have a scale to be standardised by.
    """
    widest = max(part.shape[2] for part in parts)
    return torch.cat([part[..., torch.arange(widest) % part.shape[2]] for part in parts], dim=1)
