"""How COMiT draws an image from a message (arXiv 2602.20731, Secs. 3.1 and 4.1): a flow from noise, guided (APG).

Shapes: B images, C channels and H x H values of what is drawn (pixels, or latents), M tokens of d values.
"""

from typing import Literal, TypedDict

import torch
from torch import Tensor

from tesserae.diffusion.clean_prediction import Predicts, as_velocity
from tesserae.diffusion.integrators import Velocity, euler, midpoint
from tesserae.diffusion.projected_guidance import ProjectedGuidance, Projection
from tesserae.nn.message_transformer import MessageTransformer

SOLVERS = {"euler": euler, "midpoint": midpoint}


class Sampling(TypedDict):
    steps: int  # of the solver: as many evaluations of the velocity, twice as many with "midpoint"
    guidance: float  # w; 1: none
    solver: Literal["euler", "midpoint"]
    projection: Projection


def field(
    network: MessageTransformer,
    predicts: Predicts,
    vectors: Tensor,
    offsets: Tensor,
    empty: Tensor,
    guidance: float,
    projection: Projection,
) -> Velocity:
    """The guided velocity of one drawing: messages (B, M, d), offsets (B, 2) to the whole image, `empty` (M, d) where
    nothing is said. ValueError for a guidance below 1.
    """
    if guidance < 1:
        raise ValueError(f"a guidance of {guidance}: choose 1, which is none, or more")
    # DECISION: the unguided pass has the same offset, as in the official code.
    guide = ProjectedGuidance(guidance, projection) if guidance > 1 else None
    if guide:
        vectors, offsets = torch.cat([vectors, empty.expand_as(vectors)]), torch.cat([offsets, offsets])
    message, offset = network.embedded_message(vectors), network.embedded_offset(offsets)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        t, image = t.view(1), network.embedded_image(x)
        if guide:
            x, image = torch.cat([x, x]), torch.cat([image, image])
        seen = network.read(image, t, offset, message, buffer=network.mask != "causal")
        found = as_velocity(network.velocity(seen), x, t, predicts)
        return guide(*found.chunk(2)) if guide else found

    return velocity


def times(steps: int, device: torch.device) -> Tensor:
    """0, 1 / steps ... 1."""
    return torch.linspace(0, 1, steps + 1, device=device)
