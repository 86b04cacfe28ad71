"""PatchGAN with the hinge loss, as the tokenizer papers take it from VQGAN (arXiv 2012.09841, taming-transformers).

VQGAN's adaptive weight is a function of its own, which not every paper uses. No LeCam term, no gradient penalty.
Shapes: B batch, S image side.
"""

from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST_GAN_WEIGHT = 1e4  # VQGAN, official code


class DiscriminatorSize(TypedDict):
    channels: int
    layers: int


class PatchDiscriminator(nn.Module):
    """Images (B, 3, S, S) -> logits (B, 1, s, s), one per overlapping patch (pix2pix, arXiv 1611.07004, Sec. 3.2.2).

    `layers` convolutions of stride 2, then two of stride 1; width doubles from `channels` up to 8 times it. Batch norm
    is not synchronised between processes and the initialisation is PyTorch's own (l-DeTok, official code), unless
    `init_pix2pix` replaces it.
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


def init_pix2pix(discriminator: nn.Module) -> None:
    """Weights N(0, 0.02^2), batch norm's gains N(1, 0.02^2) and shifts 0, as pix2pix, VQGAN and latent diffusion do."""
    for module in discriminator.modules():
        if isinstance(module, nn.Conv2d):  # its bias stays PyTorch's
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


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


def adaptive_weight(fidelity: Tensor, loss: Tensor, weight: nn.Parameter, largest: float) -> Tensor:
    """|d fidelity / d weight| / (|d loss / d weight| + 1e-4), at most `largest`: what makes both losses pull equally.

    For 0-d losses whose graphs stay usable, and the weight of one layer (the last one of a decoder in VQGAN, Eq. 7;
    the last one of an encoder in VA-VAE); 0-d and without gradient.
    """
    # DECISION: 1e-4 and the bounds are the official code's; VQGAN's paper prints 1e-6 and names no bound. The norms are
    # those of one micro-batch, as they are of one process there.
    norms = [torch.autograd.grad(each, weight, retain_graph=True)[0].norm() for each in (fidelity, loss)]
    return (norms[0] / (norms[1] + 1e-4)).clamp(max=largest)


def balanced_generator_loss(
    discriminator: nn.Module, fake: Tensor, fidelity: Tensor, last: nn.Parameter | None
) -> Tensor:
    """`generator_loss` of images (B, 3, S, S), 0-d.

    With the weight of a decoder's last layer, times what makes it pull there as hard as `fidelity`, 0-d.
    """
    loss = generator_loss(discriminator, fake)
    return loss if last is None else adaptive_weight(fidelity, loss, last, LARGEST_GAN_WEIGHT) * loss


def adversarial_groups(model: nn.Module) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """Trainable parameters of a tokenizer by optimizer: "autoencoder", and "discriminator" if it has that part."""
    groups: dict[str, list[tuple[str, nn.Parameter]]] = {"autoencoder": []}
    if hasattr(model, "discriminator"):
        groups["discriminator"] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = "discriminator" if name.startswith("discriminator.") else "autoencoder"
            groups[group].append((name, parameter))
    return groups
