"""Masked generation: how many tokens are masked in training and after each step of sampling, and which.

Sources: MaskGIT (arXiv 2202.04200), Sec. 3; the arccos law and its rounding are those of TiTok's code. Every sample has
counts of its own, by its own length.

Shapes: B samples, S slots, of which a sample fills the first `lengths`.
"""

import math

import torch
from torch import Tensor

LEAST_RATIO = 1e-6  # official code
LEAST_UNIFORM = 1e-20  # official code: of a uniform number, and of its logarithm, before a logarithm is taken


def arccos_ratio(progress: Tensor) -> Tensor:
    """Progress in [0, 1] -> the fraction that is masked, arccos(progress) / (pi / 2)."""
    return progress.acos() / (math.pi * 0.5)


def masked_in_training(lengths: Tensor, progress: Tensor) -> Tensor:
    """Lengths (B,), progress in [0, 1) (B,) -> how many tokens of each sample are masked, at least one: int64 (B,)."""
    ratio = arccos_ratio(progress).clamp(LEAST_RATIO, 1.0)
    return (lengths * ratio).round().clamp(min=1).long()


def masked_after(step: int, steps: int, lengths: Tensor, masked: Tensor) -> Tensor:
    """How many tokens stay masked after step 0, 1 ... steps - 1 of sampling: int64 (B,).

    Of `masked` ones (B,) at least one is unmasked and, before the last step, at least one is left.
    """
    if step == steps - 1:
        return torch.zeros_like(masked)
    ratio = math.acos((step + 1) / steps) / (math.pi * 0.5)
    return (lengths * ratio).floor().long().minimum(masked - 1).clamp(min=1)


def ranks(values: Tensor) -> Tensor:
    """The place of each value in the ascending order of its row: (B, S) -> int64 (B, S); equal ones as they stand."""
    return values.argsort(dim=1, stable=True).argsort(dim=1)


def draw_masked(lengths: Tensor, slots: int, rng: torch.Generator) -> Tensor:
    """Which slots are masked in training, uniformly drawn: bool (B, S)."""
    progress = torch.rand(len(lengths), generator=rng, device=rng.device).to(lengths.device)
    order = torch.rand(len(lengths), slots, generator=rng, device=rng.device).to(lengths.device)
    order = order.masked_fill(~real_slots(lengths, slots), 2.0)  # behind all others
    return ranks(order) < masked_in_training(lengths, progress)[:, None]


def real_slots(lengths: Tensor, slots: int) -> Tensor:
    """Which slots a sample fills: bool (B, S)."""
    return torch.arange(slots, device=lengths.device) < lengths[:, None]


def groups_by_length(lengths: list[int], waste: float) -> list[list[int]]:
    """Samples in groups of similar lengths, longest first; of each, `waste` is padding at most.

    Nothing is sorted where one group will do: the samples then stay in their order.
    """
    if sum(lengths) >= (1 - waste) * len(lengths) * max(lengths, default=0):
        return [list(range(len(lengths)))]
    groups, filled = [[]], 0
    for sample in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        group = groups[-1]
        filled += lengths[sample]
        if group and filled < (1 - waste) * (len(group) + 1) * lengths[group[0]]:
            groups.append([])
            filled = lengths[sample]
        groups[-1].append(sample)
    return groups


def gumbel(uniforms: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) -> numbers of the standard Gumbel distribution."""
    return -(-uniforms.clamp(min=LEAST_UNIFORM).log()).clamp(min=LEAST_UNIFORM).log()
