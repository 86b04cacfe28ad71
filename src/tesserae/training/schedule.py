"""Learning rate over a run. Steps count from 0; rates are absolute."""

import math


def learning_rate(step: int, *, rate: float, steps: int, warmup_steps: int, decay: str) -> float:
    """Linear warm-up from 0, per step, then constant or half a cosine to 0 at `steps` (l-DeTok A.1)."""
    if step < warmup_steps:
        return rate * step / warmup_steps
    if decay == "constant":
        return rate
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return rate * 0.5 * (1 + math.cos(math.pi * progress))
