"""DINOv2 with registers (ViT-L/14, arXiv 2309.16588), frozen: what it says of an image as a whole and place by place.

Its published file is read from the folder $TESSERAE_WEIGHTS. Shapes: B images, S their side, P = 256 places.
"""

import functools
import os

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.encoders.published import FOLDER_VARIABLE, read_by_timm, weights_file

NETWORK, WIDTH, SIDE = "vit_large_patch14_reg4_dinov2", 1024, 224
FILE = "dinov2_vitl14_reg4_pretrain.pth"  # facebookresearch/dinov2; or timm's own conversion under this name
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the network was trained


@torch.no_grad()
def tokens(images: Tensor) -> Tensor:
    """Images float (B, 3, SIDE, SIDE) in [-1, 1] -> (B, 1 + P, WIDTH), the class token first; without gradient.

    The network is read once per process and device, at the first call. FileNotFoundError if its file is not there.
    """
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    network = _read(os.environ.get(FOLDER_VARIABLE), images.device)
    found = network.forward_features((images * 0.5 + 0.5 - mean) / std)
    return torch.cat([found[:, :1], found[:, network.num_prefix_tokens :]], dim=1)  # without the registers


def class_token(images: Tensor) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] -> float32 (B, WIDTH), the class token of images of SIDE; without gradient."""
    return tokens(F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True))[
        :, 0
    ]


@functools.cache
def _read(folder: str | None, device: torch.device) -> nn.Module:
    remedy = (
        "get them from facebookresearch/dinov2, or set in the recipe or the scale what does without them: of TaTok "
        "`global_target: thumbnail`, of Hita `foundation: lite2`"
    )
    path = weights_file(folder, FILE, "DINOv2's weights with registers are needed", remedy)
    import timm  # takes seconds, and most trainings do without

    network = timm.create_model(NETWORK, **read_by_timm(path), img_size=SIDE)
    return network.requires_grad_(False).eval().to(device)
