"""Multiplications and additions of what runs inside, by precision. Nothing has to be computed: shapes are enough."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

NAMES = {torch.bfloat16: "bf16", torch.float32: "fp32"}


class Flops(TorchDispatchMode):
    """Counts as PyTorch's FlopCounterMode does, with its formulas, but keeps precisions apart.

    `found` maps "bf16" and "fp32" to FLOP: of matrix products, convolutions and attention, forward and backward. All
    else (norms, activations, optimizers) counts nothing. Raises TypeError for products in another precision.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found = dict.fromkeys(NAMES.values(), 0.0)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        precision, work = flop(func, args, kwargs, out)
        if precision:
            self.found[precision] += work
        return out


def flop(func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> tuple[str, float]:
    """Precision and FLOP of one operation; "" and 0 for what counts nothing. TypeError as above."""
    formula = flop_registry.get(func._overloadpacket)
    if formula is None:
        return "", 0.0
    dtype = next(leaf.dtype for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor))
    if dtype not in NAMES:
        raise TypeError(f"{func}: no peak is known for {dtype}")
    return NAMES[dtype], formula(*args, **kwargs, out_val=out)
