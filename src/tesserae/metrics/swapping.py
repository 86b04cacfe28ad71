"""Tokens of one image put into another (CompTok, arXiv 2602.03339, Figs. 3 to 8): which ones, and what each moves.

Shapes: B images (B, 3, S, S), vectors (B, M, C) of their tokens, R columns of a row of pictures.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

COLUMNS = 9  # 0, 1/8 ... 1 of the tokens
NEGLECTED = 0.1

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

    A token that changes nothing is neglected; NaN of one that is the other image's as well. It takes M + 1 decodes.
    """
    before, found = images_of(vectors), []
    for place in range(vectors.shape[1]):
        moved = vectors.clone()
        moved[:, place] = others[:, place]
        changed = ((images_of(moved) - before) / 2).square().flatten(1).mean(dim=1)
        found.append(changed.masked_fill((vectors[:, place] == others[:, place]).all(dim=1), math.nan))
    return torch.stack(found, dim=1)


def neglected(sensitivities: Tensor) -> float:
    """Fraction of M tokens that change an image a tenth as much as they do on average, or less, of (B, M)."""
    # DECISION: ours; the paper says that tokens are neglected, and not how little that is.
    of_token = sensitivities.nanmean(dim=0)
    of_token = of_token[~of_token.isnan()]
    return (of_token <= NEGLECTED * of_token.mean()).double().mean().item()


def turning_points(first: Tensor, second: Tensor) -> Tensor:
    """How alike the pictures (B, R) of rows are to both images -> the share of tokens from which on they are more like
    the second, float64 (B,): that of the first such column, and 1 if there is none.
    """
    closer = (second > first).double()
    shares = torch.linspace(0, 1, first.shape[1], dtype=torch.float64)
    return torch.where(closer.any(dim=1), shares[closer.argmax(dim=1)], 1.0)


def some_pairs(pairs: int, count: int) -> np.ndarray:
    """`count` of pairs of which each anchor has two, one after the other: int64, fewer if there are not so many.

    Of evenly spread anchors, and in turn the first and the second pair of each, as long as they last.
    """
    anchors = pairs // 2
    if count > anchors:
        return np.linspace(0, pairs - 1, min(count, pairs)).astype(np.int64)
    return 2 * np.linspace(0, anchors - 1, count).astype(np.int64) + np.arange(count) % 2
