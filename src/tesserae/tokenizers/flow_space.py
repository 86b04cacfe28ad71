"""How codes move that a flow decodes, of the families of FlexTok and of SelfTok (`TokenSpace` in contracts.py): as what
they stand for, decoded in few of Euler's steps without guidance.

Shapes: B images, N tokens of d values.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tesserae.diffusion.integrators import draw_streams, euler, noise_streams
from tesserae.diffusion.recomputing import fits, recomputed
from tesserae.nn.patches import patchify, unpatchify

STEPS = 10  # DECISION (D14): as of every decoder that draws


def vectors(model: Any, codes: Tensor) -> Tensor:
    """Codes int64 (B, N) -> what they stand for, float32 (B, N, d)."""
    return model.code_vectors(codes).float()


def normalised(model: Any, vectors: Tensor) -> Tensor:
    """Vectors (B, N, d) of unit length, where entries of a codebook have that; levels of scalars may be anything."""
    return F.normalize(vectors, dim=-1) if getattr(model.quantize, "l2", False) else vectors


def images(model: Any, vectors: Tensor, *, seeds: list[int], steps: int = STEPS) -> Tensor:
    """Vectors (B, N, d) -> images (B, 3, S, S), from noise of each image's seed, drawn as a map of pixels."""
    side = model.grid * model.patch_size
    noise = draw_streams(noise_streams(seeds), (3, side, side)).to(vectors.device)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        t = t.expand(len(x))
        return model.velocity(x, t, model.shown(vectors, t, None))

    times = torch.linspace(0, 1, steps + 1, device=vectors.device)
    decoder = {"width": model.decoder.x_embedder.out_features, "blocks": len(model.decoder.blocks)}
    kept = fits(steps, len(vectors), tokens=model.grid**2 + vectors.shape[1], **decoder)
    drawn = euler(velocity if kept else recomputed(velocity), patchify(noise, model.patch_size), times)
    return unpatchify(drawn, model.patch_size, model.grid)
