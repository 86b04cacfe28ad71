"""The order in which samples are seen, and the noise of a step: functions of seeds alone, never of history.

A global batch is cut into shares; each has its samples and its random stream, whichever process works on it. Stopping
and resuming can then change nothing, and neither can the number of processes or of batches already drawn.
"""

import random

import numpy as np
import torch


class Order:
    """Sample indices of any share of any step: each epoch is a fresh permutation, by (seed, epoch) alone."""

    def __init__(self, count: int, batch: int, seed: int, shares: int):
        """`batch` is the global one; raises ValueError if it exceeds `count` or has no equal `shares`."""
        if batch > count:
            raise ValueError(f"a batch of {batch} samples cannot be drawn from a set of {count}; lower the batch")
        if batch % shares:
            raise ValueError(f"training.shares: a batch of {batch} has no {shares} equal shares; choose a divisor")
        self.count, self.batch, self.seed, self.shares = count, batch, seed, shares
        self._epoch, self._permutation = -1, None

    def __call__(self, step: int, share: int) -> np.ndarray:
        """Indices of one share of a step's batch, int64 (batch / shares,)."""
        per_epoch = self.count // self.batch  # the rest of an epoch is dropped
        epoch, at = divmod(step, per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return self._permutation[at * self.batch : (at + 1) * self.batch][share :: self.shares]


class Stream:
    """The random state of one share in one step.

    `rng` is for explicit draws. Within `with`, torch's, numpy's and python's global generators (dropout uses them) are
    this stream's, and go on where its last `with` left them: shares can take turns. A thread may make streams.
    """

    def __init__(self, seed: int, share: int, step: int, device: torch.device):
        words = np.random.SeedSequence([seed, share, step]).generate_state(2)
        self.rng = torch.Generator(device).manual_seed(int(words[1]))
        self._seed, self._device, self._left = int(words[0]), device, None

    def __enter__(self) -> "Stream":
        if self._left is None:
            torch.manual_seed(self._seed)
            np.random.seed(self._seed)  # noqa: NPY002  libraries may draw from the global one
            random.seed(self._seed)
        else:
            on_cpu, on_device, of_numpy, of_python = self._left
            torch.set_rng_state(on_cpu)
            if on_device is not None:
                torch.cuda.set_rng_state(on_device, self._device)
            np.random.set_state(of_numpy)  # noqa: NPY002
            random.setstate(of_python)
        return self

    def __exit__(self, *_: object) -> None:
        on_device = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        self._left = torch.get_rng_state(), on_device, np.random.get_state(), random.getstate()  # noqa: NPY002
