"""The critic of a CompTok as the judge of any images (arXiv 2602.03339, Sec. 3.2.1): of their latents, without noise.

Shapes: B images (B, 3, S, S) in [-1, 1].
"""

import torch
from torch import Tensor

from tesserae.tokenizers.comptok import CompTok


@torch.no_grad()
def logits(model: CompTok, images: Tensor) -> Tensor:
    """How real the critic finds images, float32 (B,). ValueError for a tokenizer that was trained without one."""
    # DECISION (D32, D33): at t = 0, of the posterior means of decoded pixels: tokenizers of all kinds meet one judge.
    if model.composing is None or not model.composing.judges:
        raise ValueError("this tokenizer has no critic: it was trained without L_AFM; name one that has")
    if images.shape[-1] != (side := model.image_size):
        raise ValueError(f"images of {images.shape[-1]} pixels for a critic of images of {side}")
    t = torch.zeros(1, dtype=torch.int64, device=images.device)
    return model.composing.critic(model.latents(images), t).float()
