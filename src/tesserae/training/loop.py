"""The one training loop: batch, losses, backward, step, EMA, log, save.

A model brings `losses(batch, step, rng)`, a generator of (group, terms) in the order of the updates, its
`parameter_groups()` and `no_weight_decay(name, parameter)`. Lightning Fabric brings devices, precision and
processes (docs/decisions.md says why). Nothing here knows a model, evaluates or plots.
"""

import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from tesserae.training.order import seed_step
from tesserae.training.schedule import learning_rate
from tesserae.training.state import Checkpoints

CHECKPOINT_SECONDS = float(os.environ.get("TESSERAE_CHECKPOINT_SECONDS", 60))
LOGGED = 200  # points of a curve

Batch = dict[str, Tensor]
Source = Callable[[int, torch.Generator], Batch]  # step, rng -> this process's share of the batch, on the CPU


class Interrupted(SystemExit):
    """The run was asked to stop; its state is saved. Non-zero exit, so that the workflow runs it again."""


class Trained(NamedTuple):
    """Averaged weights, and what the run measured of itself."""

    weights: dict[str, Tensor]
    numbers: dict[str, float]


def make_fabric(precision: str, device: str) -> Fabric:
    """Fabric for one process per device; `precision` is "fp32" or "bf16", `device` is "auto", "cpu" or "cuda"."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    return Fabric(
        accelerator=device,
        devices=1 if world == 1 else int(os.environ["LOCAL_WORLD_SIZE"]),
        strategy="auto" if world == 1 else "ddp",
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[precision],
    )


def train(
    model: nn.Module,
    source: Source,
    training: dict[str, Any],
    *,
    fabric: Fabric,
    state: Path,
    identity: str,
    curves: Path,
    title: str,
) -> Trained:
    """Train `model` as a spec's `training` says; resume from `state` if a run of this `identity` was interrupted.

    Raises FloatingPointError at a loss that is not finite, naming step and terms. `curves` receives one JSON line
    per logged step: step, images, learning rate and the mean of each loss term since the line before.
    """
    steps, batch_size = training["steps"], training["batch"]
    model.to(fabric.device).train()
    optimizers = optimizers_of(model, training)
    averaged = _averaged(model)
    checkpoints = Checkpoints(state, identity)
    log = checkpoints.folder / "curves.jsonl"
    since = _Means()
    first = _restore(checkpoints, log, model, averaged, optimizers, since)
    stop = _StopRequest()
    saved = time.monotonic()
    bar = tqdm(
        range(first, steps),
        desc=title,
        initial=first,
        total=steps,
        unit="img",
        unit_scale=batch_size,
        mininterval=1.0 if sys.stderr.isatty() else 10.0,
        disable=fabric.global_rank != 0,
    )
    began = time.perf_counter()
    with open(log, "a", buffering=1) as curve:  # by lines: who follows the training sees them
        for step in bar:
            rng = seed_step(training["seed"], fabric.global_rank, step, fabric.device)
            batch = fabric.to_device(source(step, rng))
            rate = learning_rate(
                step, rate=training["rate"], steps=steps, warmup_steps=training["warmup_steps"], decay=training["decay"]
            )
            for terms in train_step(fabric, model, optimizers, batch, step, rng, rate, training["clip"], title):
                since.add(terms)
            _average(model, averaged, training["ema"])
            if (step + 1) % math.ceil(steps / LOGGED) == 0 or step + 1 == steps:
                means = since.take()
                curve.write(
                    json.dumps({"step": step + 1, "images": (step + 1) * batch_size, "lr": rate, **means}) + "\n"
                )
                bar.set_postfix({name: f"{value:.3g}" for name, value in means.items()}, refresh=False)
            if stop.requested or time.monotonic() - saved > CHECKPOINT_SECONDS:
                curve.flush()
                checkpoints.save(step + 1, _state(model, averaged, optimizers, since))
                saved = time.monotonic()
                if stop.requested:
                    print(f"{title}: asked to stop; saved step {step + 1} of {steps}, run again to go on", flush=True)
                    raise Interrupted(75)
    seconds = time.perf_counter() - began
    shutil.copyfile(log, curves)
    last = json.loads(log.read_text().splitlines()[-1])
    numbers = {name: value for name, value in last.items() if name not in ("step", "images", "lr")}
    numbers |= {
        "images_per_second": round((steps - first) * batch_size / seconds, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
    }
    return Trained({**model.state_dict(), **averaged}, numbers)


# ---- the parts of a step --------------------------------------------------------------------------------------


def train_step(
    fabric: Fabric,
    model: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    batch: Batch,
    step: int,
    rng: torch.Generator,
    rate: float,
    clip: float | None,
    title: str,
) -> Iterator[dict[str, Tensor]]:
    """Loss, backward and update of each group in turn; yields the loss terms of each."""
    for group, terms in _under_autocast(fabric, model.losses(batch, step, rng)):
        loss = sum(terms.values())
        _check_finite(loss, terms, step, title)
        fabric.backward(loss)
        _update(fabric, optimizers[group], rate, clip)
        yield terms


def optimizers_of(model: nn.Module, training: dict[str, Any]) -> dict[str, torch.optim.Optimizer]:
    """One AdamW for each parameter group of the model."""
    return {group: _adamw(model, parameters, training) for group, parameters in model.parameter_groups().items()}


def _under_autocast(fabric: Fabric, losses: Iterator) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each forward pass under autocast; backward and step, which come in between, are not."""
    while True:
        with fabric.autocast():
            item = next(losses, None)
        if item is None:
            return
        yield item


