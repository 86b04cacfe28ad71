"""Tokens of one image put into another (CompTok, arXiv 2602.03339, Figs. 3 to 8): which ones, and what each moves.

Shapes: B images (B, 3, S, S), vectors (B, M, C) of their tokens, R columns of a row of pictures.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

COLUMNS = 9  # 0, 1/8 ... 1 of the tokens

ImagesOf = Callable[
    [Tensor], Tensor
]  # vectors (B, M, C) -> images (B, 3, S, S) in [-1, 1], from the same noise every time


def swapped(tokens: int, order: Literal["random", "prefix"], seed: int, columns: int = COLUMNS) -> Tensor:
    """Which of M tokens come from the other image in each column, bool (R, M): none in the first, all in the last.

    Every column has those of the one before. "prefix" takes the first ones first, "random" any, by the seed.
    """
    # DECISION (D37): the paper says nothing of the order.
    if columns < 2:
        raise ValueError(f"a row from none to all has at least 2 columns, not {columns}")
    rank = torch.arange(tokens)
    if order == "random":
        rank = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))
    counts = (torch.linspace(0, 1, columns) * tokens).round().long()
    return rank < counts[:, None]


@torch.no_grad()
def row(images_of: ImagesOf, first: Tensor, second: Tensor, replaced: Tensor) -> Tensor:
    """Images of tokens of which some are the second's: vectors (B, M, C) of both, bool (R, M) -> (B, R, 3, S, S)."""
    mixed = [images_of(torch.where(chosen[:, None], second, first)) for chosen in replaced.to(first.device)]
    return torch.stack(mixed, dim=1)


@torch.no_grad()
def sensitivities(images_of: ImagesOf, vectors: Tensor, others: Tensor) -> Tensor:
    """How much the images change where one token is another image's: mean squared error in [0, 1] images, (B, M).

    A token that changes nothing is neglected. It takes M + 1 decodes.
    """
    before, found = images_of(vectors), []
    for place in range(vectors.shape[1]):
        moved = vectors.clone()
        moved[:, place] = others[:, place]
        found.append(((images_of(moved) - before) / 2).square().flatten(1).mean(dim=1))
    return torch.stack(found, dim=1)
