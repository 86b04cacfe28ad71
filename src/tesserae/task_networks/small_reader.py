"""Convolutions and connectionist temporal classification (Graves et al. 2006): a small reader of words.

Shapes: B words in images of H x W pixels; T = W / 2 places from left to right; V = 37 letters, 0 being none.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.task_networks.alphabet import ALPHABET, numbered
from tesserae.task_networks.small_unet import convolution


class SmallReader(nn.Module):
    """`widths`: channels at full, half and quarter height; `height` and `width`: H and W."""

    def __init__(self, widths: Sequence[int], height: int, width: int) -> None:
        super().__init__()
        first, second, third = widths
        self.side = (height, width)
        self.layers = nn.Sequential(
            *(convolution(3, first), nn.MaxPool2d(2)),
            *(convolution(first, second), convolution(second, second), nn.MaxPool2d((2, 1))),
            *(convolution(second, third), nn.MaxPool2d((2, 1))),
        )
        self.along = nn.Conv1d(third * height // 8, third, 3, padding=1)
        self.head = nn.Conv1d(third, 1 + len(ALPHABET), 1)

    def forward(self, words: Tensor) -> Tensor:
        """Words (B, 3, H, W) in [-1, 1] -> logits (B, T, V)."""
        columns = self.layers(words).flatten(1, 2)
        return self.head(F.relu(self.along(columns))).transpose(1, 2)

    def loss(self, words: Tensor, said: Sequence[str]) -> Tensor:
        """Minus the mean log likelihood of a letter over all places that it may have.

        ValueError for a word that has too many letters for the places.
        """
        letters, lengths = numbered(said)
        places = self.side[1] // 2
        needed = lengths + (letters[:, 1:] == letters[:, :-1]).logical_and(letters[:, 1:] > 0).sum(dim=1)
        if (needed > places).any():
            raise ValueError(f"{said[int(needed.argmax())]!r} does not fit {places} places: give the reader more width")
        likely = self(words).float().log_softmax(dim=2).transpose(0, 1)
        # On the CPU: CUDA's version is not deterministic.
        return F.ctc_loss(likely.cpu(), letters, torch.full((len(said),), places), lengths)

    def read(self, words: Tensor) -> list[str]:
        """What the likeliest letter of each place says: letters that follow one another without a gap are one."""
        found = []
        for places in self(words).argmax(dim=2).tolist():
            kept = [here for before, here in zip([0, *places], places, strict=False) if here and here != before]
            found.append("".join(ALPHABET[letter - 1] for letter in kept))
        return found


def build(model: dict[str, Any]) -> SmallReader:
    return SmallReader(**model)
