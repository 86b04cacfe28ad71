"""Fixed sine-cosine positional tables, as in MAE (arXiv 2111.06377) and DiT (arXiv 2212.09748).

Shapes: N positions, D width.
"""

import math

import torch
from torch import Tensor

MAX_PERIOD = 10_000.0


def sincos_1d(width: int, positions: Tensor) -> Tensor:
    """Positions (N,) -> float64 (N, D): [sin(p w), cos(p w)], w_i = 10000^(-i/(D/2)), i = 0..D/2-1.

    Raises ValueError if the width is odd.
    """
    if width % 2:
        raise ValueError(f"a sine-cosine table needs an even width, not {width}")
    i = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    angles = positions.double()[:, None] * torch.exp(-math.log(MAX_PERIOD) * i / (width / 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def sincos_2d(width: int, rows: int, columns: int) -> Tensor:
    """Table of a grid in row-major order, float32 (rows * columns, D).

    The first half of the width encodes the column, the second half the row (the order of MAE's and DiT's code).
    Raises ValueError if the width is not divisible by 4.
    """
    if width % 4:
        raise ValueError(f"a two-dimensional sine-cosine table needs a width divisible by 4, not {width}")
    across = sincos_1d(width // 2, torch.arange(columns)).expand(rows, columns, width // 2)
    down = sincos_1d(width // 2, torch.arange(rows))[:, None].expand(rows, columns, width // 2)
    return torch.cat([across, down], dim=-1).reshape(rows * columns, width).float()


def placed(width: int, tokens: int) -> Tensor:
    """First positions of N learned ones, float32 (N, D): those of a square grid where N is a square, else of a line.

    For tokens that stand nowhere either will do: theirs have to differ, and learn the rest.
    """
    side = math.isqrt(tokens)
    return sincos_2d(width, side, side) if side * side == tokens else sincos_1d(width, torch.arange(tokens)).float()
