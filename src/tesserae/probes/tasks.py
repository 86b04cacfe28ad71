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


def constant_answers(task: str, answers: Tensor, outputs: int) -> Tensor:
    """Logits (outputs,) that answer every image alike, by how often each class or category is right in training.

    Of relations no answer can be given without the candidates: ValueError.
    """
    if task == "classes":
        return answers.bincount(minlength=outputs).float()
    if task == "pairs":
        return answers.float().sum(dim=0)
    raise ValueError("candidates of a relation have no order: by chance one of them is right")


def chance(task: str, train: Tensor, val: Tensor, outputs: int) -> float:
    """Percent of validation answers that the best constant answer to training gets; of relations 1 of K candidates."""
    if task == "relations":
        return 100 / outputs
    logits = constant_answers(task, train, outputs)
    # Equal frequencies are told apart by their number, for one answer has to be given.
    logits = logits - torch.arange(outputs) * (0.5 / outputs)
    return 100 * hits(task, logits.expand(len(val), -1), val).float().mean().item()
