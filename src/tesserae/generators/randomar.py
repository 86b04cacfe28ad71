"""RandomAR of l-DeTok (arXiv 2507.15856), Sec. 4: each sample's tokens come in an order of its own."""

import torch
from torch import Tensor

from tesserae.generators.causal_ar import CausalAR


class RandomAR(CausalAR):
    """A fresh uniform permutation for every sample (RAR's annealing towards raster order is left out, as there)."""

    def orders(self, count: int, rng: torch.Generator) -> Tensor:
        """Independent uniform permutations."""
        return torch.rand(count, self.token_length, generator=rng, device=rng.device).argsort(dim=1)


def build(spec: dict) -> RandomAR:
    """The model of a recipe's resolved `model` settings (the constructor's keywords)."""
    return RandomAR(**spec)
