"""Losses of adversarial flow models (arXiv 2511.22475; official code): a critic that compares real and generated
samples under noise of any strength, kept smooth and centred, and what it asks of a generator.

Shapes: B pairs of a real and a generated sample, each (B, ...); logits (B,).
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor
from torch.nn import functional as F

NORMALISER_EPS = 1e-8  # official code


class CriticSettings(TypedDict):
    penalty: float  # weight of each gradient penalty
    penalty_fraction: float  # of the pairs, the first ones: those whose gradient is looked at
    penalty_noise: float  # deviation of the step over which a gradient is a difference
    centring: float  # weight of the squared sum of both logits


class CriticTerms(NamedTuple):
    """The weighted terms of a critic's loss, 0-d each."""

    relativistic: Tensor
    penalty_real: Tensor  # R1
    penalty_fake: Tensor  # R2
    centring: Tensor


def relativistic(wanted: Tensor, other: Tensor) -> Tensor:
    """softplus(other - wanted), averaged over pairs: 0-d. ln 2 where a critic cannot tell the two apart."""
    return F.softplus(other - wanted).mean()


def critic_terms(
    critic: Callable[[Tensor, Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    t: Tensor,
    steps: tuple[Tensor, Tensor],
    settings: CriticSettings,
) -> CriticTerms:
    """Of pairs at times t (B,), already under noise. `critic(x, t)` -> logits.

    `steps` are standard normal, like the first round(penalty_fraction * B) pairs, at least one: the directions in which
    the squared slope of the critic is measured, by a finite difference.
    """
    B, looked = len(real), penalised(len(real), settings["penalty_fraction"])
    eps, (step_real, step_fake) = settings["penalty_noise"], steps
    near_real, near_fake = real[:looked] + eps * step_real, fake[:looked] + eps * step_fake
    logits = critic(torch.cat([real, fake, near_real, near_fake]), torch.cat([t, t, t[:looked], t[:looked]]))
    of_real, of_fake, moved_real, moved_fake = logits.split([B, B, looked, looked])
    # Official code: weighted by the distance that a generator's step spans, which is the whole path here.
    weight = settings["penalty"]
    return CriticTerms(
        relativistic(of_real, of_fake),
        weight * ((moved_real - of_real[:looked]) / eps).square().mean(),
        weight * ((moved_fake - of_fake[:looked]) / eps).square().mean(),
        settings["centring"] * (of_real + of_fake).square().mean(),
    )


def penalised(pairs: int, fraction: float) -> int:
    """How many of the pairs have their slopes measured."""
    return max(round(pairs * fraction), 1)


def normalised(loss: Tensor, sample: Tensor, square: Tensor, decay: float) -> Tensor:
    """The gradient of a 0-d loss at a sample (B, ...), divided by a running measure of its size.

    `square`, 0-d, is that measure's square and is moved: to `decay` times itself plus the rest of n * |gradient|^2, for
    n values. What comes out has the size of the gradient of a mean whose every value pulls with 1.
    """
    # DEPARTS: the official code does so within the backward pass, where the number of micro-batches would count.
    (gradient,) = torch.autograd.grad(loss, sample)
    square.lerp_(gradient.float().square().sum() * gradient.numel(), 1 - decay)
    return gradient / (square.sqrt() + NORMALISER_EPS)


def pulled(value: Tensor, sample: Tensor, gradient: Tensor) -> Tensor:
    """A 0-d number with the `value`, whose gradient at `sample` is `gradient`, both (B, ...)."""
    pull = (sample * gradient.detach()).sum()
    return value.detach() + (pull - pull.detach())


def transport_weight(step: int, steps: int, first: float, last: float) -> float:
    """Of the optimal transport term: half a cosine from `first` at step 0 to `last` at the last of `steps`."""
    if step >= steps - 1:
        return last
    return last + (first - last) * (1 + math.cos(math.pi * step / (steps - 1))) / 2
