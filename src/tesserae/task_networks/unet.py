"""U-Net (arXiv 1505.04597) with a ResNet of timm as its encoder: the class of each pixel (CompTok, Table 2; D2, D3).

Shapes: B images of side S, K classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.official import load_strictly
from tesserae.nn.official import read_official as read_tensors

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's: what the encoder was trained with


class Level(nn.Module):
    """Features at twice the side, with those that the encoder had there."""

    def __init__(self, inputs: int, beside: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (inputs + beside, outputs):
            layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor, beside: Tensor | None) -> Tensor:
        grown = F.interpolate(features, scale_factor=2.0)
        return self.layers(grown if beside is None else torch.cat([grown, beside], dim=1))


class UNet(nn.Module):
    """`widths`: channels of the decoder's levels, the smallest first; the last one is at full resolution."""

    def __init__(self, encoder: str, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.encoder = timm.create_model(encoder, features_only=True)
        channels = [*reversed(self.encoder.feature_info.channels())]  # the smallest first
        if len(widths) != len(channels):
            raise ValueError(f"{encoder} halves images {len(channels)} times, and there are {len(widths)} widths")
        beside = [*channels[1:], 0]
        inputs = [channels[0], *widths[:-1]]
        self.levels = nn.ModuleList(Level(*each) for each in zip(inputs, beside, widths, strict=True))
        self.head = nn.Conv2d(widths[-1], classes, 3, padding=1)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1], S a multiple of 32 -> logits (B, K, S, S)."""
        found = self.encoder((images * 0.5 + 0.5 - self.mean) / self.std)
        features, passed = found[-1], [*reversed(found[:-1]), None]
        for level, beside in zip(self.levels, passed, strict=True):
            features = level(features, beside)
        return self.head(features)


def build(model: dict[str, Any]) -> UNet:
    return UNet(**model)


def read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of a published file of the encoder; ValueError if they cannot be read."""
    return read_tensors(path)


def load_official(model: UNet, state: Mapping[str, Tensor]) -> None:
    """Copy an encoder's published weights, without its classifier; ValueError that lists what does not fit."""
    load_strictly(model.encoder, state, dropped=("fc.",))
