"""Running statistics (batch norm) of a model whose batch is cut into micro-batches."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Running:
    """What forward passes do to a model's buffers: each micro-batch starts from the same, an update leaves the mean.

    Then neither the number of processes nor the order of micro-batches matters. A single micro-batch is left alone.
    """

    def __init__(self, model: nn.Module, microbatches: int):
        kept = model.state_dict().keys()  # a buffer that is not saved is a constant table
        self.buffers = [x for name, x in model.named_buffers() if name in kept] if microbatches > 1 else []
        self.microbatches = microbatches
        self.moved = [
            torch.zeros_like(x, dtype=torch.float32) for x in self.buffers
        ]  # sum of what micro-batches changed

    @contextmanager
    def microbatch(self) -> Iterator[None]:
        """Around the forward pass of one micro-batch."""
        start = [x.clone() for x in self.buffers]
        yield
        for x, before, moved in zip(self.buffers, start, self.moved, strict=True):
            moved += x - before
            x.copy_(before)

    @torch.no_grad()
    def settle(self) -> None:
        """After the last micro-batch, and the sum of `moved` over all processes: take the mean."""
        for x, moved in zip(self.buffers, self.moved, strict=True):
            x += (moved / self.microbatches).to(x.dtype)
            moved.zero_()
