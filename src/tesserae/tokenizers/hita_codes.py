"""Hita's codes as entries of their codebooks."""

from torch import Tensor

from tesserae.quantizers.entries import side_by_side
from tesserae.tokenizers.hita import Hita


def code_vectors(model: Hita, codes: Tensor) -> Tensor:
    """Codes int64 (B, k + M) -> directions (B, k + M, d); of the narrower codebook the last values are 0."""
    k = model.holistic_tokens
    return side_by_side([model.slot_quantize.lookup(codes[:, :k]), model.quantize.lookup(codes[:, k:])])
