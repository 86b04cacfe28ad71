"""How many tokens of an image a flow sees at a time: the more, the more of the image the noise hides (SelfTok,
arXiv 2505.07538, Sec. 3; official code: DiTi_cont).

The first tokens add what is lost first, under little noise; each further one what a little more noise hides.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def check_law(ends: Sequence[float], counts: Sequence[int]) -> None:
    """ValueError if stages do not rise to 1, or not each of them has a count."""
    rising = all(a < b for a, b in zip([0.0, *ends], ends, strict=False))
    if len(ends) != len(counts) or not rising or not ends or ends[-1] != 1 or min(counts) < 0 or not sum(counts):
        raise ValueError(
            f"stages of noise {list(ends)} have to rise to 1, with as many counts as stages: {list(counts)}"
        )


def seen_at(noise: Tensor, tokens: int, ends: Sequence[float], counts: Sequence[int]) -> Tensor:
    """Shares of noise in [0, 1] -> how many of N tokens are seen, 1 ... N: int64, of the same shape.

    Up to each of `ends` the number grows linearly with the noise, by the stage's part of `counts`: whatever N is, with
    which SelfTok's counts are its stages' numbers of tokens.
    """
    total, past, start = sum(counts), 0.0, 0.0
    grown = torch.zeros_like(noise)
    for end, count in zip(ends, counts, strict=True):
        slope = tokens * count / total / (end - start)
        grown = torch.where(noise >= start, slope * (noise - start) + past, grown)
        past, start = past + tokens * count / total, end
    return grown.long().clamp(0, tokens - 1) + 1
