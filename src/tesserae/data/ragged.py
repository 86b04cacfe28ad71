"""Rows of different lengths on disk: one memory-mapped array of all values, and where each row begins.

<name>_indices.npy int32 (total,), <name>_offsets.npy int64 (rows + 1,). Imports no torch.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np


class Ragged(NamedTuple):
    """Row i is values[offsets[i] : offsets[i + 1]]."""

    offsets: np.ndarray  # int64 (rows + 1,)
    values: np.ndarray  # int32 (total,), memory-mapped

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self, ids: np.ndarray, width: int, fill: int = -1) -> np.ndarray:
        """Rows `ids` (B,), filled up on the right: int64 (B, width). ValueError if one is longer than `width`."""
        starts = self.offsets[ids]
        lengths = self.offsets[np.asarray(ids) + 1] - starts
        if lengths.max(initial=0) > width:
            raise ValueError(f"a row of {lengths.max()} values does not fit into {width}")
        columns = np.arange(width)
        there = columns < lengths[:, None]
        filled = np.full(there.shape, fill, np.int64)
        filled[there] = self.values[(starts[:, None] + columns)[there]]
        return filled


def write_ragged(folder: Path, name: str, padded: np.ndarray, fill: int = -1) -> None:
    """Write rows (R, W) without the `fill` at their ends."""
    there = padded != fill
    np.save(folder / f"{name}_indices.npy", padded[there].astype(np.int32, copy=False))
    np.save(folder / f"{name}_offsets.npy", np.cumsum([0, *there.sum(1)], dtype=np.int64))


def open_ragged(folder: Path, name: str) -> Ragged:
    """What `write_ragged` wrote; ValueError if the two files do not belong together."""
    values = np.load(folder / f"{name}_indices.npy", mmap_mode="r")
    offsets = np.load(folder / f"{name}_offsets.npy")
    if offsets[-1] != len(values):
        raise ValueError(f"{folder}: {name}_offsets.npy ends at {offsets[-1]}, {name}_indices.npy at {len(values)}")
    return Ragged(offsets, values)
