"""The one training loop: batch, losses, backward, step, EMA, log, save.

A model brings `losses(batch, step, rng)`, a generator of (group, terms) in the order of the updates, its
`parameter_groups()` and `no_weight_decay(name, parameter)`. It may yield (group, terms, watched): numbers that are
logged and never optimised. And it may have
- `collected(group)`: tensors that each micro-batch leaves after its forward pass, of the same shapes in all;
- `after_backward(group, collected)`: when the gradients are joined, before clipping and the optimizer, with those of
  all micro-batches of the global batch, stacked in order; codebooks are renewed here, gradients projected;
- `after_step(group)`: after the optimizer's step;
- `settle(batches)`: after the last step, with averaged weights in place, in the first process alone: buffers that are
  fitted to them. It takes as many batches of the training's first steps as it wants, and returns numbers of the run.
What such a model keeps between steps are buffers. Lightning Fabric brings devices, precision and
processes (docs/decisions.md says why). Nothing here knows a model, evaluates or plots.
"""

import itertools
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from tqdm import tqdm

from tesserae.training.batches import Microbatch, Source, batches
from tesserae.training.nonfinite import NotFinite, diagnose
from tesserae.training.optimizers import Optimizers, optimizers_of
from tesserae.training.order import Stream
from tesserae.training.processes import begin_together, gather_microbatches, own_microbatches, sum_over_processes
from tesserae.training.running import Running
from tesserae.training.schedule import learning_rate
from tesserae.training.state import Checkpoints

CHECKPOINT_SECONDS = float(os.environ.get("TESSERAE_CHECKPOINT_SECONDS", 60))
LOGGED = 200  # points of a curve
AHEAD = {"cuda": 2, "cpu": 0}  # steps whose batches a thread prepares; a CPU has nothing to spare for it
REPORT = "nonfinite.json"  # beside the checkpoints' folder: what blew up


class Interrupted(SystemExit):
    """The run was asked to stop; its state is saved. 75: queue it again (SIGUSR1), 143: let it be (SIGTERM)."""


class Learner(NamedTuple):
    """What a training changes."""

    model: nn.Module
    averaged: dict[str, Tensor]  # weights that are trained, averaged over the steps
    optimizers: dict[str, Optimizers]  # for each group of parameters
    running: Running


