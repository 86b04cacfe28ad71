"""What steps a group of parameters: AdamW, as all five papers, or Muon for the matrices of blocks beside it.

Small networks that are trained for minutes learn several times as much per second with Muon (Jordan et al., "Muon: An
optimizer for hidden layers in neural networks", 2024; PyTorch's `torch.optim.Muon`). Its authors leave embeddings,
first and last layers to AdamW, and so does `hidden_matrices`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

Named = list[tuple[str, nn.Parameter]]
# Modulations start at zero and say how strong a block is: more like last layers than hidden ones.
MODULATION = "adaLN_modulation"


def hidden_matrices(model: nn.Module) -> set[str]:
    """Names of the matrices inside a model's repeated blocks, that is in an `nn.ModuleList`, but for modulations."""
    blocks = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    embeddings = {f"{path}.weight" for path, module in model.named_modules() if isinstance(module, nn.Embedding)}
    inside = {name: p for path, some in blocks for name, p in some.named_parameters(path)}
    return {name for name, p in inside.items() if p.ndim == 2 and MODULATION not in name} - embeddings


class Optimizers:
    """The optimizers that step one group of parameters together, each at its own multiple of one learning rate."""

    def __init__(self, optimizers: Iterable[torch.optim.Optimizer], lr: float) -> None:
        """`lr` is the peak of the schedule; an optimizer's own `lr` says which multiple of it it takes."""
        self._all = list(optimizers)
        self._relative = [optimizer.defaults["lr"] / lr for optimizer in self._all]

    def parameters(self) -> Iterator[nn.Parameter]:
        for optimizer in self._all:
            for settings in optimizer.param_groups:
                yield from settings["params"]

    def step(self, lr: float) -> None:
        """One update at this rate of the schedule."""
        for optimizer, relative in zip(self._all, self._relative, strict=True):
            for settings in optimizer.param_groups:
                settings["lr"] = relative * lr
            optimizer.step()

    def zero_grad(self) -> None:
        for optimizer in self._all:
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        return [optimizer.state_dict() for optimizer in self._all]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for optimizer, state in zip(self._all, states, strict=True):
            optimizer.load_state_dict(state)


def optimizers_of(model: nn.Module, parameters: Named, training: dict[str, Any]) -> Optimizers:
    """As a spec's `training` says: AdamW alone, or with `muon` (lr, momentum) that for hidden matrices.

    Weight decay is the same for both, and none where the model says so.
    """
    muon = training.get("muon")
    hidden = hidden_matrices(model) if muon else set()
    matrices = [(name, p) for name, p in parameters if name in hidden]
    others = [(name, p) for name, p in parameters if name not in hidden]
    found: list[torch.optim.Optimizer] = []
    if matrices:
        groups = _by_decay(model, matrices, training["weight_decay"])
        found.append(torch.optim.Muon(groups, lr=muon["lr"], momentum=muon["momentum"]))
    if others:
        groups, betas = _by_decay(model, others, training["weight_decay"]), tuple(training["betas"])
        found.append(torch.optim.AdamW(groups, lr=training["lr"], betas=betas, fused=True))
    return Optimizers(found, training["lr"])


def _by_decay(model: nn.Module, parameters: Named, weight_decay: float) -> list[dict[str, Any]]:
    kept = [p for name, p in parameters if model.no_weight_decay(name, p)]
    decayed = [p for name, p in parameters if not model.no_weight_decay(name, p)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
