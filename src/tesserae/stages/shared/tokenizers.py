"""Tokenizers as stages use them: what each can do beyond the least of its contract (contracts.py) is asked here."""

import math
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


def follows_policies(tokenizer: Any) -> bool:
    """Whether it can read an image in several ways (`HasPolicies`)."""
    return hasattr(tokenizer, "encode_under")


def attends_to_images(tokenizer: Any) -> bool:
    """Whether it says what its tokens attend to (`AttendsToImages`)."""
    return hasattr(tokenizer, "message_attention")


def draws_in_steps(space: ModuleType) -> bool:
    """Whether images of a token space are drawn in steps, whose number it is told (`TokenSpace`)."""
    return hasattr(space, "STEPS")


def says_code_vectors(tokenizer: Any) -> bool:
    """Whether it says itself what its codes stand for (`OfCodeVectors`)."""
    return hasattr(tokenizer, "code_vectors")


def has_one_quantizer(tokenizer: Any) -> bool:
    """Whether one codebook, under its usual name, says what its codes stand for."""
    return hasattr(tokenizer, "quantize")


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


def codebooks_of(tokenizer: Any) -> dict[str, slice]:
    """Which part of a row of codes is of which codebook, by name; of the only one, "" (`Discrete`)."""
    return getattr(tokenizer, "codebooks", {"": slice(None)})


def filters_patches(tokenizer: Any) -> bool:
    """Whether it scores patches of a grid and leaves out some (`FiltersPatches`)."""
    return bool(getattr(tokenizer, "places", 0))


def grid_of(tokenizer: Any) -> int:
    """G, of the G x G patches that a tokenizer scores; ValueError for one that does not."""
    if not filters_patches(tokenizer):
        raise ValueError(
            f"{type(tokenizer).__name__} scores no patches of a grid (FiltersPatches in src/tesserae/contracts.py; of "
            "TaTok, those with layout: grid): take its row out of the table or figure that shows this stage"
        )
    return math.isqrt(tokenizer.places)


def kept_of(tokenizer: Any, codes: Tensor) -> Tensor:
    """Codes (B, N) of a tokenizer that filters patches -> which of them it kept, bool (B, M)."""
    return codes[:, -tokenizer.places :] >= 0


def keep_only(tokenizer: Any, codes: Tensor, kept: Tensor) -> Tensor:
    """Codes (B, N) of a tokenizer that filters patches without those patches of which bool (B, M) says no."""
    before = codes.shape[1] - tokenizer.places
    return torch.cat([codes[:, :before], codes[:, before:].masked_fill(~kept, -1)], dim=1)
