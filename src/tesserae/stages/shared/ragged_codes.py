"""Caches of codes of different length (stage `ragged_codes`): the parts of a scattered stage, seen as one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tesserae.data.ragged import Ragged, open_ragged


class RaggedCodes(NamedTuple):
    """All parts of a cache, memory-mapped; of each part, first its images as they are, then mirrored."""

    codes: list[Ragged]
    places: list[Ragged]
    starts: np.ndarray  # int64 (parts,): index of each part's first image
    labels: np.ndarray  # int64 (M,)

    def lengths(self) -> np.ndarray:
        """Codes of each image as it is, int64 (M,)."""
        return np.concatenate([np.diff(part.offsets)[: len(part) // 2] for part in self.codes])

    def at(self, chosen: np.ndarray, mirrored: np.ndarray) -> tuple[Tensor, Tensor]:
        """Codes and their places, int64 (B, L) each, of images `chosen` (B,), mirrored where `mirrored` is 1.

        L is the longest of these rows; the others are filled up with -1.
        """
        part = np.searchsorted(self.starts, chosen, side="right") - 1
        row = chosen - self.starts[part] + mirrored * np.array([len(some) // 2 for some in self.codes])[part]
        rows_of = {p: row[part == p] for p in np.unique(part)}
        width = max((self.codes[p].offsets[i + 1] - self.codes[p].offsets[i]).max() for p, i in rows_of.items())
        codes, places = np.empty((2, len(chosen), width), np.int64)
        for p, rows in rows_of.items():
            codes[part == p], places[part == p] = (each[p].rows(rows, width) for each in (self.codes, self.places))
        return torch.from_numpy(codes), torch.from_numpy(places)

    def rows(self, chosen: np.ndarray, mirrored: np.ndarray, length: int) -> Tensor:
        """The same codes, each in its place of a row, as the tokenizer made them: int64 (B, length); -1: none there."""
        codes, places = self.at(chosen, mirrored)
        rows = codes.new_full((len(codes), length), -1)
        image, slot = (places >= 0).nonzero(as_tuple=True)
        rows[image, places[image, slot]] = codes[image, slot]
        return rows


def open_ragged_codes(folders: list[Path]) -> RaggedCodes:
    """The parts in `folders`, in the order of the images; ValueError if the files of one do not match."""
    codes, places = ([open_ragged(folder, name) for folder in folders] for name in ("codes", "places"))
    labels = [np.load(folder / "labels.npy") for folder in folders]
    for folder, some, others, named in zip(folders, codes, places, labels, strict=True):
        if len(some) != 2 * len(named) or not np.array_equal(some.offsets, others.offsets):
            raise ValueError(f"{folder}: codes, places and labels are not of the same images; make them again")
    starts = np.cumsum([0, *map(len, labels)])[:-1]
    return RaggedCodes(codes, places, starts, np.concatenate(labels))
