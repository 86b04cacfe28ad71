"""How the tokens of CompTok and of Semanticist move (`TokenSpace` in contracts.py): decoded in few deterministic steps.

Shapes: B images, K tokens of d values; latents of C channels, as (B, P, s, C), P patches of s values.
"""

from typing import Any

from torch import Tensor

from tesserae.diffusion.integrators import draw_streams, noise_streams
from tesserae.diffusion.recomputing import fits
from tesserae.tokenizers.comptok import spread_of_one

STEPS = 10  # DECISION (D14): of the decode; the paper's D(z) is a sampler of whatever length


def vectors(model: Any, tokens: Tensor) -> Tensor:
    """Tokens (B, K, d) as they are."""
    return tokens


def normalised(model: Any, vectors: Tensor) -> Tensor:
    """Vectors (B, K, d), each less its mean and over its deviation."""
    return spread_of_one(vectors)


def images(model: Any, vectors: Tensor, *, seeds: list[int], steps: int = STEPS) -> Tensor:
    """Vectors (B, K, d) -> images (B, 3, S, S), from noise of each image's seed."""
    return model.images(latents(model, vectors, seeds=seeds, steps=steps))


def latents(model: Any, vectors: Tensor, *, seeds: list[int], steps: int = STEPS) -> Tensor:
    """Vectors (B, K, d) -> latents (B, P, s, C).

    Noise is drawn as a map of latents: the same for every decoder of latents of this shape.
    """
    patches, _, channels = model.latent_shape
    noise = draw_streams(noise_streams(seeds), (channels, model.side, model.side)).to(vectors.device)
    decoder = {"width": model.dit.autoenc_cond_embedder.out_features, "blocks": len(model.dit.blocks)}
    kept = fits(steps, len(vectors), tokens=patches + vectors.shape[1], **decoder)
    return model.fast_latents(vectors, model.squares(noise), steps, recompute=not kept)
