"""Frozen spatial features of images on the grid of a tokenizer's latents: what VA-VAE (arXiv 2501.01423) aligns with.

`dinov2` is the papers' network (ViT-L/14, arXiv 2304.07193, through timm); its published file is read from the folder
$TESSERAE_WEIGHTS. `lite2` stands in for it at the small scales (see embedded.py); `embedded`, which measures, could.

Shapes: B images, S their side, G the side of the grid, F channels of the features.
"""

import functools
import os

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.encoders.embedded import NETWORKS, EmbeddedNetwork
from tesserae.encoders.published import FOLDER_VARIABLE, read_by_timm, weights_file

DINOV2, DINOV2_PATCH = "vit_large_patch14_dinov2", 14
DINOV2_FILE = "dinov2_vitl14_pretrain.pth"  # facebookresearch/dinov2; or timm's own conversion under this name
EMBEDDED_STAGE = 4  # of the networks in packages: the last one of stride 16

CHANNELS = {"dinov2": 1024, **{name: network.channels[EMBEDDED_STAGE] for name, network in NETWORKS.items()}}


@torch.no_grad()
def spatial_features(network: str, images: Tensor, grid: int) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] -> features (B, F, G, G) of one of CHANNELS, F its number; without gradient.

    Networks are read once per process and device, at the first call. Raises FileNotFoundError for missing weights.
    """
    return _dinov2(images, grid) if network == "dinov2" else _embedded(network, images, grid)


def _dinov2(images: Tensor, grid: int) -> Tensor:
    """A patch for each latent: 16 x 16 latents see images of 224 x 224."""
    # DECISION: values stay in [-1, 1] and images are shrunk without antialiasing, as in VA-VAE's official code; DINOv2
    # itself was trained on images normalised by ImageNet's mean and deviation.
    side = DINOV2_PATCH * grid
    x = F.interpolate(images, (side, side), mode="bilinear", align_corners=False)
    network = _read_dinov2(os.environ.get(FOLDER_VARIABLE), images.device)
    tokens = network.forward_features(x)[:, network.num_prefix_tokens :]  # (B, G * G, F)
    return tokens.transpose(1, 2).unflatten(2, (grid, grid))


@functools.cache
def _read_dinov2(folder: str | None, device: torch.device) -> nn.Module:
    remedy = "get them from facebookresearch/dinov2, or set `foundation: lite2` in the scale"
    path = weights_file(folder, DINOV2_FILE, "the alignment loss needs DINOv2's weights", remedy)
    network = timm.create_model(DINOV2, **read_by_timm(path), dynamic_img_size=True)
    return network.requires_grad_(False).eval().to(device)


def _embedded(network: str, images: Tensor, grid: int) -> Tensor:
    """Maps of half the grid's side, resized to it: a full one would take four times as long and say little more."""
    maps = _read_embedded(network, max(32, 8 * grid), images.device).stages(images, EMBEDDED_STAGE + 1)[-1]
    return F.interpolate(maps, (grid, grid), mode="bilinear", align_corners=False)


@functools.cache
def _read_embedded(network: str, side: int, device: torch.device) -> EmbeddedNetwork:
    return EmbeddedNetwork(side, name=network).to(device)
