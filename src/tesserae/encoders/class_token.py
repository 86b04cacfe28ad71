"""What a frozen network says of a whole image in one vector: DINOv2 with registers (ViT-L/14, arXiv 2309.16588).

Its published file is read from the folder $TESSERAE_WEIGHTS. Shapes: B images, S their side.
"""

import functools
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FOLDER_VARIABLE = "TESSERAE_WEIGHTS"
NETWORK, WIDTH, SIDE = "vit_large_patch14_reg4_dinov2", 1024, 224
FILE = "dinov2_vitl14_reg4_pretrain.pth"  # facebookresearch/dinov2; or timm's own conversion under this name
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the network was trained


@torch.no_grad()
def class_token(images: Tensor) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] -> float32 (B, WIDTH), the class token of images of SIDE; without gradient.

    The network is read once per process and device, at the first call. FileNotFoundError if its file is not there.
    """
    x = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
    mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return _read(os.environ.get(FOLDER_VARIABLE), x.device).forward_features((x * 0.5 + 0.5 - mean) / std)[:, 0]


@functools.cache
def _read(folder: str | None, device: torch.device) -> nn.Module:
    path = None if folder is None else Path(folder, FILE)
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"the global target `vfm` needs DINOv2's weights, expected at {path or f'${FOLDER_VARIABLE}/{FILE}'}; "
            "get them from facebookresearch/dinov2, or set `global_target: thumbnail` in the recipe or the scale"
        )
    import timm  # takes seconds, and most trainings do without

    # DECISION: no checksum of this file is published; timm checks every name and shape.
    network = timm.create_model(NETWORK, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, img_size=SIDE)
    return network.requires_grad_(False).eval().to(device)
