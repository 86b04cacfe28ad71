"""Frozen features of image patches, in which a sparse autoencoder finds concepts (ConceptTok, Sec. 3.2, App. B.1).

`siglip` is the paper's network (SigLIP-B/16 at 256 pixels, arXiv 2303.15343, through timm); its published file is read
from the folder $TESSERAE_WEIGHTS. `lite2` stands in for it at the small scales (see embedded.py); `embedded`, which
measures, could.

Shapes: B images, S their side, P patches, row by row, F channels of the features.
"""

import functools
import os

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.encoders.embedded import NETWORKS, STRIDES, EmbeddedNetwork
from tesserae.encoders.foundation import EMBEDDED_STAGE
from tesserae.encoders.published import FOLDER_VARIABLE, read_by_timm, weights_file

SIGLIP, SIGLIP_SIDE = "vit_base_patch16_siglip_256", 256
SIGLIP_FILE = "siglip_base_patch16_256.safetensors"  # timm's conversion of google/siglip-base-patch16-256
SIGLIP_SOURCE = "timm/vit_base_patch16_siglip_256.webli"

CHANNELS = {"siglip": 768, **{name: network.channels[EMBEDDED_STAGE] for name, network in NETWORKS.items()}}
FEATURES = ("block_out", "last_hidden_state", "pooled")


@torch.no_grad()
def patch_features(network: str, images: Tensor, feature: str = "block_out", side: int | None = None) -> Tensor:
    """Images (B, 3, S, S) in [-1, 1] -> features (B, P, F) of one of CHANNELS, F its number; without gradient.

    Images are resized to `side`; None is the side that siglip needs, and that of the images for the others. `feature`:
    "block_out" is the last block's output, before the final norm; "last_hidden_state" is after it; "pooled" (P = 1) is
    the attention pool's vector. The others have block_out alone. Networks are read once per process and device, at the
    first call. Raises FileNotFoundError for missing weights, ValueError for what a network does not have.
    """
    # DECISION (D11): all patches of the last block's output before the final norm, as PatchSAE hooks the residual
    # stream; the paper says "final layer".
    if feature not in FEATURES:
        raise ValueError(f"feature must be one of {', '.join(FEATURES)}, not {feature!r}")
    return _siglip(images, feature, side) if network == "siglip" else _embedded(network, images, feature, side)


def _siglip(images: Tensor, feature: str, side: int | None) -> Tensor:
    """16 x 16 patches without a class token. Its mean and deviation of 0.5 are those of images in [-1, 1]."""
    if side not in (None, SIGLIP_SIDE):
        raise ValueError(f"siglip sees images of side {SIGLIP_SIDE}, not {side}")
    if images.shape[-2:] != (SIGLIP_SIDE, SIGLIP_SIDE):
        images = F.interpolate(images, (SIGLIP_SIDE, SIGLIP_SIDE), mode="bicubic", antialias=True).clamp(-1, 1)
    network = _read_siglip(os.environ.get(FOLDER_VARIABLE), images.device)
    if feature == "block_out":
        last = {"indices": 1, "norm": False, "output_fmt": "NLC", "intermediates_only": True}
        (tokens,) = network.forward_intermediates(images, **last)
        return tokens
    tokens = network.forward_features(images)
    return tokens if feature == "last_hidden_state" else network.forward_head(tokens).unsqueeze(1)


def make_siglip(**settings) -> nn.Module:
    """SigLIP's vision tower by timm, with its attention pool; `settings` go to timm.create_model."""
    # timm builds it with the exact GELU; SigLIP was trained with the tanh one.
    return timm.create_model(SIGLIP, act_layer="gelu_tanh", **settings)


@functools.cache
def _read_siglip(folder: str | None, device: torch.device) -> nn.Module:
    remedy = f"get model.safetensors of {SIGLIP_SOURCE}, or set `encoder: lite2` in the scale"
    path = weights_file(folder, SIGLIP_FILE, "concepts need SigLIP's weights", remedy)
    network = make_siglip(**read_by_timm(path))
    return network.requires_grad_(False).eval().to(device)


def _embedded(network: str, images: Tensor, feature: str, side: int | None) -> Tensor:
    """The last stage of stride 16: (side / 16)^2 patches."""
    side, stride = side or images.shape[-1], STRIDES[EMBEDDED_STAGE]
    if feature != "block_out" or side % stride:
        raise ValueError(f"{network} has block_out at sides that {stride} divides, not {feature} at {side}")
    maps = _read_embedded(network, side, images.device).stages(images, EMBEDDED_STAGE + 1)[-1]
    return maps.flatten(2).transpose(1, 2)


@functools.cache
def _read_embedded(network: str, side: int, device: torch.device) -> EmbeddedNetwork:
    return EmbeddedNetwork(side, name=network).to(device)
