"""Times of a flow's training that fall more often on the middle, or on the ends, and never leave a part out: "mode
sampling with heavy tails" (arXiv 2403.03206, Sec. 3.1, Eq. 20).
"""

import math

import torch
from torch import Tensor

from tesserae.diffusion.flow import draw_uniform_times


def mode_times(uniform: Tensor, scale: float) -> Tensor:
    """Uniform numbers in [0, 1] -> times, t = 0 being noise: u + s (cos^2(pi u / 2) - 1 + u), s the `scale`.

    1 - t is the paper's time. Raises ValueError for scales at which the map is not monotonic.
    """
    if not -1 <= scale <= 2 / (math.pi - 2):
        raise ValueError(f"mode sampling needs a scale from -1 to {2 / (math.pi - 2):.3f}, not {scale}")
    return uniform + scale * ((math.pi / 2 * uniform).cos().square() - 1 + uniform)


def draw_mode_times(data: Tensor, rng: torch.Generator, scale: float) -> Tensor:
    """One time per sample, (B,), dtype and device of the data."""
    return mode_times(draw_uniform_times(data, rng), scale)
