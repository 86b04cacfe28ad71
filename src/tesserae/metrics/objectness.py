"""Whether attention finds objects: the best token's map against a mask, and what chance makes (COMiT, Figs. 2 and 8).

A map is made as large as its mask, its highest values are kept, and what is kept is compared with the mask; of all
tokens of an image the best one counts. That is an oracle: it chooses by the very mask that it is measured with, so
the more tokens, the higher the number, whatever they attend to. Three lines say what it is worth: as many random maps
of the same smoothness, the same tokens' maps of another image, and the one map that is highest in the middle.

Shapes: B images, M tokens, G x G positions of a map, S x S pixels of a mask, X shares in percent.
"""

from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

ROWS = 2**24  # values sorted at a time
SIGMAS = 24  # widths at which smoothness is calibrated ...
DRAWN = 256  # ... by so many maps each
NARROWEST = 0.15  # width in positions: noise whose neighbours tell nothing of one another


def overlaps(maps: Tensor, masks: Tensor, shares: Sequence[float]) -> Tensor:
    """IoU of what is kept of each map with the mask of its image: maps (B, M, G, G), masks bool (B, S, S) -> (B, M, X).

    Enlarged bilinearly to S x S; of a map exactly round(share / 100 S^2) pixels are kept, those of the highest values,
    of equal ones the first in raster order. Raises ValueError for an image whose mask is empty.
    """
    _check(masks)
    side = masks.shape[-1]
    step = max(1, ROWS // (maps.shape[1] * side**2))
    counts = kept(side, shares)
    parts = zip(maps.split(step), masks.split(step), strict=True)
    return torch.cat([_overlaps(some, theirs, counts) for some, theirs in parts])


def kept(side: int, shares: Sequence[float]) -> list[int]:
    """How many pixels of a square are kept at each share; ValueError for a share that keeps none or more than all."""
    counts = [round(share / 100 * side**2) for share in shares]
    if wrong := [share for share, count in zip(shares, counts, strict=True) if not 0 < count <= side**2]:
        raise ValueError(f"{wrong[0]} percent of {side} x {side} pixels cannot be kept: a share is above 0, up to 100")
    return counts


def enlarged(maps: Tensor, side: int) -> Tensor:
    """Maps (B, M, G, G) -> (B, M, S, S), bilinear between the centres of positions."""
    return F.interpolate(maps.float(), size=(side, side), mode="bilinear", align_corners=False)


def ceiling(masks: Tensor, shares: Sequence[float]) -> Tensor:
    """The IoU that no map of any kind exceeds, as its size is given: masks bool (B, S, S) -> (B, X)."""
    _check(masks)
    area = masks.flatten(1).sum(1, keepdim=True).double()
    counts = torch.tensor(kept(masks.shape[-1], shares), device=masks.device).double()
    return torch.minimum(area, counts) / torch.maximum(area, counts)


def middle(side: int) -> Tensor:
    """A map (1, 1, G, G) that falls with the distance from the centre: what one knows without looking."""
    across = torch.arange(side) - (side - 1) / 2
    return -(across**2 + across[:, None] ** 2)[None, None]


# ---- random maps --------------------------------------------------------------------------------------------------


def smoothness(maps: Tensor) -> Tensor:
    """How alike neighbouring positions of each map are: (..., G, G) -> (...), in [-1, 1], 1 for a constant map.

    The mean correlation of positions that share an edge, of normal scores: each map's values are replaced by those of a
    normal distribution of the same ranks, since what is kept of a map hangs on its order alone. Equal values get the
    same score.
    """
    scores = _normal_scores(maps)
    scores = scores - scores.mean(dim=(-2, -1), keepdim=True)
    pairs = [
        (scores[..., 1:, :] * scores[..., :-1, :]).mean(dim=(-2, -1)),
        (scores[..., 1:] * scores[..., :-1]).mean(dim=(-2, -1)),
    ]
    variance = scores.square().mean(dim=(-2, -1))
    return torch.where(variance > 0, sum(pairs) / 2 / variance.clamp(min=1e-12), torch.ones_like(variance))


def random_maps(wanted: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """A random map for each wanted `smoothness` (M,) -> (M, G, G), G = `side`; every position is alike in distribution.

    Noise that a Gaussian has filtered. Its width is the one whose maps are, on average, as smooth as wanted, found by
    measuring such maps; smoothness below that of noise, or above that of the widest filter, is brought to it.
    """
    widths, found = _calibration(side)
    return torch.from_numpy(_filtered(np.interp(wanted.cpu().double().numpy(), found, widths), side, rng))


@cache
def _calibration(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Widths of filters, and how smooth maps of each are on average; rising."""
    widths, rng = np.geomspace(NARROWEST, side / 2, SIGMAS), np.random.default_rng(0)
    maps = torch.from_numpy(_filtered(np.repeat(widths, DRAWN), side, rng))
    found = smoothness(maps).view(SIGMAS, DRAWN).mean(1).numpy()
    return widths, np.maximum.accumulate(found)


def _filtered(widths: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Noise (3G, 3G) through a Gaussian of each width, of which the middle is kept: float32 (M, G, G), variance 1."""
    noise = rng.standard_normal((len(widths), 3 * side, 3 * side), dtype=np.float32)
    distance = np.arange(side, 2 * side)[:, None] - np.arange(3 * side)  # (G, 3G)
    weights = np.exp(-0.5 * (distance / widths[:, None, None]) ** 2)  # (M, G, 3G)
    weights = (weights / np.linalg.norm(weights, axis=-1, keepdims=True)).astype(np.float32)
    return weights @ noise @ weights.transpose(0, 2, 1)


def _normal_scores(maps: Tensor) -> Tensor:
    """Values (..., G, G) -> quantiles of the normal distribution at their ranks within each map, ties in the middle."""
    values = maps.detach().float().flatten(-2)
    ordered = values.sort(dim=-1).values
    below, upto = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    many = values.shape[-1]
    quantiles = torch.tensor(
        [NormalDist().inv_cdf((place + 1) / (2 * many)) for place in range(2 * many - 1)], device=values.device
    )
    return quantiles[below + upto - 1].view(maps.shape)


def _overlaps(maps: Tensor, masks: Tensor, counts: list[int]) -> Tensor:
    pixels, area = enlarged(maps, masks.shape[-1]).flatten(2), masks.flatten(1).sum(1)[:, None]  # (B, M, S^2), (B, 1)
    ordered, hits = _rising(pixels), []
    for count in counts:
        lowest = ordered[..., -count, None]
        light = pixels >= lowest
        many = light.sum(dim=2) > count  # of equal values, as at a map's corners, not all are kept
        if many.any():
            above, equal = pixels[many] > lowest[many], pixels[many] == lowest[many]
            light[many] = above | (equal & (equal.cumsum(dim=1) <= count - above.sum(dim=1, keepdim=True)))
        hits.append((light & masks.flatten(1)[:, None]).sum(dim=2))
    found = torch.stack(hits, dim=2)  # (B, M, X)
    union = torch.tensor(counts, device=found.device) + area[..., None] - found
    return found.double() / union


def _rising(values: Tensor) -> Tensor:
    """Sorted along the last dimension; numpy does it several times as fast where no positions are asked for."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy(), axis=-1))
    return values.sort(dim=-1).values


def _check(masks: Tensor) -> None:
    if masks.dtype != torch.bool:
        raise ValueError(f"a mask is bool, not {masks.dtype}")
    empty = (~masks.flatten(1).any(1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"the mask of image {empty[0]} is empty: there is no object that a map could find")
