"""Training of a probe: a fixed learning rate, early stopping on the validation set, the best epoch kept (D21).

Shapes: E epochs, V validation images.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tesserae.probes import tasks

# Indices of images, a random stream -> what the probe reads (its positional arguments) and the answers.
Ask = Callable[[np.ndarray, np.random.Generator], tuple[tuple[Tensor | None, ...], Tensor]]


class Settings(NamedTuple):
    batch: int
    epochs: int  # at most
    patience: int  # epochs without a better one before it stops
    lr: float
    weight_decay: float
    seed: int
    precision: str  # fp32 or bf16


class Fitted(NamedTuple):
    weights: dict[str, Tensor]  # of the best epoch
    best: int  # that epoch, from 0: the first of equally good ones
    hits: np.ndarray  # bool (E, V): which validation images each epoch answers rightly
    losses: list[float]  # mean of each epoch


def fit(
    probe: nn.Module, task: str, train: int, val: int, ask: tuple[Ask, Ask], settings: Settings, title: str
) -> Fitted:
    """Train a probe, which stays on its device; train, val: numbers of images; ask: of training and of validation.

    FloatingPointError for a loss that is not finite. Every epoch has a random stream of its own.
    """
    device = next(probe.parameters()).device
    optimizer = torch.optim.AdamW(probe.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    best, found, losses, seen = {}, -1, [], []
    for epoch in range(settings.epochs):
        rng = np.random.default_rng((settings.seed, epoch))
        probe.train()
        total = 0.0
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int(rng.integers(2**31)))  # of dropout
            for rows in parts(rng.permutation(train), settings.batch):
                inputs, answers = ask[0](rows, rng)
                with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                    logits = probe(*inputs)
                loss = tasks.loss(task, logits.float(), answers)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
        if not np.isfinite(total):
            raise FloatingPointError(f"{title}: the loss of epoch {epoch + 1} is {total}: set a smaller lr")
        losses.append(total / train)
        seen.append(evaluate(probe, task, val, ask[1], settings))
        if found < 0 or seen[-1].sum() > seen[found].sum():
            found, best = epoch, copy.deepcopy({name: tensor.cpu() for name, tensor in probe.state_dict().items()})
        elif epoch - found >= settings.patience:
            break
    return Fitted(best, found, np.stack(seen), losses)


@torch.no_grad()
def evaluate(probe: nn.Module, task: str, count: int, ask: Ask, settings: Settings) -> np.ndarray:
    """Which images are answered rightly, bool (count,)."""
    probe.eval()
    device, found = next(probe.parameters()).device, []
    rng = np.random.default_rng(settings.seed)
    for rows in parts(np.arange(count), settings.batch):
        inputs, answers = ask(rows, rng)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            logits = probe(*inputs)
        found.append(tasks.hits(task, logits.float(), answers).cpu().numpy())
    return np.concatenate(found)


def parts(rows: Sequence[int] | np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """Consecutive parts of at most `batch`."""
    for start in range(0, len(rows), batch):
        yield np.asarray(rows[start : start + batch])


def held_out(hits: np.ndarray, seed: int) -> float:
    """Percent of images right where the epoch was chosen on other ones: bool (E, V), V > 1.

    Validation is divided into two halves; the best epoch of either one is counted on the other.
    """
    order = np.random.default_rng(seed).permutation(hits.shape[1])
    halves = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    right = 0
    for chosen_on, counted_on in (halves, halves[::-1]):
        right += hits[hits[:, chosen_on].sum(axis=1).argmax(), counted_on].sum()
    return 100 * float(right) / hits.shape[1]
