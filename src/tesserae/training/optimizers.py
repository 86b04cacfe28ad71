"""What steps a group of parameters: AdamW, as all five papers, or Muon for the matrices of blocks beside it.

Small networks that are trained for minutes learn several times as much per second with Muon (Jordan et al., "Muon: An
optimizer for hidden layers in neural networks", 2024; PyTorch's `torch.optim.Muon`). Its authors leave embeddings,
first and last layers to AdamW, and so does `hidden_matrices`. The kernel of a convolution counts as a matrix of outputs
by everything that makes one of them, as in their code.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

Named = list[tuple[str, nn.Parameter]]
# Modulations start at zero and say how strong a block is: more like last layers than hidden ones.
MODULATION = "adaLN_modulation"
MIDDLE = "mid"  # of convolutional autoencoders: blocks at the lowest resolution, outside of their lists of levels


def hidden_matrices(model: nn.Module) -> set[str]:
    """Names of the matrices and kernels inside a model's blocks, but for modulations.

    Blocks are what is in an `nn.ModuleList`, and the middle of a convolutional autoencoder.
    """
    modules = dict(model.named_modules())
    blocks = {path: module for path, module in modules.items() if isinstance(module, nn.ModuleList)}
    blocks |= {path: module for path, module in modules.items() if path.rsplit(".", 1)[-1] == MIDDLE}
    weights = {path: f"{path}.weight" for path in modules}
    embeddings = {weights[path] for path, module in modules.items() if isinstance(module, nn.Embedding)}
    kernels = {weights[path] for path, module in modules.items() if isinstance(module, nn.Conv2d)}
    inside = {name: p for path, some in blocks.items() for name, p in some.named_parameters(path)}
    matrices = {name for name, p in inside.items() if p.ndim == 2 or name in kernels}
    return {name for name in matrices if MODULATION not in name} - embeddings


class KernelMuon(torch.optim.Muon):
    """Muon for parameters of two axes or more, which it sees as matrices (P, Q): P outputs, Q all other axes.

    `param_groups` holds these views. They share the parameters' memory, so parameters may be written to, but not moved.
    """

    def __init__(self, groups: list[dict[str, Any]], **settings: Any) -> None:
        self._seen: list[tuple[nn.Parameter, nn.Parameter]] = []  # a parameter, and itself as a matrix
        super().__init__(
            [{**group, "params": [self._matrix(p) for p in group["params"]]} for group in groups], **settings
        )

    def _matrix(self, p: nn.Parameter) -> nn.Parameter:
        matrix = p if p.ndim == 2 else nn.Parameter(p.detach().view(len(p), -1))
        self._seen.append((p, matrix))
        return matrix

    def parameters(self) -> Iterator[nn.Parameter]:
        return (p for p, _ in self._seen)

    def step(self) -> None:
        for p, matrix in self._seen:
            matrix.grad = None if p.grad is None else p.grad.reshape(matrix.shape)
        super().step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for p in self.parameters():
            p.grad = None


class Optimizers:
    """The optimizers that step one group of parameters together, each at its own multiple of one learning rate."""

    def __init__(self, optimizers: Iterable[torch.optim.Optimizer], lr: float) -> None:
        """`lr` is the peak of the schedule; an optimizer's own `lr` says which multiple of it it takes."""
        self._all = list(optimizers)
        self._relative = [optimizer.defaults["lr"] / lr for optimizer in self._all]

    def parameters(self) -> Iterator[nn.Parameter]:
        for optimizer in self._all:
            if isinstance(optimizer, KernelMuon):
                yield from optimizer.parameters()
            else:
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
        found.append(KernelMuon(groups, lr=muon["lr"], momentum=muon["momentum"]))
    if others:
        groups, betas = _by_decay(model, others, training["weight_decay"]), tuple(training["betas"])
        found.append(torch.optim.AdamW(groups, lr=training["lr"], betas=betas, fused=True))
    return Optimizers(found, training["lr"])


def _by_decay(model: nn.Module, parameters: Named, weight_decay: float) -> list[dict[str, Any]]:
    kept = [p for name, p in parameters if model.no_weight_decay(name, p)]
    decayed = [p for name, p in parameters if not model.no_weight_decay(name, p)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
