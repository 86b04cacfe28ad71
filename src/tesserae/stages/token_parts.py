"""Token caches as stages read them: the parts of a scattered stage, seen as one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Tokens(NamedTuple):
    """All parts of a token cache, memory-mapped."""

    moments: list[np.ndarray]  # per part (M_k, 2, N, 2C) float32: as is, mirrored; mean, log-variance
    starts: np.ndarray  # int64 (parts,): index of each part's first image
    labels: np.ndarray  # int64 (M,)

    def at(self, chosen: np.ndarray, mirrored: np.ndarray) -> Tensor:
        """Moments float32 (B, N, 2C) of images `chosen` (B,), mirrored where `mirrored` (B,) is 1."""
        part = np.searchsorted(self.starts, chosen, side="right") - 1
        rows = [self.moments[p][i, m] for p, i, m in zip(part, chosen - self.starts[part], mirrored, strict=True)]
        return torch.from_numpy(np.stack(rows))


def open_tokens(folders: list[Path]) -> Tokens:
    """The parts in `folders`, in the order of the images; ValueError if moments and labels of one do not match."""
    moments = [np.load(folder / "moments.npy", mmap_mode="r") for folder in folders]
    labels = [np.load(folder / "labels.npy") for folder in folders]
    for folder, some, named in zip(folders, moments, labels, strict=True):
        if len(some) != len(named):
            raise ValueError(f"{folder}: {len(some)} moments, {len(named)} labels; make the tokens again")
    starts = np.cumsum([0, *map(len, moments)])[:-1]
    return Tokens(moments, starts, np.concatenate(labels))


class Sums(NamedTuple):
    """Of the posterior means of the images as they are, by channel: what their mean and deviation need."""

    count: int
    total: np.ndarray  # float64 (C,)
    squares: np.ndarray  # float64 (C,)

    @property
    def mean(self) -> np.ndarray:
        return self.total / self.count

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self.squares / self.count - np.square(self.mean))


def read_sums(folders: list[Path]) -> Sums:
    """The sums over all parts: generators learn tokens standardised by them (l-DeTok, official code)."""
    parts = [np.load(folder / "sums.npz") for folder in folders]
    return Sums(*(sum(part[name] for part in parts) for name in Sums._fields))


def standardisation(folders: list[Path]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the tokens, float32 (C,) each: published constants, or over all parts."""
    first = np.load(folders[0] / "sums.npz")
    sums = read_sums(folders)
    mean, std = (first["mean"], first["std"]) if "mean" in first else (sums.mean, sums.std)
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()