def _check_finite(loss: Tensor, terms: dict[str, Tensor], step: int, title: str) -> None:
    if not math.isfinite(loss.item()):
        shown = ", ".join(f"{name} {value.item():.4g}" for name, value in terms.items())
        raise FloatingPointError(f"{title}: the loss is not finite at step {step} ({shown}); lower the learning rate")


def _update(fabric: Fabric, optimizer: torch.optim.Optimizer, rate: float, clip: float | None) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if fabric.world_size > 1:  # one flat sum instead of DDP's hooks: a step may have several backward passes
        flat = torch.cat([p.grad.flatten() for p in parameters])
        flat = fabric.all_reduce(flat, reduce_op="mean")
        for p, mean in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad.copy_(mean.view_as(p))
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(parameters, clip, foreach=True)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _adamw(model: nn.Module, parameters: list[tuple[str, nn.Parameter]], training: dict[str, Any]) -> torch.optim.AdamW:
    kept = [p for name, p in parameters if model.no_weight_decay(name, p)]
    decayed = [p for name, p in parameters if not model.no_weight_decay(name, p)]
    groups = [{"params": decayed, "weight_decay": training["weight_decay"]}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=training["rate"], betas=tuple(training["betas"]), fused=True
    )


# ---- averaged weights -----------------------------------------------------------------------------------------


def _averaged(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def _average(model: nn.Module, averaged: dict[str, Tensor], decay: float) -> None:
    present = dict(model.named_parameters())
    torch._foreach_lerp_(list(averaged.values()), [present[name] for name in averaged], 1 - decay)


# ---- state ----------------------------------------------------------------------------------------------------


def _state(model: nn.Module, averaged: dict, optimizers: dict, since: "_Means") -> dict[str, Any]:
    return {
        "model": model.state_dict(),
        "averaged": averaged,
        "since": since.state(),
        "optimizers": {group: optimizer.state_dict() for group, optimizer in optimizers.items()},
    }


def _restore(
    checkpoints: Checkpoints, log: Path, model: nn.Module, averaged: dict, optimizers: dict, since: "_Means"
) -> int:
    """Load the newest checkpoint, cut the curve back to it, return the step to go on with."""
    found = checkpoints.newest()
    step = found["step"] if found else 0
    if found:
        model.load_state_dict(found["model"])
        for name, tensor in found["averaged"].items():
            averaged[name].copy_(tensor)
        for group, optimizer in optimizers.items():
            optimizer.load_state_dict(found["optimizers"][group])
        since.load(found["since"])
        print(f"resuming at step {step}", flush=True)
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    log.write_text("".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step))
    return step


class _Means:
    """Mean of each loss term since the last line of the curve."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item()
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        means = {name: self.sums[name] / self.counts[name] for name in self.sums}
        self.sums.clear()
        self.counts.clear()
        return means

    def state(self) -> dict[str, dict]:
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def load(self, state: dict[str, dict]) -> None:
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])


class _StopRequest:
    """Set by SIGTERM or SIGUSR1: finish the step, save, leave."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._ask)

    def _ask(self, *_: Any) -> None:
        self.requested = True
