"""A loss or a gradient that is not finite: where it happened, in words and as a record."""

import math
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from tesserae.training.batches import Microbatch
from tesserae.training.processes import gather

SHOWN = 8  # indices and names in the message; the record has all


class NotFinite(FloatingPointError):
    """`record` says step, group of parameters, and of each offending micro-batch its samples and terms."""

    def __init__(self, message: str, record: dict[str, Any]):
        super().__init__(message)
        self.record = record


def diagnose(
    fabric: Fabric,
    microbatches: list[Microbatch],
    group: str,
    step: int,
    lr: float,
    norm: float | None,
    model: nn.Module,
) -> NotFinite:
    """What to raise, on all processes alike, when a term or the norm of the gradient is not finite."""
    own = [
        {
            "microbatch": each.number,
            "ids": each.ids.tolist(),
            "terms": {name: value.item() for name, value in each.terms.items()},
        }
        for each in microbatches
    ]
    everyone = sorted((each for some in gather(fabric, own) for each in some), key=lambda each: each["microbatch"])
    guilty = [each for each in everyone if not all(map(math.isfinite, each["terms"].values()))]
    blown = sorted({name for each in guilty for name, value in each["terms"].items() if not math.isfinite(value)})
    wild = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    shown = guilty or everyone
    terms = ", ".join(f"{name} {value:.4g}" for name, value in shown[0]["terms"].items())
    what, why = ("loss", ", ".join(blown)) if guilty else ("gradient", f"norm {norm}, {_some(wild) or 'all together'}")
    message = (
        f"the {what} is not finite at step {step}, group {group} ({why}): "
        f"micro-batch {_some([each['microbatch'] for each in shown])} with {terms}, "
        f"samples {_some([i for each in shown for i in each['ids']])}. "
        "Look at these samples; if they are sound, lower the learning rate, clip the gradient or train in fp32"
    )
    record = {
        "step": step,
        "group": group,
        "lr": lr,
        "not_finite": blown,
        "gradient_norm": None if norm is None else str(norm),
        "gradients": wild,
        "microbatches": [s | {"terms": {name: str(value) for name, value in s["terms"].items()}} for s in shown],
    }
    return NotFinite(message, record)


def _some(values: list) -> str:
    return ", ".join(map(str, values[:SHOWN])) + (f" and {len(values) - SHOWN} more" if len(values) > SHOWN else "")
