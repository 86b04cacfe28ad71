"""Targets that an auxiliary decoder predicts for every patch (MAETok, arXiv 2502.03444): HOG, and features of frozen
networks.

Shapes: B images (B, 3, S, S) in [-1, 1], G x G patches of side P = S / G, N = G * G, C channels of a target.
"""

import functools
import math
import os

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.encoders.foundation import CHANNELS as FOUNDATION
from tesserae.encoders.foundation import DINOV2_FILE, spatial_features
from tesserae.encoders.published import FOLDER_VARIABLE, read_by_timm, weights_file

HOG_BINS, HOG_CELLS = 9, 2  # orientations over half a turn; cells along a patch's side
# name in timm, and its file below TESSERAE_WEIGHTS
# DECISION: the paper says CLIP; the official code takes this SigLIP, and ImageNet's normalisation for both networks.
TRANSFORMERS = {
    "dinov2": ("vit_large_patch14_dinov2", DINOV2_FILE),
    "clip": ("vit_so400m_patch14_siglip_gap_224", "vit_so400m_patch14_siglip_224.safetensors"),
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHANNELS = {"hog": 3 * HOG_BINS * HOG_CELLS**2, **FOUNDATION, "clip": 1152}


# ---- histograms of oriented gradients ---------------------------------------------------------------------------


@torch.no_grad()
def hog(images: Tensor, grid: int) -> Tensor:
    """Histograms of oriented gradients of each patch (as MaskFeat, arXiv 2112.09133, Sec. 3.2) -> float32 (B, N, 108).

    Sobel gradients per colour, weighted by a Gaussian over each patch, in 9 unsigned orientations and 2 x 2 cells per
    patch; the 9 values of a cell have unit length. Raises ValueError for patches of odd side.
    """
    # DECISION: the official code has cells of 8 and a window of 16 pixels, for its patches of 16; smaller patches have
    # smaller ones in proportion.
    patch = images.shape[-1] // grid
    if patch % HOG_CELLS:
        raise ValueError(f"HOG needs patches whose side is divisible by {HOG_CELLS}, not {patch}")
    sobel = images.new_tensor([[1, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=torch.float32)
    kernels = torch.stack([sobel, sobel.T]).unsqueeze(1).repeat(3, 1, 1, 1)
    gradients = F.conv2d(F.pad(images.float(), (1, 1, 1, 1), mode="reflect"), kernels, groups=3)
    across, down = gradients.unflatten(1, (3, 2)).unbind(2)  # (B, 3, S, S)
    bins = (torch.atan2(across, down) / math.pi * HOG_BINS).floor().long() % HOG_BINS
    bell = torch.exp(-0.5 * ((torch.arange(patch, device=images.device) - (patch - 1) / 2) / (patch // 2)) ** 2)
    bell = bell / bell.sum()
    strength = torch.hypot(across, down) * torch.outer(bell, bell).repeat(grid, grid)
    votes = strength.new_zeros(*strength.shape[:2], HOG_BINS, *strength.shape[2:])
    votes.scatter_(2, bins.unsqueeze(2), strength.unsqueeze(2))
    cell = patch // HOG_CELLS
    cells = F.normalize(cell**2 * F.avg_pool2d(votes.flatten(1, 2), cell).unflatten(1, (3, HOG_BINS)), dim=2)
    cells = cells.flatten(1, 2).unflatten(3, (grid, HOG_CELLS)).unflatten(2, (grid, HOG_CELLS))  # (B, 27, G, 2, G, 2)
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


# ---- features of frozen networks --------------------------------------------------------------------------------


@functools.cache
def read_transformer(name: str, image_size: int, patch_size: int, device: torch.device) -> nn.Module:
    """The frozen network of a target in TRANSFORMERS, its embeddings resampled (by timm) to our image and patch sides.

    Read once per process. Raises FileNotFoundError, with the remedy, if its file is not there.
    """
    model, file = TRANSFORMERS[name]
    remedy = "put them there, or leave the target out of auxiliary_targets in the recipe or the scale"
    needs = f"the target {name!r} needs the weights of timm's {model}"
    path = weights_file(os.environ.get(FOLDER_VARIABLE), file, needs, remedy)
    network = timm.create_model(model, **read_by_timm(path), img_size=image_size, patch_size=patch_size)
    return network.requires_grad_(False).eval().to(device)


@torch.no_grad()
def features(name: str, images: Tensor, grid: int) -> Tensor:
    """Features of a frozen network (one of CHANNELS, but `hog`), one per patch -> float32 (B, N, C)."""
    if name not in TRANSFORMERS:
        return spatial_features(name, images.float(), grid).flatten(2).transpose(1, 2)
    side = images.shape[-1]
    mean, std = (images.new_tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (MEAN, STD))
    network = read_transformer(name, side, side // grid, images.device)
    return network.forward_features((images.float() * 0.5 + 0.5 - mean) / std)[:, network.num_prefix_tokens :]


def auxiliary_loss(name: str, prediction: Tensor, images: Tensor, counted: Tensor) -> Tensor:
    """Distance of predictions (B, N, C) from target `name`, its mean over the positions `counted`, bool (B, N) -> 0-d.

    Mean squared error for HOG, 1 - cosine for features (the official code has -cosine: the same gradient).
    """
    grid = math.isqrt(prediction.shape[1])
    if name == "hog":
        distances = (prediction.float() - hog(images, grid)).square().mean(dim=2)
    else:
        distances = 1 - F.cosine_similarity(prediction.float(), features(name, images, grid), dim=2)
    return distances[counted].mean()
