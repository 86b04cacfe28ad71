"""Entropy of soft choices of a codebook's entries, as MaskGIT's tokenizer (arXiv 2202.04200) and LlamaGen's weigh it.

Shapes: V entries of the codebook.
"""

from torch import Tensor

ENTROPY_TEMPERATURE, SMALLEST_USAGE = 0.01, 1e-5  # official codes


def entropy_loss(distances: Tensor) -> Tensor:
    """Sure choices of all entries alike (official code): squared distances (..., V) -> nats, 0-d, at least -ln V.

    The mean entropy of a vector's soft choice minus the entropy of the mean choice.
    """
    logits = -distances.flatten(0, -2) / ENTROPY_TEMPERATURE
    choices = logits.softmax(dim=1)
    usage = choices.mean(dim=0)
    own = -(choices * logits.log_softmax(dim=1)).sum(dim=1).mean()
    return own + (usage * (usage + SMALLEST_USAGE).log()).sum()
