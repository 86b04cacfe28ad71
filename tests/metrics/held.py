"""What graphs hold for their backward passes."""

from typing import Any

import torch
from torch import Tensor


class Held:
    """Bytes that graphs made inside `with` hold at once, at most; what two share is counted for both."""

    def __init__(self) -> None:
        self.live = self.peak = 0

    def __enter__(self) -> "Held":
        self._hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: _Saved(x, self), lambda saved: saved.tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)


class _Saved:
    def __init__(self, tensor: Tensor, held: Held) -> None:
        self.tensor, self._held, self._bytes = tensor, held, tensor.numel() * tensor.element_size()
        held.live += self._bytes
        held.peak = max(held.peak, held.live)

    def __del__(self) -> None:
        self._held.live -= self._bytes
