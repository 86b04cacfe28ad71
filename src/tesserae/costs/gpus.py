"""GPUs, and how much of them a training attains: the one table of hardware numbers."""

from typing import NamedTuple

from tesserae.costs.assumed import H100_ATTAINED


class GPU(NamedTuple):
    """Dense peaks without sparsity, in FLOP/s; memory in bytes, bandwidth in bytes/s."""

    bf16: float
    tf32: float  # what float32 products and convolutions run at once TF32 is allowed, as the official code does
    memory: float
    bandwidth: float
    attained: float  # fraction of its peak it attains, relative to what an A100 attains of its own on the same program
    source: str


GPUS = {
    "a100": GPU(312e12, 156e12, 80e9, 2.04e12, 1.0, "NVIDIA A100 data sheet, SXM 80 GB"),
    "h100": GPU(989e12, 495e12, 80e9, 3.35e12, H100_ATTAINED, "NVIDIA H100 data sheet, SXM 80 GB"),
}
REFERENCE = "a100"  # the published hours are of this one


def gpu(name: str) -> GPU:
    """The GPU of a name; ValueError that lists the known ones."""
    if name not in GPUS:
        raise ValueError(f"unknown GPU {name!r}; known: {', '.join(GPUS)} (add others to src/tesserae/costs/gpus.py)")
    return GPUS[name]
