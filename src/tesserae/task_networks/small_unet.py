"""Convolutions at three resolutions that say the class of each pixel: what stands in for a U-Net at small scales.

Shapes: B images of side S, K classes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 x 3, batch normalisation, ReLU."""
    layer = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class SmallUNet(nn.Module):
    """`widths`: channels at full, half and quarter resolution."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        first, second, third = widths
        self.full = convolution(3, first)
        self.middle = nn.Sequential(convolution(first, second, 2), convolution(second, second))
        self.quarter = nn.Sequential(convolution(second, third, 2), *(convolution(third, third) for _ in range(2)))
        self.up_middle = convolution(second + third, second)
        self.up_full = convolution(first + second, first)
        self.head = nn.Conv2d(first, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1], S a multiple of 4 -> logits (B, K, S, S)."""
        full = self.full(images)
        middle = self.middle(full)
        quarter = self.quarter(middle)
        middle = self.up_middle(torch.cat([middle, F.interpolate(quarter, scale_factor=2.0)], dim=1))
        return self.head(self.up_full(torch.cat([full, F.interpolate(middle, scale_factor=2.0)], dim=1)))


def build(model: dict[str, Any]) -> SmallUNet:
    return SmallUNet(**model)
