"""Rotary position tables and the one function that applies them.

A table holds, for each position, [cos | sin] of the d angles of a head's d channels: (N, 2d), or (B, N, 2d) where
every sample has its own positions. Shapes: B batch, H heads, N tokens, d head dim, G side of the token grid.
"""

import math

import torch
from torch import Tensor, nn

MAX_FREQUENCY, MIN_FREQUENCY = 7.0, 7e-4  # turns per image side (l-DeTok, official code)
MAX_PERIOD = 10_000.0  # RoFormer, Sec. 3.2.2


def apply_rope(x: Tensor, table: Tensor) -> Tensor:
    """Turn adjacent channel pairs: x cos + R(x) sin, with R(x0, x1, x2, x3, ...) = (-x1, x0, -x3, x2, ...).

    x (B, H, N, d), table (N, 2d) or (B, N, 2d) -> (B, H, N, d) in the dtype of x. A rotation only if the table gives
    both channels of a pair the same angle (RoFormer, arXiv 2104.09864, Eq. 34).
    """
    cos, sin = (table.unsqueeze(1) if table.ndim == 3 else table).chunk(2, dim=-1)
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((-odd, even), dim=-1).flatten(-2)
    return torch.addcmul(x * cos, turned, sin).to(x.dtype)


def detok_rope_table(head_dim: int, grid: int) -> Tensor:
    """Table of l-DeTok's tokenizer (Sec. 4 names RoPE; the rest is the official code): (G*G, 2d), row-major.

    The first half of the head's channels carries the row, the second half the column, both as coordinates in [0, 1].
    Each half is [f, f]: the d/4 geometric frequencies twice, one after the other. Raises ValueError if head_dim is not
    a multiple of 4.
    """
    # DECISION: l-DeTok does not print the layout of its RoPE; the official one is kept, though not a rotation: f is
    # concatenated to itself while apply_rope pairs adjacent channels, so a pair turns at two frequencies. Official
    # weights need it.
    _check(head_dim)
    turns = MAX_FREQUENCY * (MAX_FREQUENCY / MIN_FREQUENCY) ** torch.linspace(0, -1, head_dim // 4)
    return _grid_table(torch.outer(torch.linspace(0, 1, grid), turns.repeat(2) * 2 * math.pi))


def axial_rope_table(head_dim: int, grid: int) -> Tensor:
    """Table of LightningDiT (arXiv 2501.01423, official code, after EVA-02, arXiv 2303.11331): (G*G, 2d), row-major.

    The first half of the head's channels carries the row 0..G-1, the second half the column. Adjacent channels share
    one of the d/4 frequencies 10000^(-4i/d): a rotation. Raises ValueError if head_dim is not a multiple of 4.
    """
    _check(head_dim)
    frequencies = 1 / MAX_PERIOD ** (torch.arange(0, head_dim // 2, 2) / (head_dim // 2))
    return _grid_table(torch.outer(torch.arange(grid).float(), frequencies.repeat_interleave(2)))


class AxialRope(nn.Module):
    """The table of `axial_rope_table` as buffers, which LightningDiT's checkpoints hold."""

    def __init__(self, head_dim: int, grid: int):
        super().__init__()
        cos, sin = axial_rope_table(head_dim, grid).chunk(2, dim=-1)
        self.register_buffer("freqs_cos", cos.contiguous())
        self.register_buffer("freqs_sin", sin.contiguous())

    def table(self) -> Tensor:
        """(G*G, 2d), for `apply_rope`."""
        return torch.cat([self.freqs_cos, self.freqs_sin], dim=-1)


def _check(head_dim: int) -> None:
    if head_dim % 4:
        raise ValueError(f"head dim {head_dim} is not a multiple of 4 (two axes, each with pairs of channels)")


def _grid_table(angles: Tensor) -> Tensor:
    """Angles along one side (G, d/2) -> table (G*G, 2d): those of the row, then those of the column."""
    grid = len(angles)
    rows = angles[:, None, :].expand(grid, grid, -1)
    columns = angles[None, :, :].expand(grid, grid, -1)
    angles = torch.cat([rows, columns], dim=-1).flatten(0, 1)  # (G*G, d)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
