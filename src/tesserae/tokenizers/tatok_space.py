"""How TaTok's codes move (`TokenSpace` in contracts.py): as entries of their codebooks, each with how much it is there.

An image has as many patches as it needs, and the decoder reads a mask token in the place of each other one. So that all
images have as many vectors, and between any two there is a line, the last value of a vector says how much of the entry
stands there, 1, and how much of the mask token, 0.

Shapes: B images, N codes, d values of the wider codebook's entry, and one more.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tesserae.quantizers.entries import side_by_side


def vectors(model: Any, codes: Tensor) -> Tensor:
    """Codes int64 (B, N), -1 where there is none -> float32 (B, N, d + 1); of what is not there all values are 0."""
    there = (codes >= 0).unsqueeze(2)
    read, quantizers = codes.clamp(min=0), _quantizers(model)
    entries = side_by_side([quantizers[name].lookup(read[:, part]) for name, part in model.codebooks.items()])
    return torch.cat([entries * there, there], dim=2).float()


def normalised(model: Any, vectors: Tensor) -> Tensor:
    """Vectors (B, N, d + 1): entries of unit length, there or not."""
    parts, quantizers = [], _quantizers(model)
    there = (vectors[..., -1:] >= 0.5).float()
    if model.global_tokens:
        there = torch.cat([torch.ones_like(there[:, : model.global_tokens]), there[:, model.global_tokens :]], dim=1)
    for name, part in model.codebooks.items():
        parts.append(F.normalize(vectors[:, part, : _width(quantizers[name])], dim=2))
    return torch.cat([side_by_side(parts) * there, there], dim=2)


def images(model: Any, vectors: Tensor, *, seeds: list[int]) -> Tensor:
    """Vectors (B, N, d + 1) -> images (B, 3, S, S). Nothing is drawn. Global tokens are always there."""
    quantizers, of_image = _quantizers(model), None
    if model.global_tokens:
        of_image = quantizers["global"].out(vectors[:, : model.global_tokens, : _width(quantizers["global"])])
    patches = vectors[:, model.global_tokens :]
    embeddings = quantizers["patch"].out(patches[..., : _width(quantizers["patch"])])
    mixed = torch.lerp(model.mask_token.expand_as(embeddings), embeddings, patches[..., -1:])
    return model.rebuild(of_image, mixed, torch.ones_like(patches[..., 0], dtype=torch.bool))


def _quantizers(model: Any) -> dict[str, Any]:
    return {"global": getattr(model, "q_glob", None), "patch": model.q_patch}


def _width(quantizer: Any) -> int:
    return quantizer.out.in_features
