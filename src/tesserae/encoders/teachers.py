"""Frozen features from which representation alignment learns (REPA, arXiv 2410.06940, Sec. 3.2): of the image as a
whole, and of its patches.

`dinov2_vitb14` is the papers' network (ViT-B/14 without registers, arXiv 2304.07193, through timm); its published file
is read from the folder $TESSERAE_WEIGHTS. `lite2` stands in for it at the small scales (see embedded.py).

Shapes: B images, S their side, P patches, row by row, F channels of the features.
"""

import functools
import os

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.encoders import image_tokens
from tesserae.encoders.dinov2_registers import MEAN, STD
from tesserae.encoders.published import FOLDER_VARIABLE, read_by_timm, weights_file

DINOV2, DINOV2_SIDE = "vit_base_patch14_dinov2", 224  # 16 x 16 patches
DINOV2_FILE = "dinov2_vitb14_pretrain.pth"  # facebookresearch/dinov2; or timm's own conversion under this name
CHANNELS = {"dinov2_vitb14": 768, "lite2": image_tokens.CHANNELS["lite2"]}


@torch.no_grad()
def teacher_features(network: str, images: Tensor) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] -> (B, 1 + P, F) of one of CHANNELS, the whole image first; without gradient.

    Networks are read once per process and device, at the first call. FileNotFoundError for missing weights, ValueError
    for a network that is none of them.
    """
    if network not in CHANNELS:
        raise ValueError(f"unknown teacher {network!r}, and not one of {', '.join(CHANNELS)}")
    return _dinov2(images) if network == "dinov2_vitb14" else image_tokens.image_tokens(network, images)


def side_of(network: str, side: int) -> int:
    """The side at which one of CHANNELS sees images of a side."""
    return DINOV2_SIDE if network == "dinov2_vitb14" else image_tokens.side_of(network, side)


def _dinov2(images: Tensor) -> Tensor:
    """The class token and the patches after the last norm, of images of 224 pixels (REPA's official code)."""
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    normalised = (images * 0.5 + 0.5 - mean) / std
    seen = F.interpolate(normalised, (DINOV2_SIDE, DINOV2_SIDE), mode="bicubic", align_corners=False)
    return _read(os.environ.get(FOLDER_VARIABLE), images.device).forward_features(seen)


@functools.cache
def _read(folder: str | None, device: torch.device) -> nn.Module:
    remedy = "get them from facebookresearch/dinov2, or set `teacher: lite2` in the scale"
    path = weights_file(folder, DINOV2_FILE, "features to align with need DINOv2's weights", remedy)
    network = timm.create_model(DINOV2, **read_by_timm(path), img_size=DINOV2_SIDE)
    return network.requires_grad_(False).eval().to(device)
