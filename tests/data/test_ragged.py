"""Rows of different lengths: written, read back, filled up."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae.data.ragged import Ragged, open_ragged, write_ragged

ROWS = [[3, 1], [], [7, 0, 2], [5]]


@pytest.fixture
def written(tmp_path):
    padded = np.array([row + [-1] * (3 - len(row)) for row in ROWS], np.int32)
    write_ragged(tmp_path, "val", padded)
    return tmp_path


def test_rows_come_back_filled_up(written):
    ragged = open_ragged(written, "val")
    assert len(ragged) == 4 and ragged.values.dtype == np.int32 and isinstance(ragged.values, np.memmap)
    assert ragged.offsets.tolist() == [0, 2, 2, 5, 6] and ragged.offsets.dtype == np.int64
    found = ragged.rows(np.array([2, 1, 0]), width=4)
    assert found.dtype == np.int64 and found.tolist() == [[7, 0, 2, -1], [-1] * 4, [3, 1, -1, -1]]
    assert ragged.rows(np.array([3]), width=2, fill=9).tolist() == [[5, 9]]
    assert ragged.rows(np.array([], np.int64), width=2).shape == (0, 2)


def test_too_long_rows_and_foreign_files_are_refused(written):
    with pytest.raises(ValueError, match="3 values does not fit into 2"):
        open_ragged(written, "val").rows(np.array([2]), width=2)
    np.save(written / "val_offsets.npy", np.array([0, 2]))
    with pytest.raises(ValueError, match="ends at 2"):
        open_ragged(written, "val")


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=8), st.integers(5, 7))
def test_any_rows_come_back(rows, width):
    ragged = Ragged(np.cumsum([0, *map(len, rows)]), np.array(list(chain(*rows)), np.int32))
    found = ragged.rows(np.arange(len(rows)), width)
    assert [row[row >= 0].tolist() for row in found] == rows and found.shape == (len(rows), width)
