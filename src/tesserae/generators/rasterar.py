"""RasterAR of l-DeTok (arXiv 2507.15856), Sec. 4: tokens come row by row."""

import torch
from torch import Tensor

from tesserae.generators.causal_ar import CausalAR


class RasterAR(CausalAR):
    """The order of the tokenizer's output, for all samples."""

    def orders(self, count: int, rng: torch.Generator) -> Tensor:
        """The identity, `count` times."""
        return torch.arange(self.token_length, device=rng.device).expand(count, -1)


def build(spec: dict) -> RasterAR:
    """The model of a recipe's resolved `model` settings (the constructor's keywords)."""
    return RasterAR(**spec)
