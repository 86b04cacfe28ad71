"""Dynamic Token Filtering (TaTok, Sec. 3.2, Algorithm 1): which patches of an image are worth keeping beside its global
tokens. The paper leaves its score, its complexity and its constant C open; S1 to S9 are the steps as they are built.

All of it is float32 (call it with autocast off) and vectorised over images of which each keeps a number of its own.

Shapes: B images of side S in [-1, 1], G x G = M patches of s x s pixels in raster order, k global tokens, D width;
N (B,) kept patches, from 1 to M.
"""

import math
import zlib
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

NOISE, FLOOR = 0.01, 0.05  # of complexity: variance of pixels that is no content, and bits of a flat patch
TOLERANCE = 1e-6  # relative: sums of float32 may miss (1 - epsilon) H_total
ROUNDS = 20  # of bisection

Complexity = Literal["patch_rate", "token_var", "one"]
ORDERS = ("score", "random", "uniform", "first", "last")


# ---- S1 to S4: the score of a patch -------------------------------------------------------------------------------


def residual_energy(patches: Tensor, global_tokens: Tensor) -> Tensor:
    """S1, S2: squared lengths (B, M) of what of patches (B, M, D) is outside the span of global tokens (B, k, D).

    Without global tokens (k = 0) of all of it.
    """
    # DECISION (D07): the paper writes the projection on one vector and has 16; here on their span.
    if global_tokens.shape[1]:
        basis = torch.linalg.qr(global_tokens.transpose(1, 2)).Q  # (B, D, k)
        patches = patches - patches @ basis @ basis.transpose(1, 2)
    return patches.square().sum(dim=2)


def patch_rate(images: Tensor, grid: int) -> Tensor:
    """S3: bits (B, M) of a pixel of each patch at a distortion of NOISE, after the paper's App. B, Eq. 18."""
    # DECISION (D08): the paper never says what complexity is; one inside the logarithm keeps the rate from being
    # negative, and the floor lets patches of one colour be told apart by what the tokens say of them.
    side = images.shape[-1] // grid
    pixels = images.unflatten(3, (grid, side)).unflatten(2, (grid, side))  # (B, 3, G, s, G, s)
    variance = pixels.var(dim=(1, 3, 5), correction=0).flatten(1)
    return FLOOR + 0.5 * torch.log2(1 + variance / NOISE)


def scores(patches: Tensor, global_tokens: Tensor, images: Tensor, complexity: Complexity) -> Tensor:
    """S4: what a patch adds to the global tokens, (B, M), at least 0, up to one factor for all.

    For float32 tokens of the residual stream, before its last norm gives all of them one length: patches (B, M, D) and
    global ones (B, k, D).
    """
    energy = residual_energy(patches, global_tokens)
    if complexity == "patch_rate":
        return energy * patch_rate(images, math.isqrt(patches.shape[1]))
    return energy * patches.var(dim=2, correction=0) if complexity == "token_var" else energy


# ---- S5 to S8: how many patches -------------------------------------------------------------------------------------


class Ranking(NamedTuple):
    """Patches from the highest score to the lowest, of equals the first in raster order first."""

    order: Tensor  # int64 (B, M)
    cumulative: Tensor  # (B, M): sums of the scores so far; the last one is H_total


def rank(scores: Tensor) -> Ranking:
    """S5 and S7 of scores (B, M)."""
    sorted_scores, order = scores.sort(dim=1, descending=True, stable=True)
    return Ranking(order, sorted_scores.cumsum(dim=1))


def lengths(cumulative: Tensor, epsilon: Tensor | float, threshold: float = 0.0) -> Tensor:
    """S6, S8: N, int64 (B,): the fewest patches, at least 1, whose scores reach max(threshold, (1 - epsilon) H_total).

    What even all patches do not reach is lowered to H_total.
    """
    # DECISION (D09): the paper's T = (1 - alpha) R(D0) has no values, and in bits it is beyond what all tokens carry.
    total = cumulative[:, -1:]
    wanted = ((1 - epsilon) * total).clamp(min=threshold).minimum(total)
    missed = cumulative < wanted * (1 - TOLERANCE)
    return (1 + missed.sum(dim=1)).clamp(max=cumulative.shape[1])


