"""SiT, the scalable interpolant transformer (arXiv 2401.08740), as l-DeTok (arXiv 2507.15856, App. A) trains it.

DiT's network (`nn.diffusion_transformer`), which predicts the velocity of the linear path. Here: what it predicts and
the training loss. Sampling is in `sit_sampler`. Left out: learned sigma, qk-norm.

Shapes: B batch, N tokens, C token channels, D width. Times are in [0, 1]: 0 noise, 1 data.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from tesserae.diffusion import flow
from tesserae.nn.diffusion_transformer import DiffusionTransformer


class SiT(DiffusionTransformer):
    """Velocity of the flow from noise to the tokens of a class: forward gives (B, N, C)."""

    def __init__(self, *, token_width: int, **network):  # the keywords of DiffusionTransformer up to label_dropout
        super().__init__(token_width=token_width, outputs=token_width, **network)

    def velocity(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """As forward, with int64 labels (B,); the null class is `classes`."""
        return self(x, t, self.y_embedder(labels))

    def losses(
        self, batch: dict[str, Tensor], step: int, rng: torch.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """One group, "generator", with the flow matching loss; batch: tokens (B, N, C), standardised, labels (B,)."""
        tokens = batch["tokens"]
        labels = self.y_embedder.drop(batch["labels"], self.label_dropout, rng)
        t = flow.draw_uniform_times(tokens, rng)
        noise = flow.draw_noise(tokens, rng)
        yield "generator", {"velocity_mse": flow.velocity_mse(partial(self.velocity, labels=labels), tokens, noise, t)}


def build(spec: dict) -> SiT:
    """The model of a recipe's resolved "model" settings, which are the constructor's keywords."""
    return SiT(**spec)
