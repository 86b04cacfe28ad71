"""How codes move that stand for entries of one codebook: as the entries, between which anything may be decoded.

What the spaces of discrete tokenizers share (`TokenSpace` in contracts.py).

Shapes: B images, N codes, d values of an entry.
"""

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def vectors(model: Any, codes: Tensor) -> Tensor:
    """Codes int64 (B, N) -> entries of the codebook, float32 (B, N, d)."""
    return model.quantize.lookup(codes).float()


def normalised(model: Any, vectors: Tensor) -> Tensor:
    """Vectors (B, N, d) of unit length, where entries have that."""
    return F.normalize(vectors, dim=-1) if model.quantize.l2 else vectors
