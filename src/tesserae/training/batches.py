"""The micro-batches of a global batch as a process works through them, prepared ahead of their use on a GPU."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from tesserae.training.order import Stream

Batch = dict[str, Tensor]
# (step, micro-batch, rng) -> its tensors, on the CPU or the device; "ids", int64 (B,), are its samples' indices in the
# data set. It may draw from `rng` alone, which the model then goes on with: it runs in a thread beside the model.
Source = Callable[[int, int, torch.Generator], Batch]


@dataclass
class Microbatch:
    """One micro-batch of one step: its samples, its random stream, and what its last forward pass left."""

    number: int
    ids: Tensor
    batch: Batch
    stream: Stream
    terms: dict[str, Tensor] = field(default_factory=dict)
    watched: dict[str, Tensor] = field(default_factory=dict)
    collected: dict[str, Tensor] = field(default_factory=dict)


def batches(
    source: Source, seed: int, device: torch.device, steps: Iterable[int], own: range, ahead: int
) -> Iterator[list[Microbatch]]:
    """This process's `own` micro-batches of each step, on the device; a thread prepares `ahead` steps (0: none)."""
    beside = torch.cuda.Stream(device) if device.type == "cuda" and ahead else None

    def prepare(step: int) -> list[Microbatch]:
        microbatches = []
        with torch.cuda.stream(beside):  # does nothing where there is none
            for number in own:
                stream = Stream(seed, number, step, device)
                batch = source(step, number, stream.rng)
                microbatches.append(
                    Microbatch(number, batch.pop("ids"), {name: move(x) for name, x in batch.items()}, stream)
                )
        if beside is not None:
            beside.synchronize()
        return microbatches

    def move(x: Tensor) -> Tensor:
        if beside is None or x.device.type != "cpu":
            return x.to(device)
        return x.pin_memory().to(device, non_blocking=True)

    for microbatches in in_thread(prepare, steps, ahead) if ahead else map(prepare, steps):
        if beside is not None:  # its memory may be used again only after the model's work on it
            for microbatch in microbatches:
                for x in microbatch.batch.values():
                    x.record_stream(torch.cuda.current_stream(device))
        yield microbatches


def in_thread(work: Callable[[int], Any], items: Iterable[int], ahead: int) -> Iterator[Any]:
    """work(item) for each item in order, up to `ahead` of them done beforehand by one thread.

    An error arises when its item's turn comes.
    """
    items = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
        waiting = deque(pool.submit(work, item) for item in islice(items, ahead))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(items, 1))
            yield done
    finally:
        pool.shutdown(cancel_futures=True)
