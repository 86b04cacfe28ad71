"""Nested dropout (arXiv 1402.0915) of a sequence of tokens: of each image the first k are kept, k drawn anew each time.

So the first tokens say the most. The laws of k are those of FlexTok's code (apple/ml-flextok).

Shapes: B samples, N tokens of each.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

Law = Literal["uniform", "powers", "next_power"]
LAWS = get_args(Law)


def draw_kept(count: int, tokens: int, law: Law, rng: torch.Generator) -> Tensor:
    """How many tokens each of `count` samples keeps, 1 ... N: int64 (count,), on the generator's device.

    "uniform": any number; "powers": 1, 2, 4 ... N alike; "next_power": any number, and then the next power of two, so
    that one half of the draws keeps more than N / 2. ValueError if a law of powers has an N that is none.
    """
    if law not in LAWS:
        raise ValueError(f"unknown law of nested dropout {law!r}; known: {', '.join(LAWS)}")
    if law != "uniform" and tokens & (tokens - 1):
        raise ValueError(f"a law of powers of two needs as many tokens, not {tokens}")
    shape = {"size": (count,), "generator": rng, "device": rng.device}
    if law == "powers":
        return 2 ** torch.randint(0, tokens.bit_length(), **shape)
    kept = torch.randint(1, tokens + 1, **shape)
    return kept if law == "uniform" else next_power(kept)


def next_power(numbers: Tensor) -> Tensor:
    """Whole numbers from 1 on -> the least powers of two that are not less, int64."""
    return 2 ** torch.frexp((numbers - 1).double()).exponent.clamp(min=0).long()


def first(kept: Tensor, tokens: int) -> Tensor:
    """How many are kept, (B,) -> which: bool (B, N)."""
    return torch.arange(tokens, device=kept.device) < kept[:, None]
