"""PatchGAN with the hinge loss, as the tokenizer papers take it from VQGAN (arXiv 2012.09841, taming-transformers).

No adaptive weight, no LeCam term, no gradient penalty. Shapes: B batch, S image side.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class PatchDiscriminator(nn.Module):
    """Images (B, 3, S, S) -> logits (B, 1, s, s), one per overlapping patch (pix2pix, arXiv 1611.07004, Sec. 3.2.2).

    `layers` convolutions of stride 2, then two of stride 1; width doubles from `channels` up to 8 times it. Batch norm
    is not synchronised between processes and the initialisation is PyTorch's own (l-DeTok, official code).
    """

    def __init__(self, channels: int, layers: int):
        super().__init__()
        modules: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        width = channels
        for i in range(1, layers + 1):
            previous, width = width, channels * min(2**i, 8)
            stride = 2 if i < layers else 1
            modules += [nn.Conv2d(previous, width, 4, stride=stride, padding=1, bias=False)]
            modules += [nn.BatchNorm2d(width), nn.LeakyReLU(0.2, inplace=True)]
        modules += [nn.Conv2d(width, 1, 4, stride=1, padding=1)]
        self.main = nn.Sequential(*modules)

    def forward(self, images: Tensor) -> Tensor:
        return self.main(images)


def generator_loss(discriminator: nn.Module, fake: Tensor) -> Tensor:
    """L_G = -mean D(fake), 0-d. The gradient reaches the images and never the discriminator's parameters."""
    discriminator.requires_grad_(False)
    loss = -discriminator(fake).mean()
    discriminator.requires_grad_(True)
    return loss


def hinge_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """L_D = (E max(0, 1 - D(real)) + E max(0, 1 + D(fake))) / 2, 0-d (arXiv 1705.02894)."""
    return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean())


def discriminator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of real and generated images (B, 3, S, S), 0-d; each batch has its own batch-norm statistics.

    No gradient reaches the images.
    """
    return hinge_loss(discriminator(real.detach()), discriminator(fake.detach()))
