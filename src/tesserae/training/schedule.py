"""Learning rate over a run. Steps count from 0; rates are absolute."""

import math


def learning_rate(
    step: int,
    *,
    lr: float,
    steps: int,
    warmup_steps: int,
    decay: str,
    final: float = 0.0,
    decay_fraction: float = 0.2,
    warmup: str = "linear",
) -> float:
    """The rate of one step: the warm-up, per step, then `decay`. Raises ValueError if either has another name.

    warmup: "linear" from 0 (l-DeTok A.1); "from_hundredth" of the rate (GigaTok's code, which ConceptTok follows);
    "from_first", lr / warmup_steps at step 0 (PatchSAE's code).
    decay: "constant"; "cosine", half of one, to `final` times the rate at `steps`; "late_cosine", the same over as many
    steps as the run has, begun after the warm-up, and so cut off (Semanticist's code); "wsd" (arXiv 2405.18392),
    constant but for the last `decay_fraction` of the steps, which fall by 1 - sqrt(progress) to `final` times the rate;
    "square_root" (of what is left: polynomial decay of power 1/2), to `final` times the rate at `steps`.
    """
    if step < warmup_steps:
        if warmup == "linear":
            return lr * step / warmup_steps
        if warmup == "from_hundredth":
            return lr * (step / warmup_steps + (1 - step / warmup_steps) / 100)
        if warmup == "from_first":
            return lr * (step + 1) / warmup_steps
        raise ValueError(f"unknown warm-up {warmup!r}; known: linear, from_hundredth, from_first")
    if decay == "constant":
        return lr
    if decay in ("cosine", "late_cosine"):
        progress = (step - warmup_steps) / max(1, steps - (warmup_steps if decay == "cosine" else 0))
        left = 0.5 * (1 + math.cos(math.pi * progress))
    elif decay == "wsd":
        falling = int(decay_fraction * steps)
        left = 1 - math.sqrt(max(0, step - (steps - falling)) / max(1, falling))
    elif decay == "square_root":
        left = math.sqrt(1 - (step - warmup_steps) / max(1, steps - warmup_steps))
    else:
        raise ValueError(f"unknown decay {decay!r}; known: constant, cosine, late_cosine, wsd, square_root")
    return lr * (final + (1 - final) * left)
