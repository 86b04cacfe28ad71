"""What readers read (CompTok, Table 2; D4): small letters and digits, case ignored.

Shapes: B words, L letters of the longest.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def numbered(words: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Letters as numbers from 1, 0 behind a word's end: int64 (B, L); and the lengths, int64 (B,).

    ValueError for a word with another letter than those of ALPHABET, and for an empty one.
    """
    for word in words:
        if not word or (other := set(word) - set(ALPHABET)):
            raise ValueError(f"{word!r} is no word of {ALPHABET}" + (f": it has {sorted(other)}" if word else ""))
    lengths = torch.tensor([len(word) for word in words])
    letters = torch.zeros(len(words), int(lengths.max()), dtype=torch.int64)
    for row, word in zip(letters, words, strict=True):
        row[: len(word)] = torch.tensor([ALPHABET.index(letter) + 1 for letter in word])
    return letters, lengths