class Trained(NamedTuple):
    """Averaged weights, and what the run measured of itself."""

    weights: dict[str, Tensor]
    numbers: dict[str, float]


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
    ahead: int | None = None,
) -> Trained:
    """Train `model` as a spec's `training` says; resume from `state` if a run of this `identity` was interrupted.

    Every process calls it alike; the first one writes. `curves` receives one JSON line per logged step: step, images,
    learning rate and the mean of each loss term since the line before. `ahead` is for tests (None: see AHEAD).
    Raises FloatingPointError at a loss or gradient that is not finite, naming step, samples and terms (REPORT has all).
    """
    steps, batch_size, microbatches = training["steps"], training["batch"], training["microbatches"]
    warming = training.get("ema_warmup", False)
    own, writer = own_microbatches(fabric, microbatches), fabric.is_global_zero
    model.to(fabric.device).train()
    if fabric.world_size > 1:
        ids = source(0, 0, Stream(training["seed"], 0, 0, fabric.device).rng)["ids"].tolist()
        begin_together(fabric, model, {"identity": identity, "training": training, "first samples": ids})
    learner = learner_of(model, training)
    checkpoints = Checkpoints(state, identity, writer=writer)
    if writer:
        (state / REPORT).unlink(missing_ok=True)
    log = checkpoints.folder / "curves.jsonl"
    since = _Means()
    first = _restore(fabric, checkpoints, log, learner, since)
    stop = StopRequest()
    saved = time.monotonic()
    bar = tqdm(
        range(first, steps),
        desc=title,
        initial=first,
        total=steps,
        unit="img",
        unit_scale=batch_size,
        mininterval=1.0 if sys.stderr.isatty() else 10.0,
        disable=not writer,
    )
    ahead = AHEAD[fabric.device.type] if ahead is None else ahead
    prepared = batches(source, training["seed"], fabric.device, range(first, steps), own, ahead)
    began = time.perf_counter()
    # By lines: who follows the training sees them.
    with open(log if writer else os.devnull, "a", buffering=1, encoding="utf-8") as curve, closing(prepared):
        for step, parts in zip(bar, prepared, strict=True):
            try:
                for terms in train_step(fabric, learner, parts, step, training, stop):
                    since.add(terms)
            except NotFinite as error:
                if writer:
                    (state / REPORT).write_text(json.dumps(error.record, indent=1) + "\n", encoding="utf-8")
                raise FloatingPointError(f"{title}: {error}. All of it: {state / REPORT}") from None
            _average(learner, min(training["ema"], (1 + step) / (10 + step)) if warming else training["ema"])
            if (step + 1) % math.ceil(steps / LOGGED) == 0 or step + 1 == steps:
                means, lr = since.take(), group_lr(training, step)
                curve.write(json.dumps({"step": step + 1, "images": (step + 1) * batch_size, "lr": lr, **means}) + "\n")
                bar.set_postfix({name: f"{value:.3g}" for name, value in means.items()}, refresh=False)
            if writer and (stop.agreed or time.monotonic() - saved > CHECKPOINT_SECONDS):
                curve.flush()
                checkpoints.save(step + 1, _state(learner, since))
                saved = time.monotonic()
            if stop.agreed:
                fabric.barrier()  # nobody leaves before the state is saved
                if writer:
                    print(f"{title}: asked to stop; saved step {step + 1} of {steps}, run again to go on", flush=True)
                raise Interrupted(stop.agreed)
    seconds = time.perf_counter() - began
    weights = {**model.state_dict(), **learner.averaged}
    if not writer:
        return Trained(weights, {})
    settled: dict[str, float] = {}
    if hasattr(model, "settle"):
        weights, settled = _settle(fabric, learner, weights, source, training)
    shutil.copyfile(log, curves)
    last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    numbers = {name: value for name, value in last.items() if name not in ("step", "images", "lr")}
    numbers |= {
        "images_per_second": round((steps - first) * batch_size / seconds, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        **settled,
    }
    return Trained(weights, numbers)


# ---- the parts of a step --------------------------------------------------------------------------------------


def train_step(
    fabric: Fabric,
    learner: Learner,
    microbatches: list[Microbatch],
    step: int,
    training: dict[str, Any],
    stop: "StopRequest",
) -> Iterator[dict[str, float]]:
    """Losses and backward of each micro-batch, then one update, for each group in turn.

    Yields the means of what an update logs. `microbatches` are this process's; sums and means go over all processes.
    """
    passes = [learner.model.losses(each.batch, step, each.stream.rng) for each in microbatches]
    collect = getattr(learner.model, "collected", lambda group: {})
    while True:
        for microbatch, losses in zip(microbatches, passes, strict=True):
            with microbatch.stream, learner.running.microbatch():
                with fabric.autocast():
                    group, microbatch.terms, *watched = next(losses, (None, {}))
                microbatch.watched = watched[0] if watched else {}
                if group is not None:
                    microbatch.collected = collect(group)
                    if microbatch is microbatches[0]:
                        learner.optimizers[group].zero_grad()  # what another group's loss left
                    fabric.backward(sum(microbatch.terms.values()) / training["microbatches"])
        if group is None:
            return
        yield _update(fabric, learner, group, microbatches, step, training, stop)


def of_group(training: dict[str, Any], group: str) -> dict[str, Any]:
    """What holds for one group of parameters: the spec's `training`, with what its `groups` say of this one."""
    return training | training.get("groups", {}).get(group, {})


def group_lr(training: dict[str, Any], step: int, group: str | None = None) -> float:
    """The learning rate of a step; a group that the spec's `starts` names counts its steps from there."""
    start = training.get("starts", {}).get(group, 0)
    shape = {key: training[key] for key in ("warmup", "final", "decay_fraction") if key in training}
    return learning_rate(
        step - start,
        lr=training["lr"],
        steps=training["steps"] - start,
        warmup_steps=training["warmup_steps"],
        decay=training["decay"],
        **shape,
    )


def _check_gradients(model: nn.Module, group: str, step: int) -> None:
    """Processes add up gradients by position: none may be missing in one of them."""
    missing = [name for name, p in model.parameter_groups()[group] if p.grad is None]
    if missing:
        raise RuntimeError(
            f"step {step}, group {group}: no gradient for {', '.join(missing)}; several processes need one for every "
            "parameter in every step: add 0 * parameter to the loss"
        )


def _update(
    fabric: Fabric,
    learner: Learner,
    group: str,
    microbatches: list[Microbatch],
    step: int,
    training: dict[str, Any],
    stop: "StopRequest",
) -> dict[str, float]:
    """Join the gradients, check them, step; returns means of loss terms and watched numbers over all micro-batches."""
    training = of_group(training, group)
    lr = group_lr(training, step, group)
    stopping = torch.tensor([stop.requested], device=fabric.device)
    logged = [each.terms | each.watched for each in microbatches]
    names, terms = list(logged[0]), len(microbatches[0].terms)
    means = [sum(some[name].detach().float() / training["microbatches"] for some in logged) for name in names]
    numbers = torch.cat([torch.stack(means), stopping])
    optimizer = learner.optimizers[group]
    parameters = [p for p in optimizer.parameters() if p.grad is not None]
    if fabric.world_size > 1:
        _check_gradients(learner.model, group, step)
        # One sum for everything instead of DDP's hooks: a step may have several backward passes, and whether somebody
        # was asked to stop costs nothing on the way.
        sum_over_processes([*(p.grad for p in parameters), *learner.running.moved, numbers])
    learner.running.settle()
    if hasattr(learner.model, "after_backward"):
        with torch.no_grad():
            learner.model.after_backward(group, gather_microbatches(fabric, [each.collected for each in microbatches]))
    clip = training["clip"]
    norm = numbers.new_zeros(()) if clip is None else get_total_norm([p.grad for p in parameters], foreach=True)
    *means, stopping, size = torch.cat(
        [numbers, norm.reshape(1)]
    ).tolist()  # the one time an update waits for the device
    if not all(map(math.isfinite, (*means[:terms], size))):
        raise diagnose(fabric, microbatches, group, step, lr, None if clip is None else size, learner.model)
    stop.agree(stopping)
    if clip is not None:
        clip_grads_with_norm_(parameters, clip, norm, foreach=True)
    optimizer.step(lr)
    optimizer.zero_grad()
    if hasattr(learner.model, "after_step"):
        with torch.no_grad():
            learner.model.after_step(group)
    return dict(zip(names, means, strict=True))


def learner_of(model: nn.Module, training: dict[str, Any]) -> Learner:
    """A model as its training begins."""
    averaged = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    groups = model.parameter_groups()
    optimizers = {group: optimizers_of(model, some, of_group(training, group)) for group, some in groups.items()}
    return Learner(model, averaged, optimizers, Running(model, training["microbatches"]))


@torch.no_grad()
def _average(learner: Learner, decay: float) -> None:
    present = dict(learner.model.named_parameters())
    averaged = learner.averaged
    torch._foreach_lerp_(list(averaged.values()), [present[name] for name in averaged], 1 - decay)


def _settle(
    fabric: Fabric, learner: Learner, weights: dict[str, Tensor], source: Source, training: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Averaged weights with what the model fits to them, which it keeps, and the numbers that it returns."""
    own = range(training["microbatches"])
    learner.model.load_state_dict(weights)
    learner.model.eval()
    with closing(batches(source, training["seed"], fabric.device, itertools.count(), own, 0)) as prepared:
        numbers = learner.model.settle(each.batch for parts in prepared for each in parts)
    return learner.model.state_dict(), numbers


# ---- state ----------------------------------------------------------------------------------------------------


def _state(learner: Learner, since: "_Means") -> dict[str, Any]:
    return {
        "model": learner.model.state_dict(),
        "averaged": learner.averaged,
        "since": since.state(),
        "optimizers": {group: optimizer.state_dict() for group, optimizer in learner.optimizers.items()},
    }


def _restore(fabric: Fabric, checkpoints: Checkpoints, log: Path, learner: Learner, since: "_Means") -> int:
    """Load the newest checkpoint, cut the curve back to it, return the step to go on with.

    The first process chooses, so that all go on with the same.
    """
    writer = fabric.is_global_zero
    found = checkpoints.newest() if writer else None
    step = fabric.broadcast(found["step"] if found else 0)
    if step and not writer:
        found = checkpoints.load(step)
    if found:
        learner.model.load_state_dict(found["model"])
        for name, tensor in found["averaged"].items():
            learner.averaged[name].copy_(tensor)
        for group, optimizer in learner.optimizers.items():
            optimizer.load_state_dict(found["optimizers"][group])
        since.load(found["since"])
    if writer:
        if found:
            print(f"resuming at step {step}", flush=True)
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
        log.write_text(
            "".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step),
            encoding="utf-8",
        )
    return step


class _Means:
    """Mean of each logged number since the last line of the curve."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, terms: dict[str, float]) -> None:
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
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


class StopRequest:
    """Set by SIGUSR1 (time is nearly up) or SIGTERM in any process: finish the step, save, leave.

    `requested` is this process's; an update carries the sum to all, who then have `agreed` on one exit code.
    """

    WEIGHTS = {signal.SIGUSR1: 1.0, signal.SIGTERM: 2.0**20}  # more than there are processes: SIGTERM prevails

    def __init__(self) -> None:
        self.requested, self.agreed = 0.0, 0
        for number in self.WEIGHTS:
            signal.signal(number, self._ask)

    def _ask(self, number: int, _: Any) -> None:
        self.requested = max(self.requested, self.WEIGHTS[number])

    def agree(self, stopping: float) -> None:
        """Take the sum of what all processes `requested`."""
        if stopping:
            self.agreed = 143 if stopping >= self.WEIGHTS[signal.SIGTERM] else 75
