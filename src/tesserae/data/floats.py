"""Images of a cache as the networks get them. Apart from transforms.py, so that making data sets needs no torch."""

import numpy as np
import torch
from torch import Tensor

from tesserae.data.transforms import to_float


def float_images(images: np.ndarray, device: torch.device) -> Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) in [-1, 1] on a device."""
    return to_float(torch.from_numpy(np.array(images)).to(device))  # a copy: memory maps are read-only
