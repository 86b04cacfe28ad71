"""TaTok's codes as entries of their codebooks."""

from torch import Tensor

from tesserae.quantizers.entries import side_by_side
from tesserae.tokenizers.tatok import TaTok


def code_vectors(model: TaTok, codes: Tensor) -> Tensor:
    """Codes int64 (B, N), at least 0 -> directions (B, N, d); of the narrower codebook the last values are 0."""
    quantizers = {"global": getattr(model, "q_glob", None), "patch": model.q_patch}
    return side_by_side([quantizers[name].lookup(codes[:, part]) for name, part in model.codebooks.items()])
