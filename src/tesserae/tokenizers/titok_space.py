"""How the codes of TiTok's two-stage tokenizer move (`TokenSpace` in contracts.py).

The decoder turns them to chances of the proxy's codes, whose mean entries have a gradient.
"""

from typing import Any

from torch import Tensor

from tesserae.tokenizers.code_space import normalised, vectors

__all__ = ["images", "normalised", "vectors"]


def images(model: Any, vectors: Tensor, *, seeds: list[int]) -> Tensor:
    """Vectors (B, N, d) -> images (B, 3, S, S). Nothing is drawn."""
    return 2 * model.pixels(model.decoder(vectors)) - 1
