"""Classifier-free guidance of a flow, on all channels.

Sources: arXiv 2207.12598, Eq. 6; all channels and not three: l-DeTok (arXiv 2507.15856, App. A); the interval:
LightningDiT (arXiv 2501.01423) after arXiv 2404.07724. Of a diffusion's noise and variance: `ddpm.guide`.

Shapes: B samples, A of them still under way, N tokens, C channels, D width.
"""

import torch
from torch import Tensor

from tesserae.diffusion.integrators import RowVelocity
from tesserae.nn.diffusion_transformer import DiffusionTransformer


def class_halves(model: DiffusionTransformer, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings (B, D) of `labels` (B,) and of as many null classes."""
    return model.y_embedder(labels), model.y_embedder(torch.full_like(labels, model.y_embedder.null))


def guided_velocity(model: DiffusionTransformer, labels: Tensor, guidance: float, start: float = 0.0) -> RowVelocity:
    """The velocity field u + s (c - u), c and u with labels (B,) and the null class, over all channels.

    It takes states (A, N, C), times (A,) or 0-d and the `rows` (A,) of `labels` that the states belong to, by default
    all. At s = 1, and at times before `start` (which must be 0-d then), it is c, for one forward pass per evaluation
    instead of one of twice the batch.
    """
    # DEPARTS: below 1 the formula holds too (0 samples without classes); l-DeTok's code ignores a guidance below 1.
    classes, null = class_halves(model, labels)

    def velocity(x: Tensor, t: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        unguided = guidance == 1 or (start > 0 and bool(t < start))
        t = t.expand(len(x))
        if unguided:
            return model(x, t, classes[rows]).to(x.dtype)
        both = torch.cat([classes[rows], null[rows]])
        conditional, unconditional = model(torch.cat([x, x]), torch.cat([t, t]), both).to(x.dtype).chunk(2)
        return unconditional + guidance * (conditional - unconditional)

    return velocity
