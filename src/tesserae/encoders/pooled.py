"""Features of whole images, by which images are similar (CompTok, arXiv 2602.03339, Sec. 3.2.1).

`clip_vitb32` is the paper's network: the image half of CLIP ViT-B/32 (arXiv 2103.00020) with OpenAI's weights, through
timm; the published file is read from the folder $TESSERAE_WEIGHTS. `embedded` stands in for it at the small scales.

Shapes: B images, S their side, F channels of the features.
"""

import functools
import os

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.encoders.embedded import NETWORKS, EmbeddedNetwork
from tesserae.encoders.published import FOLDER_VARIABLE, read_by_timm, weights_file

CLIP, CLIP_SIDE, CLIP_WIDTH = "vit_base_patch32_clip_quickgelu_224", 224, 512
CLIP_FILE = "vit_base_patch32_clip_224.openai/open_clip_model.safetensors"  # hub timm/vit_base_patch32_clip_224.openai
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CHANNELS = {"clip_vitb32": CLIP_WIDTH, "embedded": NETWORKS["embedded"].channels[-1]}
EMBEDDED_SIDE = 96  # as where it measures


@torch.no_grad()
def pooled_features(network: str, images: Tensor) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] -> features float32 (B, F) of one of CHANNELS, not normalised; without gradient.

    Networks are read once per process and device, at the first call. FileNotFoundError for missing weights, ValueError
    for a network that is none of them.
    """
    if network not in CHANNELS:
        raise ValueError(f"unknown network {network!r}, and not one of {', '.join(CHANNELS)}")
    if network == "clip_vitb32":
        return _clip(images).float()
    return _read_embedded(images.device).spatial(images).mean(dim=(2, 3)).float()


def _clip(images: Tensor) -> Tensor:
    """What of an image is compared with a text: the class token, projected."""
    seen = images * 0.5 + 0.5
    if images.shape[-2:] != (CLIP_SIDE, CLIP_SIDE):
        seen = F.interpolate(seen, (CLIP_SIDE, CLIP_SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return _read_clip(os.environ.get(FOLDER_VARIABLE), images.device)((seen - mean) / std)


def make_clip(**settings) -> nn.Module:
    """CLIP's image half by timm, its projection as the head; `settings` go to timm.create_model."""
    return timm.create_model(CLIP, num_classes=CLIP_WIDTH, **settings)


@functools.cache
def _read_clip(folder: str | None, device: torch.device) -> nn.Module:
    remedy = "get it from the hub's timm/vit_base_patch32_clip_224.openai, or set `encoder: embedded` in the scale"
    path = weights_file(folder, CLIP_FILE, "similar images are found by CLIP's weights", remedy)
    network = make_clip(**read_by_timm(path))
    return network.requires_grad_(False).eval().to(device)


@functools.cache
def _read_embedded(device: torch.device) -> EmbeddedNetwork:
    return EmbeddedNetwork(EMBEDDED_SIDE).to(device)
