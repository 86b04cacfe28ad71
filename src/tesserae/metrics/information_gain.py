"""AvgIG (CompTok, arXiv 2602.03339, Sec. 3.2.1 and App. A, Eq. 15): what gradient descent on an image's tokens gains.

How fast a random start becomes an image says how much the decoder heeds its tokens. Every image is descended for
itself, in as large batches as one likes; of each step's graph nothing is kept.

Shapes: B images (B, 3, S, S), n = 3 S S values of one; vectors (B, M, C); T steps.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

MSE_FLOOR = 1e-8
ROUNDING = 1e-12  # of a mean of equal numbers

ImagesOf = Callable[[Tensor], Tensor]  # vectors (B, M, C) -> images (B, 3, S, S), about [-1, 1], with a gradient


class Coordinates(NamedTuple):
    """Vectors z = mean + std * w: what is descended is w, in which all channels are as large."""

    mean: Tensor  # (C,); (M, C) where the channels of some tokens are not those of others
    std: Tensor  # of the same shape; 0 of a channel that is the same in all tokens

    @property
    def still(self) -> list[int]:
        """Channels that are the same in all tokens of all images: they have no scale to move in."""
        return (self.std == 0).reshape(-1, self.std.shape[-1]).any(dim=0).nonzero()[:, 0].tolist()

    def vectors(self, w: Tensor) -> Tensor:
        return self.mean + self.std * w

    def of(self, vectors: Tensor) -> Tensor:
        return (vectors - self.mean) / self.std


class Descent(NamedTuple):
    """Mean squared errors of [0, 1] images along the descent, float64 (T + 1, B): of the start, and after each step."""

    errors: Tensor

    @property
    def diverged(self) -> Tensor:
        """Of which images an error was not finite, bool (B,): of these there is no number."""
        return ~self.errors.isfinite().all(dim=0)

    @property
    def gains(self) -> Tensor:
        """Bits per value of an image over the run, float64 (B,): log2(MSE_0 / MSE_T) / 2, NaN of what diverged."""
        # DECISION (D29): the paper's mean over steps of n / 2 log2(MSE_t / MSE_t+1) telescopes to n / T times this. Its
        # printed values make sense as bits per value alone; n and T are the same for all of a table.
        floored = self.errors.clamp(min=MSE_FLOOR)
        gains = 0.5 * torch.log2(floored[0] / floored[-1])
        return gains.masked_fill(self.diverged, math.nan)

    @property
    def worse(self) -> Tensor:
        """Which images are further away in the end than in the beginning, bool (B,)."""
        return self.errors[-1] > self.errors[0]


class InformationGain(NamedTuple):
    """AvgIG of some images."""

    bits: float  # per value, over the whole run
    literal: float  # bits of a step, of all values of an image: Eq. 15 as printed
    worse: float  # fraction of images that the descent left further away


def coordinates_of(vectors: Tensor, parts: Sequence[slice] = (slice(None),)) -> Coordinates:
    """Of the vectors (B, M, C) of calibration images, each of the parts of M for itself: those of several codebooks."""
    means, deviations = [], []
    for part in parts:
        flat = vectors[:, part].detach().flatten(0, 1).double()
        mean, std = flat.mean(dim=0), flat.std(dim=0)
        std = torch.where(std > ROUNDING * mean.abs(), std, 0.0)
        rows = (vectors[0, part].shape[0], -1)
        means.append(mean.float().expand(rows))
        deviations.append(std.float().expand(rows))
    if len(parts) == 1:
        return Coordinates(means[0][0], deviations[0][0])
    return Coordinates(torch.cat(means), torch.cat(deviations))


def random_starts(
    seeds: list[int], shape: tuple[int, int], coordinates: Coordinates, normalised: Callable[[Tensor], Tensor] | None
) -> Tensor:
    """w (B, M, C) where descents begin, each of the seed of its image.

    Standard normal; or of a tokenizer that normalises its vectors, what stands for such a draw, `normalised`: one that
    gives back what it got normalises nothing. ValueError for channels that have no scale.
    """
    if coordinates.still:
        raise ValueError(f"channels {coordinates.still} are the same in all tokens: they have no scale to move in")
    # DECISION (D30): random, as most of the paper says; App. C begins with the image's own tokens.
    draws = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    w = torch.stack(draws).to(coordinates.mean.device)
    found = w if normalised is None else normalised(w)
    return w if found is w else coordinates.of(found)


def descend(
    images_of: ImagesOf,
    targets: Tensor,
    w: Tensor,
    coordinates: Coordinates,
    *,
    steps: int,
    rate: float,
    after_step: Callable[[], object] = lambda: None,
) -> Descent:
    """From w (B, M, C) towards the images `targets` (B, 3, S, S) in [-1, 1]: steps of `rate` on half the squared error.

    That is summed over an image's values, as the paper prints it, on the scale of [0, 1], and nothing is clipped.
    ValueError for a decoder through which no gradient comes.
    """
    errors, values = [], targets[0].numel()
    w = w.detach()
    for _ in range(steps):
        w.requires_grad_()
        with torch.enable_grad():
            squares = _squares(images_of(coordinates.vectors(w)), targets)
            if not squares.requires_grad:
                raise ValueError("no gradient comes from the images to the tokens: the decoder runs without one")
            (gradient,) = torch.autograd.grad(0.5 * squares.sum(), w)  # a sum: every image has its own
        errors.append(squares.detach().double() / values)
        w = (w - rate * gradient).detach()
        after_step()
    with torch.no_grad():
        errors.append(_squares(images_of(coordinates.vectors(w)), targets).double() / values)
    return Descent(torch.stack(errors).cpu())


def _squares(images: Tensor, targets: Tensor) -> Tensor:
    return ((images.float() - targets) / 2).square().flatten(1).sum(dim=1)


def information_gain(descent: Descent, values: int) -> InformationGain:
    """The mean over images of `values` values each. FloatingPointError where one diverged: it would hide in a mean."""
    if count := int(descent.diverged.sum()):
        images = descent.diverged.nonzero()[:, 0].tolist()
        raise FloatingPointError(
            f"{count} of {descent.errors.shape[1]} descents diverged (images {images[:5]}): there is no mean of them"
        )
    bits, steps = descent.gains.mean().item(), len(descent.errors) - 1
    return InformationGain(bits, bits * values / steps, descent.worse.double().mean().item())
