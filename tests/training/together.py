"""Tiny trainings of every kind, in this process or in several real ones."""

import multiprocessing
import os
import socket
import time
import traceback
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

from tesserae.data.transforms import random_flip
from tesserae.generators import mar
from tesserae.tokenizers import detok, tatok
from tesserae.training import loop, weights
from tesserae.training.order import Order
from tesserae.training.processes import make_fabric
from tests import golden
from tests.small import SMALLER, TATOK, TATOK_FILTERING
from tests.waiting import PATIENCE, until

TRAINING = {
    "steps": 40,
    "batch": 4,
    "lr": 1e-3,
    "warmup_steps": 4,
    "decay": "cosine",
    "betas": [0.9, 0.95],
    "weight_decay": 0.1,
    "clip": 1.0,
    "ema": 0.9,
    "precision": "fp32",
    "seed": 3,
    "microbatches": 1,
}
SAMPLES = 30
MAR = golden.load("mar")["spec"]
BUDGET = TATOK_FILTERING | {"length": "budget", "budget": 9.0}


class Tiny(torch.nn.Module):
    """Two optimizers, dropout, batch norm and noise: everything whose state could be lost."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 6))
        self.critic = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))

    def losses(self, batch, step, rng):
        x = batch["x"] + 0.1 * torch.randn(batch["x"].shape, generator=rng)
        out = self.body(x)
        yield "body", {"mse": (out - batch["x"]).square().mean(), "adversarial": -0.01 * self.critic(out).mean()}
        yield "critic", {"hinge": (1 + self.critic(out.detach())).relu().mean()}

    def parameter_groups(self):
        return {name: list(getattr(self, name).named_parameters()) for name in ("body", "critic")}

    def no_weight_decay(self, name, parameter):
        return parameter.ndim < 2


class Plain(torch.nn.Linear):
    """No noise, no dropout, no batch statistics: how its batch is cut makes no difference."""

    def __init__(self):
        super().__init__(6, 6)

    def losses(self, batch, step, rng):
        yield "all", {"mse": (self(batch["x"]) - batch["x"].flip(1)).square().mean()}

    def parameter_groups(self):
        return {"all": list(self.named_parameters())}

    def no_weight_decay(self, name, parameter):
        return True


class Steep(Plain):
    """A finite loss whose gradient is not."""

    def losses(self, batch, step, rng):
        yield "all", {"mse": self(batch["x"]).square().mean(), "steep": (self.bias * 0).abs().sqrt().sum()}


class Forgetful(Plain):
    """Uses its bias in some microbatches only."""

    def losses(self, batch, step, rng):
        yield "all", {"mse": (batch["x"] @ self.weight + (self.bias if 0 in batch["labels"] else 0)).square().mean()}


class Settling(Plain):
    """Fits a number to its averaged weights when it is done: what it says, on average, of 10 samples."""

    def __init__(self):
        super().__init__()
        self.register_buffer("said", torch.zeros(()))

    @torch.no_grad()
    def settle(self, batches):
        assert not self.training
        samples = torch.cat([each["x"] for each, _ in zip(batches, range(3), strict=False)])[:10]
        self.said.copy_(self(samples).mean())
        return {"said": self.said.item()}


KINDS = {  # name -> its model, the name of its samples, their shape
    "tiny": (Tiny, "x", (6,)),
    "plain": (Plain, "x", (6,)),
    "steep": (Steep, "x", (6,)),
    "forgetful": (Forgetful, "x", (6,)),
    "settling": (Settling, "x", (6,)),
    "detok": (lambda: detok.build(SMALLER | {"perceptual": "lite2"}), "images", (3, 16, 16)),
    "tatok": (lambda: tatok.build(TATOK | {"filtering": BUDGET}), "images", (3, 16, 16)),
    "mar": (lambda: mar.build(MAR), "tokens", (MAR["token_length"], MAR["token_width"])),
}


def fit(
    folder: Path,
    kind: str = "tiny",
    *,
    identity: str = "same",
    slow: float = 0.0,
    poisoned: int | None = None,
    breaks_at: int | None = None,
    ahead: int | None = None,
    save_every: float | None = None,
    **changes,
) -> loop.Trained:
    """Train one kind in `folder`; `poisoned` is the index of a sample that is infinite."""
    training = {**TRAINING, **changes}
    build, name, shape = KINDS[kind]
    data = torch.from_numpy(np.random.default_rng(0).standard_normal((SAMPLES, *shape)).astype(np.float32))
    if poisoned is not None:
        data[poisoned] = torch.inf
    order = Order(len(data), training["batch"], training["seed"], training["microbatches"])

    def source(step, microbatch, rng):
        time.sleep(slow)
        if step == breaks_at:
            raise OSError("unreadable")
        chosen = torch.from_numpy(order(step, microbatch))
        samples = random_flip(data[chosen], rng)[0] if name == "images" else data[chosen]
        return {"ids": chosen, name: samples, "labels": chosen % 5}

    if save_every is not None:
        loop.CHECKPOINT_SECONDS = save_every
    torch.manual_seed(training["seed"])
    folder.mkdir(parents=True, exist_ok=True)
    fabric = make_fabric("fp32", "cpu")
    trained = loop.train(
        build(),
        source,
        training,
        fabric=fabric,
        state=folder / "state",
        identity=identity,
        curves=folder / "curves.jsonl",
        title=kind,
        ahead=ahead,
    )
    if fabric.is_global_zero:
        weights.save(folder / "weights.safetensors", trained.weights, "none", {})
    return trained


def same(a: Path, b: Path) -> bool:
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in ("weights.safetensors", "curves.jsonl"))


# ---- several processes ------------------------------------------------------------------------------------------


def start(world: int, log: Path, work, *arguments, **keywords) -> list[BaseProcess]:
    """`world` processes that call work(*arguments, **keywords), connected as by a launcher; output in `log`.<rank>."""
    context = multiprocessing.get_context("forkserver")  # imports torch once for all of them
    context.set_forkserver_preload([__name__])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        context.Process(target=_be, args=(rank, world, port, log, work, arguments, keywords)) for rank in range(world)
    ]
    for process in processes:
        process.start()
    return processes


def _be(rank: int, world: int, port: int, log: Path, work, arguments: tuple, keywords: dict) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with open(f"{log}.{rank}", "w", buffering=1) as opened:
        os.dup2(opened.fileno(), 1)
        os.dup2(opened.fileno(), 2)
        try:
            work(*arguments, **keywords)
        except Exception:
            traceback.print_exc()
            raise


def wait_for(state: Path, step: int, processes: list[BaseProcess]) -> None:
    """Until a checkpoint of `step` or later is there; all processes must still run then."""

    def saved_or_over() -> bool:
        saved = any(int(file.stem) >= step for file in state.glob("*/*.pt"))
        return saved or not all(process.is_alive() for process in processes)

    until(saved_or_over, lambda: f"no checkpoint of step {step}", every=0.002)
    assert all(process.is_alive() for process in processes), "ended too early"


def ended(processes: list[BaseProcess]) -> list[int]:
    """Exit codes, once all have ended."""
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode is not None, "still running"
    return [process.exitcode for process in processes]
