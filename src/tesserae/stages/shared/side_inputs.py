"""What a tokenizer reads beside images: the features of prompts, by class."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tesserae.lineage.work import Work


class Prompts(NamedTuple):
    """Features of the prompt of each class, and in the last row of one that names no class."""

    features: Tensor  # (classes + 1, T, W) float16

    def of(self, labels: Tensor) -> Tensor:
        """Features float32 (B, T, W) of the prompts of labels, int64 (B,)."""
        return self.features[labels.cpu()].float()

    def constant(self, count: int) -> Tensor:
        """The prompt without a class for `count` images: (count, T, W)."""
        return self.features[-1:].float().expand(count, -1, -1)


def open_prompts(work: Work) -> Prompts | None:
    """The prompts that a job reads; None for a tokenizer without text."""
    if "prompts" not in work.inputs:
        return None
    return Prompts(torch.from_numpy(np.load(work.inputs["prompts"] / "features.npy")))


def shuffled(labels: Tensor, seed: int) -> Tensor:
    """The labels of other images: int64 (N,) in another order, each image another one's. A seeded rotation of a
    random order, so that no image keeps its own place (its class may come back by chance).
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    mixed = torch.empty_like(labels)
    mixed[order] = labels[order.roll(1)]
    return mixed
