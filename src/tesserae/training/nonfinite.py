"""A loss or a gradient that is not finite: where it happened, in words and as a record."""

import math
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from tesserae.training.batches import Share
from tesserae.training.processes import gather

SHOWN = 8  # indices and names in the message; the record has all


class NotFinite(FloatingPointError):
    """`record` says step, group of parameters, and of each offending share its samples and terms."""

    def __init__(self, message: str, record: dict[str, Any]):
        super().__init__(message)
        self.record = record


def diagnose(
    fabric: Fabric,
    shares: list[Share],
    group: str,
    step: int,
    rate: float,
    norm: float | None,
    model: nn.Module,
) -> NotFinite:
    """What to raise, on all processes alike, when a term or the norm of the gradient is not finite."""
    own = [
        {
            "share": share.number,
            "ids": share.ids.tolist(),
            "terms": {name: value.item() for name, value in share.terms.items()},
        }
        for share in shares
    ]
    everyone = sorted((share for some in gather(fabric, own) for share in some), key=lambda share: share["share"])
    guilty = [share for share in everyone if not all(map(math.isfinite, share["terms"].values()))]
    blown = sorted({name for share in guilty for name, value in share["terms"].items() if not math.isfinite(value)})
    wild = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    shown = guilty or everyone
    terms = ", ".join(f"{name} {value:.4g}" for name, value in shown[0]["terms"].items())
    what, why = ("loss", ", ".join(blown)) if guilty else ("gradient", f"norm {norm}, {_some(wild) or 'all together'}")
    message = (
        f"the {what} is not finite at step {step}, group {group} ({why}): "
        f"share {_some([share['share'] for share in shown])} with {terms}, "
        f"samples {_some([i for share in shown for i in share['ids']])}. "
        "Look at these samples; if they are sound, lower the learning rate, clip the gradient or train in fp32"
    )
    record = {
        "step": step,
        "group": group,
        "rate": rate,
        "not_finite": blown,
        "gradient_norm": None if norm is None else str(norm),
        "gradients": wild,
        "shares": [s | {"terms": {name: str(value) for name, value in s["terms"].items()}} for s in shown],
    }
    return NotFinite(message, record)


def _some(values: list) -> str:
    return ", ".join(map(str, values[:SHOWN])) + (f" and {len(values) - SHOWN} more" if len(values) > SHOWN else "")
