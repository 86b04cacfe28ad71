"""Training of a task's network on original images.

Shapes: N images to learn from, B of a batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

RISE = 0.05  # of the updates, until the rate is at its peak

# Rows (B,), a random stream -> the loss of these images.
Loss = Callable[[np.ndarray, np.random.Generator], Tensor]


class Settings(NamedTuple):
    epochs: int | None  # either these or steps
    steps: int | None
    batch: int
    lr: float  # at its peak
    weight_decay: float
    flips: bool  # a matter of who makes batches
    precision: str  # fp32 or bf16
    seed: int


def steps_of(settings: Settings, images: int) -> int:
    """Updates of a training on so many images: an epoch's last batch is filled up with images of the next one."""
    if settings.steps is not None:
        return settings.steps
    return -(-settings.epochs * images // settings.batch)


def rate(step: int, steps: int) -> float:
    """Part of the peak rate at an update, from 0: up on a line, down on half a cosine."""
    rise = max(1, round(RISE * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + np.cos(np.pi * (step - rise + 1) / (steps - rise + 1)))


def fit(network: nn.Module, images: int, loss_of: Loss, settings: Settings, title: str) -> list[float]:
    """Train a network, which stays on its device; the loss of every update.

    Every epoch has a random order of its own. FloatingPointError for a loss that is not finite.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    device, steps = next(network.parameters()).device, steps_of(settings, images)
    losses: list[float] = []
    network.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = settings.lr * rate(step, steps)
        rows = rows_of(step, images, settings)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            loss = loss_of(rows, np.random.default_rng((settings.seed, step, 1)))
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"{title}: the loss of update {step + 1} is {losses[-1]}: set a smaller lr")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    network.eval()
    return losses


def rows_of(step: int, images: int, settings: Settings) -> np.ndarray:
    """Positions of the images of an update, int64 (B,)."""
    places = np.arange(step * settings.batch, (step + 1) * settings.batch)
    orders = {
        int(epoch): np.random.default_rng((settings.seed, int(epoch))).permutation(images)
        for epoch in np.unique(places // images)
    }
    return np.array([orders[place // images][place % images] for place in places])
