"""How tokens move where they are vectors that a decoder reads as they are (`TokenSpace` in contracts.py): those of
l-DeTok, KL and VA autoencoders, MAETok.

Shapes: B images, N tokens of C values.
"""

from typing import Any

from torch import Tensor


def vectors(model: Any, tokens: Tensor) -> Tensor:
    """Tokens (B, N, C) as they are."""
    return tokens


def normalised(model: Any, vectors: Tensor) -> Tensor:
    """Vectors (B, N, C) as they are: tokens may have any norm."""
    return vectors


def images(model: Any, vectors: Tensor, *, seeds: list[int]) -> Tensor:
    """Vectors (B, N, C) -> images (B, 3, S, S). Nothing is drawn: `seeds` are not used."""
    return model.decode(vectors)
