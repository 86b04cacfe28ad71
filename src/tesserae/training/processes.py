"""Several processes that train one model: who does what, and what they tell each other.

The model is never wrapped. Each process works through its micro-batches and one explicit sum per update joins the
gradients (docs/decisions.md). nccl connects GPUs, gloo CPUs.
"""

import os
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, distributed, nn

PATIENCE = timedelta(minutes=10)  # with a process that does not answer: more than the first takes for a checkpoint


def make_fabric(precision: str, device: str) -> Fabric:
    """Fabric for one process per device; `precision` is "fp32" or "bf16", `device` is "auto", "cpu" or "cuda".

    Several processes find each other by RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT;
    each must see all GPUs of its node. What SLURM's own variables say is the launcher's business, not Fabric's.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ["LOCAL_WORLD_SIZE"]) if world > 1 else 1
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy="auto" if world == 1 else DDPStrategy(timeout=PATIENCE),
        plugins=LightningEnvironment() if world == 1 else TorchElasticEnvironment(),
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[precision],
    )
    fabric.launch()
    if fabric.device.type == "cuda":  # what autocast leaves in float32 is multiplied as TF32
        torch.set_float32_matmul_precision("high")
    return fabric


def own_microbatches(fabric: Fabric, microbatches: int) -> range:
    """The micro-batches of a batch that this process works through; ValueError if the processes cannot divide them."""
    if microbatches % fabric.world_size:
        raise ValueError(
            f"training.microbatches: {microbatches} micro-batches cannot be divided by {fabric.world_size} processes; "
            "choose a multiple, or start fewer processes"
        )
    return range(fabric.global_rank, microbatches, fabric.world_size)


def begin_together(fabric: Fabric, model: nn.Module, said: dict[str, Any]) -> None:
    """Give every process the first one's weights; RuntimeError on all if they do not say the same things."""
    if fabric.world_size == 1:
        return
    weights = {name: (str(x.dtype), tuple(x.shape)) for name, x in model.state_dict().items()}
    first, *others = gather(fabric, said | {"version of torch": torch.__version__, "weights": weights})
    for rank, other in enumerate(others, start=1):
        if differing := [name for name in first if other[name] != first[name]]:
            raise RuntimeError(
                f"process {rank} of {fabric.world_size} differs from process 0 in: {', '.join(differing)}; "
                "start all from one checkout, one environment and one results folder"
            )
    for tensor in (*model.parameters(), *model.buffers()):
        distributed.broadcast(tensor.detach(), 0)


def gather(fabric: Fabric, said: Any) -> list[Any]:
    """What each process says, in the order of the processes."""
    everyone = [said] * fabric.world_size
    if fabric.world_size > 1:
        distributed.all_gather_object(everyone, said)
    return everyone


def gather_microbatches(fabric: Fabric, own: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of this process's micro-batches -> those of all M micro-batches, stacked in their order: (M, ...).

    Process r of w has the micro-batches r, r + w, ... (`own_microbatches`).
    """
    stacked = {name: torch.stack([some[name] for some in own]) for name in own[0]}
    if fabric.world_size == 1:
        return stacked
    return {name: fabric.all_gather(x).transpose(0, 1).flatten(0, 1) for name, x in stacked.items()}


def sum_over_processes(tensors: list[Tensor]) -> None:
    """Add up tensors over all processes, in place: one collective for all of them."""
    flat = torch.cat([x.flatten() for x in tensors])
    distributed.all_reduce(flat)
    for x, total in zip(tensors, flat.split([x.numel() for x in tensors]), strict=True):
        x.copy_(total.view_as(x))
