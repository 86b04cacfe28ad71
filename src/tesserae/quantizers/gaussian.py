"""The bottleneck of KL autoencoders: a diagonal Gaussian per latent value (arXiv 1312.6114; latent diffusion's form).

Shapes: B batch; the rest of a latent is the model's own, (N, C) for tokens, (C, H, W) for maps.
"""

import torch
from torch import Tensor

LOGVAR_MIN, LOGVAR_MAX = -30.0, 20.0  # latent diffusion (arXiv 2112.10752), official code


class GaussianPosterior:
    """q(z | image) = N(mean, exp(logvar)), both of one shape (B, ...), in float32 whatever the autocast."""

    def __init__(self, mean: Tensor, logvar: Tensor):
        # DEPARTS: under bf16 autocast l-DeTok's official code leaves mean, log-variance and KL in bf16.
        self.mean = mean.float()
        self.logvar = logvar.float().clamp(LOGVAR_MIN, LOGVAR_MAX)

    @classmethod
    def from_moments(cls, moments: Tensor, *, dim: int = -1) -> "GaussianPosterior":
        """Split an encoder's output along its channel axis: first half mean, second half log-variance."""
        mean, logvar = moments.chunk(2, dim=dim)
        return cls(mean, logvar)

    def mode(self) -> Tensor:
        """The mean, which is what reconstructions and latent statistics use."""
        return self.mean

    def sample(self, rng: torch.Generator) -> Tensor:
        """mean + std * noise, noise drawn from `rng` on its own device."""
        noise = torch.randn(self.mean.shape, generator=rng, device=rng.device).to(self.mean.device)
        return torch.addcmul(self.mean, torch.exp(0.5 * self.logvar), noise)

    def kl(self) -> Tensor:
        """KL(q || N(0, I)) in nats, summed over everything but the batch: (B,). A sum, about 10^3 per image."""
        terms = self.mean.square() + self.logvar.exp() - 1.0 - self.logvar
        return 0.5 * terms.flatten(1).sum(dim=1)
