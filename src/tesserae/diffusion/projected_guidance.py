"""Adaptive projected guidance (APG, arXiv 2410.02416, Alg. 1) of a velocity.

What guidance adds is measured against its own past (momentum), bounded in size, and stripped of the part that points
along the conditional velocity, which oversaturates. Norms and products are over all values of a sample; that of the
split is in float64, as in the authors' code.

Shapes: B samples; velocities are (B, ...).
"""

from typing import TypedDict

from torch import Tensor
from torch.nn import functional as F


class Projection(TypedDict):
    momentum: float  # beta: weight of the running difference; negative ones push away from it
    norm_limit: float  # r: largest norm of the difference; 0: none
    parallel: float  # eta: how much of the part along the conditional velocity stays


class ProjectedGuidance:
    """One sampling call's guidance: it remembers the differences of all evaluations so far."""

    def __init__(self, weight: float, projection: Projection):
        self.weight, self.projection = weight, projection
        self.running: Tensor | float = 0.0

    def __call__(self, conditional: Tensor, unconditional: Tensor) -> Tensor:
        """Two velocities (B, ...) -> the guided one; at weight 1 the conditional one."""
        momentum, limit, parallel = (self.projection[key] for key in ("momentum", "norm_limit", "parallel"))
        # The running difference is kept as it is before its norm is bounded (official code).
        self.running = conditional - unconditional + momentum * self.running
        difference = self.running
        if limit > 0:
            norm = difference.flatten(1).norm(dim=1).view(-1, *[1] * (difference.ndim - 1))
            difference = difference * (limit / norm).clamp(max=1.0)
        along, across = split(difference, conditional)
        return conditional + (self.weight - 1) * (across + parallel * along)


def split(difference: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """A difference (B, ...) as the sum of its parts along and across a direction (B, ...)."""
    values = difference.double().flatten(1)
    unit = F.normalize(direction.double().flatten(1), dim=1)
    along = (values * unit).sum(dim=1, keepdim=True) * unit
    return along.view_as(difference).to(difference.dtype), (values - along).view_as(difference).to(difference.dtype)
