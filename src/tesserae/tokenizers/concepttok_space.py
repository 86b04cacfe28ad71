"""How ConceptTok's codes move, and those of TiTok's one-stage tokenizers (`TokenSpace` in contracts.py)."""

from typing import Any

from torch import Tensor

from tesserae.tokenizers.code_space import normalised, vectors

__all__ = ["images", "normalised", "vectors"]


def images(model: Any, vectors: Tensor, *, seeds: list[int]) -> Tensor:
    """Vectors (B, N, d) -> images (B, 3, S, S). Nothing is drawn. ValueError where the decoder reads a prompt."""
    if model.text == "decoder":
        raise ValueError("its decoder reads a prompt beside the codes: an image is no function of these alone")
    return 2 * model.decoder(vectors, None) - 1
