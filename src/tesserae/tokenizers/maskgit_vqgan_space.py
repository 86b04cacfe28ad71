"""How the codes of MaskGIT's tokenizer move (`TokenSpace` in contracts.py)."""

from typing import Any

from torch import Tensor

from tesserae.tokenizers.code_space import normalised, vectors

__all__ = ["images", "normalised", "vectors"]


def images(model: Any, vectors: Tensor, *, seeds: list[int]) -> Tensor:
    """Vectors (B, N, d) -> images (B, 3, S, S). Nothing is drawn."""
    return 2 * model.decode_entries(vectors) - 1
