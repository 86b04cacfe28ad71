"""How close a reconstruction is to its original, pixel by pixel.

Shapes: N images, H x W their size. Both layouts will do, (N, 3, H, W) and (N, H, W, 3), since every value counts alike.
"""

import numpy as np
import torch
from torch import Tensor

Images = Tensor | np.ndarray

CHUNK = 256  # images at a time: 256 of 256 x 256 pixels take 400 MB in double precision
OVERSHOOT = 1e-3  # how far an original may leave [-1, 1]: rounding, not another range


def psnr(original: Images, reconstruction: Images) -> Tensor:
    """Peak signal-to-noise ratio of each image, in dB: -10 log10 of its mean squared error in [0, 1] -> float64 (N,).

    Higher is better; infinite for equal images. A set's PSNR is the mean over its images, which is left to the caller,
    since sets come in batches.

    Each argument is uint8, read as value / 255, or float in [-1, 1], read as (value + 1) / 2; tensors or arrays,
    memory-mapped or not. Reconstructions are clamped to [0, 1], which is what a stored picture would show; they are not
    rounded. The originals' range is checked.

    Raises ValueError if shapes differ or are not images, if originals leave [-1, 1] or anything is not finite, and
    TypeError for other dtypes.
    """
    if tuple(original.shape) != tuple(reconstruction.shape):
        raise ValueError(f"originals {tuple(original.shape)} and reconstructions {tuple(reconstruction.shape)} differ")
    if original.ndim != 4 or 3 not in (original.shape[1], original.shape[3]) or 0 in original.shape:
        raise ValueError(f"images must be (N, 3, H, W) or (N, H, W, 3) with N > 0, not {tuple(original.shape)}")
    ratios = []
    for start in range(0, len(original), CHUNK):
        x = _unit_range(original[start : start + CHUNK], "originals")
        y = _unit_range(reconstruction[start : start + CHUNK], "reconstructions")
        if x.min() < -OVERSHOOT or x.max() > 1 + OVERSHOOT:
            low, high = 2 * x.min() - 1, 2 * x.max() - 1
            raise ValueError(f"float originals must lie in [-1, 1], not in [{low:.3g}, {high:.3g}]")
        ratios.append(-10 * (x - y.clamp(0, 1)).square().mean(dim=(1, 2, 3)).log10())
    return torch.cat(ratios)


def _unit_range(images: Images, name: str) -> Tensor:
    """uint8, or float in [-1, 1] -> float64 where black is 0 and white is 1; not clamped."""
    tensor = torch.from_numpy(np.array(images)) if isinstance(images, np.ndarray) else images.detach()
    if tensor.dtype == torch.uint8:
        return tensor.double() / 255
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be uint8, or float in [-1, 1], not {tensor.dtype}")
    if not tensor.isfinite().all():
        raise ValueError(f"the {name} contain values that are not finite")
    return (tensor.double() + 1) / 2
