"""How the codes of ALIT's family move (`TokenSpace` in contracts.py): those of all passes together."""

from typing import Any

from torch import Tensor

from tesserae.tokenizers.code_space import normalised, vectors

__all__ = ["images", "normalised", "vectors"]


def images(model: Any, vectors: Tensor, *, seeds: list[int]) -> Tensor:
    """Vectors (B, N, d) -> images (B, 3, S, S). Nothing is drawn."""
    return model.pixels(model.decoder(vectors))
