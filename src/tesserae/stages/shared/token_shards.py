"""Token caches as stages read them: the parts of a scattered stage, seen as one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Tokens(NamedTuple):
    """All parts of a token cache, memory-mapped."""

    # per part, as is and mirrored: mean and log-variance (M_k, 2, N, 2C) float32, or codes (M_k, 2, N)
    values: list[np.ndarray]
    starts: np.ndarray  # int64 (parts,): index of each part's first image
    labels: np.ndarray  # int64 (M,)

    def at(self, chosen: np.ndarray, mirrored: np.ndarray) -> Tensor:
        """Moments float32 (B, N, 2C) or codes int32 (B, N) of images `chosen` (B,), mirrored where `mirrored` is 1."""
        part = np.searchsorted(self.starts, chosen, side="right") - 1
        rows = [self.values[p][i, m] for p, i, m in zip(part, chosen - self.starts[part], mirrored, strict=True)]
        found = np.stack(rows)
        return torch.from_numpy(found if found.dtype == np.float32 else found.astype(np.int32))


def open_tokens(folders: list[Path], file: str = "moments.npy") -> Tokens:
    """The parts in `folders`, in the order of the images; ValueError if tokens and labels of one do not match."""
    values = [np.load(folder / file, mmap_mode="r") for folder in folders]
    labels = [np.load(folder / "labels.npy") for folder in folders]
    for folder, some, named in zip(folders, values, labels, strict=True):
        if len(some) != len(named):
            raise ValueError(f"{folder}: {file} has {len(some)} images, labels.npy {len(named)}; make them again")
    starts = np.cumsum([0, *map(len, values)])[:-1]
    return Tokens(values, starts, np.concatenate(labels))


def open_codes(folders: list[Path]) -> Tokens:
    """As `open_tokens`, of a discrete tokenizer."""
    return open_tokens(folders, "codes.npy")


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
