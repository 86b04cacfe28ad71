"""Numbers of tokens against what images show."""

import numpy as np
import pytest

from tesserae.metrics.lengths import jpeg_bytes, rank_correlation


def test_a_crowded_image_takes_more_bytes_than_a_flat_one():
    rng = np.random.default_rng(0)
    flat, crowded = np.full((32, 32, 3), 90, np.uint8), rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    sizes = jpeg_bytes(np.stack([flat, crowded, flat]))
    assert sizes[0] == sizes[2] < sizes[1] and sizes.dtype == np.int64


def test_ranks_are_compared_and_constant_numbers_have_none():
    lengths = np.array([3, 5, 5, 9])
    assert rank_correlation(lengths, np.array([1.0, 10.0, 10.0, 1000.0])) == pytest.approx(1)
    assert rank_correlation(lengths, -lengths) == pytest.approx(-1)
    assert rank_correlation(np.full(4, 64), lengths) is None
