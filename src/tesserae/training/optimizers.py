"""What steps a group of parameters: AdamW, as all five papers, or Muon for the matrices of blocks beside it.

Small networks that are trained for minutes learn several times as much per second with Muon (Jordan et al., "Muon: An
optimizer for hidden layers in neural networks", 2024; PyTorch's `torch.optim.Muon`). Its authors leave embeddings,
first and last layers to AdamW, and so does `hidden_matrices`. The kernel of a convolution counts as a matrix of outputs
by everything that makes one of them, as in their code.

PyTorch's Muon orthogonalises in bfloat16, one matrix after the other. Most CPUs have no such arithmetic: there that
alone takes several times as long as all else of a step, and what is rounded depends on the CPU. So on a CPU it is done
in float32, and matrices of a shape together.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

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


def orthogonalised(matrices: Tensor, ns_coefficients: tuple[float, float, float], ns_steps: int, eps: float) -> Tensor:
    """Matrices (K, P, Q) with their singular values drawn to about 1 by Newton and Schulz's iteration, in their dtype.

    As the function of that purpose in PyTorch's Muon, which takes one matrix. One of norm below `eps` stays small.
    """
    a, b, c = ns_coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)  # so that no singular value exceeds 1
    for _ in range(ns_steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class KernelMuon(torch.optim.Muon):
    """Muon for parameters of two axes or more, which it sees as matrices (P, Q): P outputs, Q all other axes.

    `param_groups` holds these views. They share the parameters' memory, so parameters may be written to, but not moved.
    Settings and state are those of PyTorch's Muon; of its settings `adjust_lr_fn` is the default one alone.
    """

    def __init__(self, groups: list[dict[str, Any]], **settings: Any) -> None:
        self._seen: list[tuple[nn.Parameter, nn.Parameter]] = []  # a parameter, and itself as a matrix
        super().__init__(
            [{**group, "params": [self._matrix(p) for p in group["params"]]} for group in groups], **settings
        )
        if any(group["adjust_lr_fn"] not in (None, "original") for group in self.param_groups):
            raise ValueError("adjust_lr_fn: only the original one, which is the default")

    def _matrix(self, p: nn.Parameter) -> nn.Parameter:
        matrix = p if p.ndim == 2 else nn.Parameter(p.detach().view(len(p), -1))
        self._seen.append((p, matrix))
        return matrix

    def parameters(self) -> Iterator[nn.Parameter]:
        return (p for p, _ in self._seen)

    @torch.no_grad()
    def step(self) -> None:
        for p, matrix in self._seen:
            matrix.grad = None if p.grad is None else p.grad.reshape(matrix.shape)
        for settings in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for matrix in settings["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append(matrix)
            for matrices in alike.values():
                self._step(matrices, settings)

    def _step(self, matrices: list[nn.Parameter], settings: dict[str, Any]) -> None:
        """One update of matrices of one shape."""
        momentum, (rows, columns) = settings["momentum"], matrices[0].shape
        updates = torch.stack([self._momentum(matrix, momentum, settings["nesterov"]) for matrix in matrices])
        if updates.is_cuda:
            updates = updates.bfloat16()  # as PyTorch
        names = ("ns_coefficients", "ns_steps", "eps")
        updates = orthogonalised(updates, **{name: settings[name] for name in names})
        lr = settings["lr"] * max(1, rows / columns) ** 0.5
        for matrix, update in zip(matrices, updates, strict=True):
            matrix.mul_(1 - settings["lr"] * settings["weight_decay"]).add_(update, alpha=-lr)

    def _momentum(self, matrix: nn.Parameter, momentum: float, nesterov: bool) -> Tensor:
        """What the gradient says together with those before it."""
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        buffer = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(buffer, momentum) if nesterov else buffer

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
