"""How Hita's codes move (`TokenSpace` in contracts.py): as entries of their codebooks, holistic ones first.

Shapes: B images, k holistic codes and M of patches, d values of the wider codebook's entry.
"""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from tesserae.quantizers.entries import side_by_side
from tesserae.tokenizers.hita import Latents
from tesserae.tokenizers.hita_codes import code_vectors


def vectors(model: Any, codes: Tensor) -> Tensor:
    """Codes int64 (B, k + M) -> entries, float32 (B, k + M, d); of the narrower codebook the last values are 0."""
    return code_vectors(model, codes).float()


def normalised(model: Any, vectors: Tensor) -> Tensor:
    """Vectors (B, k + M, d) of unit length, as entries have."""
    return side_by_side([F.normalize(part, dim=2) for part in _parts(model, vectors)])


def images(model: Any, vectors: Tensor, *, seeds: list[int]) -> Tensor:
    """Vectors (B, k + M, d) -> images (B, 3, S, S). Nothing is drawn."""
    return model.decode_entries(_parts(model, vectors))


def _parts(model: Any, vectors: Tensor) -> Latents:
    """Each codebook's own values."""
    k = model.holistic_tokens
    widths = (quantizer.entries().shape[1] for quantizer in (model.slot_quantize, model.quantize))
    return Latents(*(part[..., :width] for part, width in zip((vectors[:, :k], vectors[:, k:]), widths, strict=True)))
