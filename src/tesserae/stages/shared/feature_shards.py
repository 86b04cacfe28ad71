"""Feature caches as stages read them: the parts of a scattered stage, seen as one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Features(NamedTuple):
    """All parts of a cache of features, memory-mapped: (P, F) of an image, or what else a stage keeps of each."""

    parts: list[np.ndarray]  # (M_k, ...) float16 each
    starts: np.ndarray  # int64 (parts + 1,): index of each part's first image; the number of images

    def __len__(self) -> int:
        return int(self.starts[-1])

    def at(self, chosen: np.ndarray) -> Tensor:
        """Features float16 (B, ...) of images `chosen` (B,)."""
        part = np.searchsorted(self.starts, chosen, side="right") - 1
        rows = [self.parts[p][i] for p, i in zip(part, chosen - self.starts[part], strict=True)]
        return torch.from_numpy(np.stack(rows))


def open_features(folders: list[Path]) -> Features:
    """The parts in `folders`, in the order of the images."""
    parts = [np.load(folder / "features.npy", mmap_mode="r") for folder in folders]
    return Features(parts, np.cumsum([0, *map(len, parts)]))
