"""How well a fixed network still does its task on decoded images (CompTok, Table 2; D2 to D4).

Shapes: B images of S x S pixels, K classes.
"""

from collections.abc import Sequence

import numpy as np

UNKNOWN = 255  # of a pixel that is not counted


def confusion(found: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """Pixels by true class (row) and found class: uint8 (B, S, S) both -> int64 (K, K); UNKNOWN ones are left out.

    ValueError for arrays of different shapes, and for a class that there is not.
    """
    if found.shape != true.shape:
        raise ValueError(f"masks of {found.shape} cannot be compared with some of {true.shape}")
    known = true != UNKNOWN
    pairs = true[known].astype(np.int64) * classes + found[known]
    if known.any() and max(int(true[known].max()), int(found[known].max())) >= classes:
        raise ValueError(f"a mask shows a class that is none of {classes}")
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def pixel_accuracy(counts: np.ndarray) -> float:
    """Percent of pixels whose class was found; ValueError for no pixels."""
    if not counts.sum():
        raise ValueError("of no pixels there is no accuracy")
    return 100 * float(np.trace(counts) / counts.sum())


def mean_iou(counts: np.ndarray) -> float:
    """Intersection over union in percent, over all images together, then the mean of the classes that truly occur."""
    both, true, found = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    there = true > 0
    if not there.any():
        raise ValueError("of no pixels there is no intersection")
    return 100 * float((both[there] / (true + found - both)[there]).mean())


def dice(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Of each image that truly shows a region (class 1), 2 |found & true| / (|found| + |true|): float64 (B',).

    D3: images without one have no Dice.
    """
    shown = (true == 1).any(axis=(1, 2))
    one, other = found[shown] == 1, true[shown] == 1
    return 2 * (one & other).sum(axis=(1, 2)) / (one.sum(axis=(1, 2)) + other.sum(axis=(1, 2)))


def exact_match(read: Sequence[str], words: Sequence[str]) -> float:
    """Percent of words that were read without a fault; both as `data.domains.plain` leaves words.

    ValueError for other numbers of them, and for none.
    """
    _check_readings(read, words)
    return 100 * sum(one == other for one, other in zip(read, words, strict=True)) / len(words)


def letters_read(read: Sequence[str], words: Sequence[str]) -> float:
    """Percent of letters: all of them less the least number of letters to change, add or leave out, for each word at
    most its length. Ours: where hardly any word is read without a fault, it still tells tokenizers apart.

    ValueError as for `exact_match`.
    """
    _check_readings(read, words)
    wrong = sum(min(_edits(one, other), len(other)) for one, other in zip(read, words, strict=True))
    return 100 * (1 - wrong / sum(map(len, words)))


def _check_readings(read: Sequence[str], words: Sequence[str]) -> None:
    if len(read) != len(words) or not words:
        raise ValueError(f"{len(read)} readings of {len(words)} words")


def _edits(one: str, other: str) -> int:
    """Levenshtein's distance."""
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        here = [row]
        for place, wanted in enumerate(other, 1):
            here.append(min(before[place] + 1, here[-1] + 1, before[place - 1] + (letter != wanted)))
        before = here
    return before[-1]
