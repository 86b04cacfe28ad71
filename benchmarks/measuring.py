"""What benchmarks measure with: CPU seconds, operations, and how fast this machine multiplies matrices."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def clock(work: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def product_speed(side: int = 1024, repeats: int = 10) -> float:
    """FLOP/s of float32 matrix products of `side`."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    return 2 * side**3 / min(clock(lambda: a @ b) for _ in range(repeats))


def flop(work: Callable[[], Any]) -> int:
    """Floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
