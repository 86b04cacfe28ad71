"""DiT, the diffusion transformer (arXiv 2212.09748), as l-DeTok (arXiv 2507.15856, App. A) trains it.

`nn.diffusion_transformer` predicts the noise in the tokens of a class, and its variance. Here: what it predicts and the
training loss. Sampling is in `dit_sampler`.

Shapes: B batch, N tokens, C token channels, D width. Times are integers 0..T-1, 0 nearest to the data.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from tesserae.diffusion.gaussian import DiffusionLoss, GaussianDiffusion, make_betas
from tesserae.nn.diffusion_transformer import DiffusionTransformer


class DiT(DiffusionTransformer):
    """Forward gives (B, N, 2C): the predicted noise, then variance logits."""

    def __init__(
        self,
        *,
        token_width: int,
        diffusion: dict,  # steps T and schedule, the keywords of make_betas
        **network,  # the other keywords of DiffusionTransformer up to label_dropout
    ):
        super().__init__(token_width=token_width, outputs=2 * token_width, **network)
        self.diffusion = GaussianDiffusion(make_betas(**diffusion))

    def losses_at(self, tokens: Tensor, labels: Tensor, t: Tensor, noise: Tensor) -> DiffusionLoss:
        """Terms (B,) for tokens and noise (B, N, C), labels and times (B,); the null class is `classes`."""
        output = self(self.diffusion.q_sample(tokens, t, noise), t, self.y_embedder(labels))
        return self.diffusion.losses(output, tokens, t, noise)

    def losses(
        self, batch: dict[str, Tensor], step: int, rng: torch.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """One group, "generator"; batch: tokens (B, N, C), standardised, labels (B,)."""
        tokens = batch["tokens"]
        labels = self.y_embedder.drop(batch["labels"], self.label_dropout, rng)
        t = torch.randint(self.diffusion.steps, (len(tokens),), generator=rng, device=rng.device).to(tokens.device)
        noise = torch.randn(tokens.shape, generator=rng, device=rng.device, dtype=tokens.dtype).to(tokens.device)
        terms = self.losses_at(tokens, labels, t, noise)
        yield "generator", {"noise_mse": terms.mse.mean(), "noise_vb": terms.vb.mean()}


def build(spec: dict) -> DiT:
    """The model of a recipe's resolved "model" settings, which are the constructor's keywords."""
    return DiT(**spec)
