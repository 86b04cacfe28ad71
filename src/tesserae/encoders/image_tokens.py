"""Frozen features of an image as a sequence, the whole image first: what the encoder of Hita (arXiv 2507.02358) reads.

`dinov2_registers` is the paper's network; `lite2` stands in for it at the small scales (see embedded.py).

Shapes: B images, S their side, P places, F channels of the features.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from tesserae.encoders import dinov2_registers
from tesserae.encoders.embedded import NETWORKS, EmbeddedNetwork

STAGE = 4  # of lite2, the last one of stride 16
CHANNELS = {"dinov2_registers": dinov2_registers.WIDTH, "lite2": NETWORKS["lite2"].channels[STAGE]}


@torch.no_grad()
def image_tokens(network: str, images: Tensor) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] -> (B, 1 + P, F) of one of CHANNELS, F its number; without gradient.

    Networks are read once per process and device, at the first call. Raises FileNotFoundError for missing weights.
    """
    side = side_of(network, images.shape[-1])
    if network == "dinov2_registers":
        return dinov2_registers.tokens(resized(images.float(), side))
    maps = _lite2(side, images.device).stages(images, STAGE + 1)[-1]
    places = maps.flatten(2).transpose(1, 2)
    return torch.cat([places.mean(dim=1, keepdim=True), places], dim=1)  # it has no class token


def side_of(network: str, side: int) -> int:
    """The side at which one of CHANNELS sees images of a side: of 32 pixels `lite2` makes 4 x 4 places."""
    return dinov2_registers.SIDE if network == "dinov2_registers" else max(32, 2 * side)


def resized(images: Tensor, side: int) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] -> (B, 3, side, side), as Hita's code resizes them (kornia's antialiasing).

    What is made smaller is blurred first, by a Gaussian of deviation (S / side - 1) / 2; corners stay corners.
    """
    shrinks = images.shape[-1] / side
    if shrinks > 1:
        images = _blurred(images, max((shrinks - 1) / 2, 0.001))
    if shrinks != 1:
        images = F.interpolate(images, (side, side), mode="bicubic", align_corners=True)
    return images.clamp(-1, 1)


def _blurred(images: Tensor, deviation: float) -> Tensor:
    """Over four deviations at least, by an odd number of pixels; images are mirrored at their edges."""
    reach = max(int(4 * deviation), 3) // 2
    x = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-x.square() / (2 * deviation**2))
    weights = (weights / weights.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (reach, reach, reach, reach), mode="reflect")
    across = F.conv2d(padded, weights, groups=images.shape[1])
    return F.conv2d(across, weights.transpose(2, 3), groups=images.shape[1])


@functools.cache
def _lite2(side: int, device: torch.device) -> EmbeddedNetwork:
    return EmbeddedNetwork(side, name="lite2").to(device)
