"""The fixed positional tables: values from the formula, layout, and what they refuse."""

import math

import pytest
import torch

from tesserae.nn.positions import sincos_1d, sincos_2d


def test_the_line_is_sines_then_cosines_of_falling_frequencies():
    table = sincos_1d(6, torch.tensor([0.0, 5.0]))
    angles = [5 / 10_000 ** (i / 3) for i in range(3)]
    expected = [[0] * 3 + [1] * 3, [math.sin(a) for a in angles] + [math.cos(a) for a in angles]]
    torch.testing.assert_close(table, torch.tensor(expected, dtype=torch.float64))


def test_the_grid_is_row_major_with_columns_in_the_first_half():
    width, rows, columns = 16, 3, 5
    table = sincos_2d(width, rows, columns).view(rows, columns, width)
    across = sincos_1d(width // 2, torch.arange(columns)).float()
    down = sincos_1d(width // 2, torch.arange(rows)).float()
    for row in range(rows):
        for column in range(columns):
            assert torch.equal(table[row, column], torch.cat([across[column], down[row]]))


def test_every_position_is_told_apart():
    table = sincos_2d(64, 16, 16)
    distances = torch.cdist(table, table) + 10 * torch.eye(256)
    assert distances.min() > 0.1
    torch.testing.assert_close(table.pow(2).sum(1), torch.full((256,), 32.0))  # sin^2 + cos^2, D / 2 times


def test_refused_widths():
    with pytest.raises(ValueError, match="even"):
        sincos_1d(7, torch.arange(3))
    with pytest.raises(ValueError, match="divisible by 4"):
        sincos_2d(30, 4, 4)
