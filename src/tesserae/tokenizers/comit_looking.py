"""Where COMiT looks (arXiv 2602.20731, Secs. 3.3 and 4.3): crops, their places, how many there are, and in which order.

Places are those of the official code: (x, y) of a crop's centre, x to the right, from -1 to 1 over the image; the whole
image is at (0, 0). Of a crop its offset is told, the way from the place of the look before; the first offset is 0.

Shapes: B images of side S, s side of a crop, n cells of a side of the grid of crops, K looks.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tesserae.encoders.first_stage import pixels_of
from tesserae.nn.hashing import seeds_of, uniforms

GRID = 3  # n, crops of a side at use (official code)

Order = Literal["global", "random", "raster", "adaptive"]


class Policy(NamedTuple):
    """How an image is looked at."""

    order: Order  # "global": the whole image alone
    crops: int  # K; with `whole`, the whole image is one of them
    whole: bool  # whether the first look is at the whole image


class Look(NamedTuple):
    """One look at each image of a batch."""

    pieces: Tensor  # (B, 3, s, s), or the images themselves
    places: Tensor  # (B, 2)


def checked(policy: Policy, side: int, crop: int) -> None:
    """ValueError for a policy that images of a side cannot follow."""
    if policy.order not in ("global", "random", "raster", "adaptive"):
        raise ValueError(f"unknown order {policy.order!r}; known: global, random, raster, adaptive")
    if crop > side - (GRID - 1):
        raise ValueError(
            f"{GRID} x {GRID} crops of {crop} pixels do not fit into images of {side}: choose a crop of "
            f"{side - GRID + 1} at most"
        )
    most = 1 if policy.order == "global" else GRID**2 + policy.whole
    if not 1 <= policy.crops <= most:
        raise ValueError(
            f"a policy of {policy.crops} crops ({policy.order}{' with the whole image' if policy.whole else ''}), and "
            f"there are from 1 to {most}: {GRID} x {GRID} cells{' and the image' if policy.whole else ''}"
        )
    if policy.order == "global" and not policy.whole:
        raise ValueError("the order global is one look at the whole image: write whole: true")


def corners(side: int, crop: int, device: torch.device | None = None) -> Tensor:
    """(left, top) of the crops of the grid in raster order, int64 (n * n, 2)."""
    starts = torch.arange(GRID, device=device) * ((side - crop) // (GRID - 1))
    return torch.cartesian_prod(starts, starts).flip(1)


def places_of(starts: Tensor, side: int, crop: int) -> Tensor:
    """Corners (..., 2) of crops -> their places, float32 (..., 2)."""
    return (starts + crop / 2) / (side / 2) - 1


def cut(images: Tensor, starts: Tensor, crop: int) -> Look:
    """The crop of each image that begins at `starts`, int64 (B, 2), left and top."""
    reach = torch.arange(crop, device=images.device)
    columns, rows = starts[:, :1] + reach, starts[:, 1:] + reach  # (B, s) each
    which = torch.arange(len(images), device=images.device)[:, None, None]
    pieces = images.movedim(1, 3)[which, rows[:, :, None], columns[:, None]].movedim(3, 1)
    return Look(pieces.contiguous(), places_of(starts, images.shape[-1], crop))


def whole(images: Tensor) -> Look:
    """The look at the images as they are."""
    return Look(images, images.new_zeros(len(images), 2))


def cell(images: Tensor, cells: Tensor, crop: int) -> Look:
    """The crop in a cell of the grid, int64 (B,), of each image."""
    return cut(images, corners(images.shape[-1], crop, images.device)[cells], crop)


# ---- in training ------------------------------------------------------------------------------------------------


def anywhere(images: Tensor, crop: int, rng: torch.Generator) -> Look:
    """A crop at a random place inside each image."""
    room = images.shape[-1] - crop + 1
    starts = torch.randint(room, (len(images), 2), generator=rng, device=rng.device).to(images.device)
    return cut(images, starts, crop)


def looks_law(rate: float, spread: float, most: int, uniform: bool = False) -> np.ndarray:
    """Probabilities of K = 1 ... `most` looks: min(most, 1 + Poisson(LogNormal(log rate - spread^2 / 2, spread))).

    Of the log-normal's quantiles 4,001 are averaged. With `uniform`, all K are alike.
    """
    # DECISION (D13): the formula is lost; "mode 1, maximum 9, as Geiping et al. (2025)", whose code this law is.
    if uniform or most == 1:
        return np.full(most, 1 / most)
    nodes = np.linspace(-6, 6, 4001)
    weights = np.exp(-(nodes**2) / 2)
    rates = np.exp(np.log(rate) - spread**2 / 2 + spread * nodes)
    law, term = np.zeros(most), np.exp(-rates)
    for count in range(most - 1):
        law[count] = (weights * term).sum() / weights.sum()
        term = term * rates / (count + 1)
    law[-1] = 1 - law[:-1].sum()
    return law


def draw_looks(law: np.ndarray, rng: torch.Generator) -> int:
    """K, by its probabilities."""
    drawn = torch.rand((), generator=rng, device=rng.device).item()
    return 1 + min(int(np.searchsorted(np.cumsum(law), drawn, side="right")), len(law) - 1)


# ---- at use -----------------------------------------------------------------------------------------------------


def fixed_cells(images: Tensor, policy: Policy) -> Tensor:
    """The cells of an order that does not depend on what was seen, int64 (B, number of crops)."""
    count = policy.crops - policy.whole
    if policy.order == "random":
        # DEPARTS: an order for each image, which follows from the image; the official code draws one for a batch.
        return uniforms(seeds_of(pixels_of(images)), 0, (GRID**2,)).argsort(dim=1)[:, :count]
    return torch.arange(count, device=images.device).expand(len(images), -1)


class Errors:
    """Where a drawing of an image is worst, of the cells that were not looked at (the adaptive policy)."""

    def __init__(self, images: Tensor, crop: int):
        self.images, self.crop = images, crop
        # DEPARTS: a grid for each image. In the official code images of a batch share one, by an oversight.
        self.taken = torch.zeros(len(images), GRID**2, dtype=torch.bool, device=images.device)

    def first(self) -> Tensor:
        """The cell in the middle, where there is no drawing yet: int64 (B,)."""
        return self._take(torch.full((len(self.images),), GRID**2 // 2, device=self.images.device))

    def next(self, drawn: Tensor) -> Tensor:
        """The free cell where drawings (B, 3, S, S), not clamped, differ most from the images: int64 (B,)."""
        errors = (drawn - self.images).square().sum(dim=1, keepdim=True)
        stride = (self.images.shape[-1] - self.crop) // (GRID - 1)
        means = F.avg_pool2d(errors, self.crop, stride=stride)[:, 0, :GRID, :GRID].flatten(1)
        return self._take(means.masked_fill(self.taken, -torch.inf).argmax(dim=1))

    def _take(self, cells: Tensor) -> Tensor:
        self.taken.scatter_(1, cells[:, None], True)
        return cells
