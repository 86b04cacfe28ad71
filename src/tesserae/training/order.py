"""The order in which samples are seen, and the noise of a step: functions of seeds alone, never of history.

A global batch is cut into micro-batches; each has its samples and random stream, whatever process works on it. Stopping
and resuming can then change nothing, and neither can the number of processes or of batches already drawn.
"""

import random

import numpy as np
import torch


class Order:
    """Sample indices of any micro-batch of any step: each epoch is a fresh permutation, by (seed, epoch) alone."""

    def __init__(self, count: int, batch: int, seed: int, microbatches: int):
        """`batch` is the global one; raises ValueError if it exceeds `count` or has no equal `microbatches`."""
        if batch > count:
            raise ValueError(f"a batch of {batch} samples cannot be drawn from a set of {count}; lower the batch")
        if batch % microbatches:
            raise ValueError(
                f"training.microbatches: a batch of {batch} has no {microbatches} equal micro-batches; choose a divisor"
            )
        self.count, self.batch, self.seed, self.microbatches = count, batch, seed, microbatches
        self._epoch, self._permutation = -1, None

    def __call__(self, step: int, microbatch: int) -> np.ndarray:
        """Indices of one micro-batch of a step's batch, int64 (batch / micro-batches,)."""
        per_epoch = self.count // self.batch  # the rest of an epoch is dropped
        epoch, at = divmod(step, per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return self._permutation[at * self.batch : (at + 1) * self.batch][microbatch :: self.microbatches]


class Stream:
    """The random state of one micro-batch in one step.

    `rng` is for explicit draws. Within `with`, torch's, numpy's and python's global generators (dropout uses them) are
    this stream's, and go on where its last `with` left them: micro-batches can take turns. A thread may make streams.
    """

    def __init__(self, seed: int, microbatch: int, step: int, device: torch.device):
        words = np.random.SeedSequence([seed, microbatch, step]).generate_state(2)
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
