"""How COMiT's codes move (`TokenSpace` in contracts.py): as their vectors, drawn in few steps without guidance.

Shapes: B images, M codes of d values.
"""

from typing import Any

from torch import Tensor

from tesserae.diffusion.integrators import draw_streams, noise_streams
from tesserae.diffusion.recomputing import fits, recomputed
from tesserae.tokenizers import comit_drawing as drawing
from tesserae.tokenizers.comit import Told

STEPS = 10  # DECISION (D14): as of every decoder that draws


def vectors(model: Any, codes: Tensor) -> Tensor:
    """Codes int64 (B, M) -> their vectors, float32 (B, M, d)."""
    return model.code_vectors(codes).float()


def normalised(model: Any, vectors: Tensor) -> Tensor:
    """Vectors (B, M, d) as they are: levels of scalars have no norm."""
    return vectors


def images(model: Any, vectors: Tensor, *, seeds: list[int], steps: int = STEPS) -> Tensor:
    """Vectors (B, M, d) of the recipe's own policy -> images (B, 3, S, S), from noise of each image's seed."""
    shape = model.predictor.channels, model.side, model.side
    noise = draw_streams(noise_streams(seeds), shape).to(vectors.device)
    velocity = model._field(Told(vectors, model._offsets(vectors[..., 0])), 1.0)
    network, solver = model.predictor, model.sampling["solver"]
    decoder = {"width": network.pos_embed.shape[-1], "blocks": len(network.blocks)}
    tokens = 1 + network.grid**2 + 2 * vectors.shape[1]
    if not fits(steps * (2 if solver == "midpoint" else 1), len(vectors), tokens=tokens, **decoder):
        velocity = recomputed(velocity)
    return model.first_stage.decode(drawing.SOLVERS[solver](velocity, noise, drawing.times(steps, vectors.device)))
