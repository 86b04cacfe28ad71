"""What probes of each task learn by, and when they are right (COMiT, Table 6).

Shapes: B images, C classes or categories, K candidate triplets.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TOP, FEW, OF_FEW = 5, 30, 3  # DECISION: both of two categories among the top 5; of fewer than 30 categories the top 3


def loss(task: str, logits: Tensor, answers: Tensor) -> Tensor:
    """Of logits (B, C), or (B, K) of which the first is right: cross-entropy, of pairs binary cross-entropy; 0-d."""
    if task == "pairs":
        return F.binary_cross_entropy_with_logits(logits, answers.to(logits.dtype))
    # DECISION (D22): softmax over the candidates of one image
    return F.cross_entropy(logits, answers if task == "classes" else first_of(logits))


def hits(task: str, logits: Tensor, answers: Tensor) -> Tensor:
    """Which images are answered rightly, bool (B,): the class, both categories among the top ones, or the triplet."""
    if task == "pairs":
        highest = logits.topk(top_of(logits.shape[1]), dim=1).indices
        return answers.gather(1, highest).sum(dim=1) == 2
    # A candidate that ties with the right one is no worse: it counts as wrong, or equal logits would all be right.
    right = answers if task == "classes" else first_of(logits)
    chosen = logits.gather(1, right[:, None])
    return (logits >= chosen).sum(dim=1) == 1


def first_of(logits: Tensor) -> Tensor:
    """The first candidate of each image, which is the right one: int64 (B,)."""
    return torch.zeros(len(logits), dtype=torch.int64, device=logits.device)


def top_of(categories: int) -> int:
    """k of "both among the k highest"."""
    return TOP if categories >= FEW else OF_FEW


def chance(task: str, train: Tensor, val: Tensor, outputs: int) -> float:
    """Percent of validation answers that are right without an image: answers (N,) or (N, C), of relations unused.

    The commonest class of training; any top categories, of those that occur; one of the candidates.
    """
    if task == "relations":
        return 100 / outputs
    if task == "classes":
        return 100 * (val == train.bincount(minlength=outputs).argmax()).float().mean().item()
    # Not the commonest categories: in a pair-disjoint split those that often stand together never do in validation.
    there, top = int((train.sum(dim=0) > 0).sum()), top_of(outputs)
    return 100 * min(1.0, top * (top - 1) / (there * (there - 1)))
