"""ConceptTok's concept loss (its section on concept guidance): an image's latents name the concepts in it.

Shapes: B images, C concepts of the dictionary, K of them at most in an image.
"""

import torch
from torch import Tensor


def concept_loss(logits: Tensor, concepts: Tensor) -> Tensor:
    """Mean cross-entropy of the softmax over all concepts with each of an image's, then the mean over images; 0-d.

    Logits (B, C); concepts int64 (B, K), each row different indices, filled up with -1. It is the cross-entropy with
    equal masses on the image's concepts, logsumexp(z) - mean of their z_i: at least ln K, ln C for equal logits.
    """
    # DECISION (D14): an image with fewer than K concepts has the mean over those it has; one with none adds 0.
    logits, given = logits.float(), concepts >= 0
    count = given.sum(dim=1)
    named = (logits.gather(1, concepts.clamp(min=0)) * given).sum(dim=1) / count.clamp(min=1)
    return torch.where(count > 0, logits.logsumexp(dim=1) - named, 0.0).mean()
