"""The non-saturating GAN loss (arXiv 1406.2661) and the R1 penalty (arXiv 1801.04406), as MaskGIT's tokenizer has them.

Shapes: B batch, S image side.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def generator_loss(discriminator: nn.Module, fake: Tensor) -> Tensor:
    """L_G = mean log(1 + exp(-D(fake))), 0-d. The gradient reaches the images (B, 3, S, S), not the discriminator."""
    discriminator.requires_grad_(False)
    loss = F.softplus(-discriminator(fake)).mean()
    discriminator.requires_grad_(True)
    return loss


def discriminator_losses(discriminator: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Of images (B, 3, S, S): L_D = E log(1 + exp(-D(real))) + E log(1 + exp(D(fake))), and R1, both 0-d.

    R1 is the squared norm of the gradient of D(real) to the real image, its mean over images. None reaches the images.
    """
    real = real.detach().requires_grad_()
    logits = discriminator(real)
    # DECISION: of an image's many logits the mean, so that the penalty does not grow with their number; MaskGIT's
    # discriminator has one.
    (gradient,) = torch.autograd.grad(logits.flatten(1).mean(dim=1).sum(), real, create_graph=True)
    loss = F.softplus(-logits).mean() + F.softplus(discriminator(fake.detach())).mean()
    return loss, gradient.square().flatten(1).sum(dim=1).mean()