def epsilon_for(cumulative: Tensor, patches: float, least: float = 0.0, rounds: int = ROUNDS) -> Tensor:
    """The epsilon, 0-d, from `least` to 1, with which images of `cumulative` (B, M) keep `patches` on average.

    Where equal scores let the average jump past it, that of the jump.
    """
    low, high = cumulative.new_tensor(least), cumulative.new_tensor(1.0)
    for _ in range(rounds):
        middle = (low + high) / 2
        too_many = lengths(cumulative, middle).float().mean() > patches
        low, high = torch.where(too_many, middle, low), torch.where(too_many, high, middle)
    return (low + high) / 2


# ---- S9: which patches ----------------------------------------------------------------------------------------------


def first_of(order: Tensor, lengths: Tensor) -> Tensor:
    """S9: bool (B, M), the first N of each image's order (B, M), a permutation of its patches."""
    places = torch.arange(order.shape[1], device=order.device)
    return torch.zeros_like(order, dtype=torch.bool).scatter_(1, order, places < lengths[:, None])


def evenly(lengths: Tensor, patches: int) -> Tensor:
    """Patches floor(j M / N), j = 0 ... N - 1, of M: bool (B, M)."""
    places, many = torch.arange(patches, device=lengths.device), lengths[:, None]
    j = (places * many + patches - 1) // patches  # the only one that can fall on a place
    return (j * patches // many == places) & (j < many)


def kept(ranking: Ranking, lengths: Tensor, order: str, draw: Callable[[], Tensor]) -> Tensor:
    """N patches of each image, bool (B, M): those of the highest scores, or a strategy of Figure 5, one of ORDERS.

    `draw` gives a random permutation of each image's patches, (B, M).
    """
    # DECISION (D10): strategies take other patches, and as many of them.
    patches = ranking.order.shape[1]
    places = torch.arange(patches, device=lengths.device)
    if order == "score":
        return first_of(ranking.order, lengths)
    if order == "random":
        return first_of(draw(), lengths)
    if order == "uniform":
        return evenly(lengths, patches)
    return places < lengths[:, None] if order == "first" else places >= patches - lengths[:, None]


def permutations(count: int, patches: int, rng: torch.Generator) -> Tensor:
    """Of M patches for each of `count` images, int64 (B, M)."""
    return torch.rand(count, patches, generator=rng, device=rng.device).argsort(dim=1)


def permutations_of(images: Tensor, patches: int) -> Tensor:
    """As `permutations`, the same for the same picture whatever its batch, int64 (B, M)."""
    # DEPARTS: seeded by what an image shows, not by its index, which a tokenizer is not told.
    shown = (images.float() * 127.5 + 127.5).round().clamp(0, 255).byte().cpu().numpy()
    drawn = [torch.randperm(patches, generator=torch.Generator().manual_seed(zlib.crc32(x.tobytes()))) for x in shown]
    return torch.stack(drawn).to(images.device)


def truncated(count: int, patches: int, rng: torch.Generator) -> Tensor:
    """What is left of M patches without a random number of them, from 0 to M - 1: bool (B, M).

    They are missing at the start, at the end or anywhere, an image at a time.
    """
    # DECISION (D26): a decoder that never saw a gap cannot bridge one: Figure 4's model is trained with all three.
    draw = {"generator": rng, "device": rng.device}
    lengths = patches - torch.randint(patches, (count,), **draw)
    where = torch.randint(3, (count, 1), **draw)
    places = torch.arange(patches, device=rng.device).expand(count, -1)
    at_start, at_end = places >= patches - lengths[:, None], places < lengths[:, None]
    anywhere = first_of(permutations(count, patches, rng), lengths)
    return torch.where(where == 0, at_start, torch.where(where == 1, at_end, anywhere))
