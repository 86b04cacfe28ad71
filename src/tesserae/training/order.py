"""The order in which samples are seen, and the noise of a step: functions of seeds alone, never of history.

Stopping and resuming can then change nothing, and neither can the number of batches already drawn.
"""

import random

import numpy as np
import torch


class Order:
    """Sample indices of any step: each epoch is a fresh permutation that depends on (seed, epoch) alone."""

    def __init__(self, count: int, batch: int, seed: int, *, rank: int = 0, world: int = 1):
        """`batch` is the global one; raises ValueError if it cannot be shared out or exceeds `count`."""
        if batch > count:
            raise ValueError(f"a batch of {batch} samples cannot be drawn from a set of {count}; lower the batch")
        if batch % world:
            raise ValueError(f"a global batch of {batch} cannot be shared by {world} processes")
        self.count, self.batch, self.seed, self.rank, self.world = count, batch, seed, rank, world
        self._epoch, self._permutation = -1, None

    def __call__(self, step: int) -> np.ndarray:
        """Indices of this process's share of a step's batch, int64 (batch / world,)."""
        per_epoch = self.count // self.batch  # the rest of an epoch is dropped
        epoch, at = divmod(step, per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return self._permutation[at * self.batch : (at + 1) * self.batch][self.rank :: self.world]


def seed_step(seed: int, rank: int, step: int, device: torch.device) -> torch.Generator:
    """Seed torch's, numpy's and python's global generators for one step, and return one for explicit draws."""
    words = np.random.SeedSequence([seed, rank, step]).generate_state(2)
    torch.manual_seed(int(words[0]))
    np.random.seed(int(words[0]))  # noqa: NPY002  libraries may draw from the global one
    random.seed(int(words[0]))
    return torch.Generator(device).manual_seed(int(words[1]))
