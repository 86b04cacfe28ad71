"""Tokens as vectors that a probe or a search for neighbours can read, whatever tokenizer made them."""

import importlib
from typing import Any

import torch
from torch import Tensor

from tesserae.stages.shared.tokenizers import (
    encode,
    follows_policies,
    has_one_quantizer,
    is_discrete,
    says_code_vectors,
)


def vectors_of(tokenizer: Any, tokens: Tensor, module: str | None) -> tuple[Tensor, Tensor]:
    """Tokens as `encode` makes them -> vectors (B, N, d), and bool (B, N) which of them an image has.

    A continuous token is its own vector. A code is the entry of its codebook: as the tokenizer's `code_vectors` says,
    or that of `module`, or else as its one quantizer looks it up. ValueError for a tokenizer of codes with none.
    """
    if not is_discrete(tokenizer):
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    there, codes = tokens >= 0, tokens.clamp(min=0)
    if says_code_vectors(tokenizer):
        vectors = tokenizer.code_vectors(codes)
    elif module is not None:
        vectors = importlib.import_module(module).code_vectors(tokenizer, codes)
    elif has_one_quantizer(tokenizer):
        vectors = tokenizer.quantize.lookup(codes)
    else:
        kind = type(tokenizer)
        raise ValueError(
            f"{kind.__module__}.{kind.__qualname__} does not say what its codes stand for: give it `code_vectors` "
            "(OfCodeVectors in src/tesserae/contracts.py)"
        )
    return vectors * there[..., None], there


def coded(tokenizer: Any, images: Tensor, text: Tensor | None, policy: dict[str, Any] | None) -> Tensor:
    """Images (B, 3, S, S) -> tokens, under a policy where one is given; ValueError for who has no policies."""
    if policy is None:
        return encode(tokenizer, images, text)
    if not follows_policies(tokenizer):
        raise ValueError(
            f"{type(tokenizer).__name__} reads images in one way alone (no `encode_under`): take the policy {policy} "
            "out of the artifact's name"
        )
    return tokenizer.encode_under(images, policy)
