"""Whether the graphs of all evaluations of a network are kept for the backward pass, or each evaluation is made again.

Made again, they hold the memory of one evaluation, whatever their number, and take half as long again.

Shapes: x (B, ...), t a 0-d tensor.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

GRAPH_BYTES = 512 * 2**20  # that graphs of one decode may hold
VALUES = 34  # float32 numbers that a block keeps of each token and channel, at most: measured, 16 to 34

Field = Callable[[Tensor, Tensor], Tensor]


def fits(evaluations: int, images: int, *, tokens: int, width: int, blocks: int) -> bool:
    """Whether graphs of so many evaluations of a transformer, for so many images, may be kept."""
    return 4 * VALUES * evaluations * images * tokens * width * blocks <= GRAPH_BYTES


def recomputed(field: Field) -> Field:
    """A field of which the backward pass evaluates again what it needs. It must draw nothing."""

    def evaluated(x: Tensor, t: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return field(x, t)
        return checkpoint(field, x, t, use_reentrant=False, preserve_rng_state=False)

    return evaluated
