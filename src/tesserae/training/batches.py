"""The shares of a global batch as a process works through them, prepared ahead of their use on a GPU."""

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
# (step, share, rng) -> a share's batch, on the CPU or the device; "ids", int64 (B,), are its samples' indices in the
# data set. It may draw from `rng` alone, which the model then goes on with: it runs in a thread beside the model.
Source = Callable[[int, int, torch.Generator], Batch]


@dataclass
class Share:
    """One share of one step: its samples, its random stream, and what its last forward pass left."""

    number: int
    ids: Tensor
    batch: Batch
    stream: Stream
    terms: dict[str, Tensor] = field(default_factory=dict)
    watched: dict[str, Tensor] = field(default_factory=dict)
    collected: dict[str, Tensor] = field(default_factory=dict)


def batches(
    source: Source, seed: int, device: torch.device, steps: Iterable[int], own: range, ahead: int
) -> Iterator[list[Share]]:
    """This process's `own` shares of each step, on the device; `ahead` steps are prepared by a thread (0: none)."""
    beside = torch.cuda.Stream(device) if device.type == "cuda" and ahead else None

    def prepare(step: int) -> list[Share]:
        shares = []
        with torch.cuda.stream(beside):  # does nothing where there is none
            for number in own:
                stream = Stream(seed, number, step, device)
                batch = source(step, number, stream.rng)
                shares.append(Share(number, batch.pop("ids"), {name: move(x) for name, x in batch.items()}, stream))
        if beside is not None:
            beside.synchronize()
        return shares

    def move(x: Tensor) -> Tensor:
        if beside is None or x.device.type != "cpu":
            return x.to(device)
        return x.pin_memory().to(device, non_blocking=True)

    for shares in in_thread(prepare, steps, ahead) if ahead else map(prepare, steps):
        if beside is not None:  # its memory may be used again only after the model's work on it
            for share in shares:
                for x in share.batch.values():
                    x.record_stream(torch.cuda.current_stream(device))
        yield shares


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
