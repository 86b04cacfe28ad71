"""The generator's loss of the first GANs (arXiv 1406.2661, Sec. 3), which Hita has in the place of a hinge."""

from torch import Tensor, nn
from torch.nn import functional as F


def softplus_loss(discriminator: nn.Module, fake: Tensor) -> Tensor:
    """Mean log(1 + exp(-D(fake))), 0-d. No gradient reaches the discriminator's parameters."""
    discriminator.requires_grad_(False)
    loss = F.softplus(-discriminator(fake)).mean()
    discriminator.requires_grad_(True)
    return loss
