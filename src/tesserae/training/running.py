"""Running statistics (batch norm) of a model whose batch is cut into shares."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Running:
    """What forward passes do to a model's buffers: each share starts from the same ones, and an update leaves the mean.

    Then neither the number of processes nor the order of shares matters. A single share is left alone.
    """

    def __init__(self, model: nn.Module, shares: int):
        kept = model.state_dict().keys()  # a buffer that is not saved is a constant table
        self.buffers = [x for name, x in model.named_buffers() if name in kept] if shares > 1 else []
        self.shares = shares
        self.moved = [torch.zeros_like(x, dtype=torch.float32) for x in self.buffers]  # sum of what shares changed

    @contextmanager
    def share(self) -> Iterator[None]:
        """Around the forward pass of one share."""
        start = [x.clone() for x in self.buffers]
        yield
        for x, before, moved in zip(self.buffers, start, self.moved, strict=True):
            moved += x - before
            x.copy_(before)

    @torch.no_grad()
    def settle(self) -> None:
        """After the last share, and the sum of `moved` over all processes: take the mean."""
        for x, moved in zip(self.buffers, self.moved, strict=True):
            x += (moved / self.shares).to(x.dtype)
            moved.zero_()
