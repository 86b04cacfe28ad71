"""What CompTok's Q reads of decoded tokens (arXiv 2602.03339, Eqs. 6 and 8), and what is left of it in a picture.

Q was trained on the decoder's latents, in which texture that no picture shows can say what the tokens are.

Shapes: B images, K tokens of d values.
"""

import torch
from torch import Tensor

from tesserae.tokenizers.comptok import CompTok
from tesserae.tokenizers.comptok_space import latents

LEVELS = 255


@torch.no_grad()
def missed(model: CompTok, vectors: Tensor, *, seeds: list[int], steps: int) -> tuple[Tensor, Tensor]:
    """Tokens (B, K, d) as Q reads them back: mean squared errors over that of one that reads nothing, (B,) each.

    First of the latents that are decoded; then of the pictures, rounded to 8 bits and encoded by the first stage.
    ValueError for a tokenizer that was trained without Q.
    """
    if model.composing is None or not model.composing.informs:
        raise ValueError("this tokenizer reads no tokens back: it was trained without L_MI and L_MI^swap")
    decoded, blind = latents(model, vectors, seeds=seeds, steps=steps), (vectors.shape[-1] - 1) / vectors.shape[-1]
    pictures = ((model.images(decoded).clamp(-1, 1) * 0.5 + 0.5) * LEVELS).round() / LEVELS * 2 - 1
    read = (model.composing.recogniser(model.maps(x)).float() for x in (decoded, model.latents(pictures)))
    before, after = ((found - vectors).square().flatten(1).mean(dim=1) / blind for found in read)
    return before, after
