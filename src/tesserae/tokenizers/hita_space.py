"""How Hita's codes move (`TokenSpace` in contracts.py): holistic ones and those of patches, as their entries.

Shapes: B images, k holistic tokens and M patches, d and e values of their entries, D the larger of the two.
"""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from tesserae.tokenizers.hita import Latents
from tesserae.tokenizers.two_codebooks_space import rows


def vectors(model: Any, codes: Tensor) -> Tensor:
    """Codes int64 (B, k + M) -> entries of their codebooks, float32 (B, k + M, D)."""
    k = model.holistic_tokens
    return rows([model.slot_quantize.lookup(codes[:, :k]), model.quantize.lookup(codes[:, k:])])


def normalised(model: Any, vectors: Tensor) -> Tensor:
    """Vectors (B, k + M, D) of which those of each codebook have unit length."""
    return rows([F.normalize(part, dim=-1) for part in _parts(model, vectors)])


def images(model: Any, vectors: Tensor, *, seeds: list[int]) -> Tensor:
    """Vectors (B, k + M, D) -> images (B, 3, S, S). Nothing is drawn."""
    return model.decode_entries(_parts(model, vectors))


def _parts(model: Any, vectors: Tensor) -> Latents:
    """(B, k, d) and (B, M, e)."""
    k, widths = model.holistic_tokens, [of.embedding.embedding_dim for of in (model.slot_quantize, model.quantize)]
    return Latents(vectors[:, :k, : widths[0]], vectors[:, k:, : widths[1]])
