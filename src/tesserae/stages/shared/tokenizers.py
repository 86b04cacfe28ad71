"""Tokenizers as stages use them: what each can do beyond the least of its contract (contracts.py) is asked here."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def is_discrete(tokenizer: Any) -> bool:
    """Whether its tokens are codes (`Discrete`)."""
    return hasattr(tokenizer, "vocabulary")


def prompted(tokenizer: Any) -> str:
    """Which half reads prompts: "encoder", "decoder" or "none" (`Prompted`)."""
    return getattr(tokenizer, "text", "none")


def names_concepts(tokenizer: Any) -> bool:
    """Whether it was trained to name the concepts of an image (`NamesConcepts`)."""
    return getattr(tokenizer, "concept_head", None) is not None


def masks_patches(module: ModuleType) -> bool:
    """Whether tokenizers of a module can encode what they see of an image (`MasksPatches`)."""
    return hasattr(module, "mask_sweep")


def lengths_of(tokenizer: Any, tokens: Tensor) -> Tensor:
    """How many tokens each image has, int64 (B,): N of every one, unless it makes more of some (`OfVariableLength`)."""
    if hasattr(tokenizer, "lengths"):
        return tokenizer.lengths(tokens)
    return torch.full((len(tokens),), tokens.shape[1])


def encode(tokenizer: Any, images: Tensor, text: Tensor | None = None) -> Tensor:
    """Images (B, 3, S, S) -> tokens (B, N, C) or codes (B, N); prompts `text` (B, T, W) only for who reads them."""
    return tokenizer.encode(images, **({"text": text} if prompted(tokenizer) == "encoder" else {}))


def decode(tokenizer: Any, tokens: Tensor, text: Tensor | None = None) -> Tensor:
    """Tokens -> images (B, 3, S, S); prompts `text` (B, T, W) only for who reads them."""
    return tokenizer.decode(tokens, **({"text": text} if prompted(tokenizer) == "decoder" else {}))
