"""Nearest neighbours by the tokens of images, and whether they show the same (COMiT, App. D).

Shapes: V images, k neighbours of each, D values of all tokens of an image.
"""

import numpy as np
import torch
from torch import Tensor


def nearest(vectors: Tensor, neighbours: int, chunk: int = 512) -> Tensor:
    """The nearest other images by the cosine of vectors (V, D): int64 (V, k), nearest first; the first of equals.

    ValueError if there are not so many others.
    """
    if not 0 < neighbours < len(vectors):
        raise ValueError(f"of {len(vectors)} images none has {neighbours} other ones")
    directions = torch.nn.functional.normalize(vectors.float(), dim=1)
    found = []
    for start in range(0, len(directions), chunk):
        cosines = directions[start : start + chunk] @ directions.T
        own = torch.arange(start, start + len(cosines), device=cosines.device)
        cosines[torch.arange(len(cosines), device=cosines.device), own] = -torch.inf
        found.append(cosines.sort(dim=1, descending=True, stable=True).indices[:, :neighbours])
    return torch.cat(found)


def agreement(labels: np.ndarray, found: np.ndarray) -> float:
    """Percent of neighbours (V, k) that have the label of their image, labels (V,)."""
    return 100 * float((labels[found] == labels[:, None]).mean())


def agreement_by_chance(labels: np.ndarray) -> float:
    """Percent of pairs of different images that have the same label."""
    counts = np.bincount(labels).astype(np.float64)
    return 100 * float((counts * (counts - 1)).sum() / (len(labels) * (len(labels) - 1)))
