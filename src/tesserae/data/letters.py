"""Capital letters as strokes, and words drawn with them: no font file, the same pixels on every machine.

A letter lies in a cell that is one wide and one high, y downwards; it is a list of strokes, each a chain of points.

Shapes: S image side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Corners are cut where other fonts are round.
STROKES: dict[str, str] = {
    "A": "0,1 .5,0 1,1|.19,.62 .81,.62",
    "B": "0,1 0,0 .7,0 .95,.12 .95,.36 .7,.48 0,.48|.7,.48 1,.62 1,.86 .7,1 0,1",
    "C": "1,.2 .75,0 .25,0 0,.25 0,.75 .25,1 .75,1 1,.8",
    "D": "0,0 0,1 .6,1 1,.7 1,.3 .6,0 0,0",
    "E": "1,0 0,0 0,1 1,1|0,.48 .8,.48",
    "F": "1,0 0,0 0,1|0,.48 .8,.48",
    "G": "1,.2 .75,0 .25,0 0,.25 0,.75 .25,1 .75,1 1,.8 1,.55 .55,.55",
    "H": "0,0 0,1|1,0 1,1|0,.48 1,.48",
    "I": ".5,0 .5,1|.15,0 .85,0|.15,1 .85,1",
    "J": ".35,0 1,0|.85,0 .85,.75 .6,1 .25,1 0,.75",
    "K": "0,0 0,1|1,0 0,.55|.3,.4 1,1",
    "L": "0,0 0,1 1,1",
    "M": "0,1 0,0 .5,.6 1,0 1,1",
    "N": "0,1 0,0 1,1 1,0",
    "O": ".25,0 .75,0 1,.25 1,.75 .75,1 .25,1 0,.75 0,.25 .25,0",
    "P": "0,1 0,0 .7,0 1,.15 1,.4 .7,.55 0,.55",
    "Q": ".25,0 .75,0 1,.25 1,.75 .75,1 .25,1 0,.75 0,.25 .25,0|.55,.65 1,1.05",
    "R": "0,1 0,0 .7,0 1,.15 1,.38 .7,.52 0,.52|.45,.52 1,1",
    "S": "1,.15 .75,0 .25,0 0,.15 0,.35 .25,.48 .75,.52 1,.65 1,.85 .75,1 .25,1 0,.85",
    "T": "0,0 1,0|.5,0 .5,1",
    "U": "0,0 0,.75 .25,1 .75,1 1,.75 1,0",
    "V": "0,0 .5,1 1,0",
    "W": "0,0 .22,1 .5,.35 .78,1 1,0",
    "X": "0,0 1,1|1,0 0,1",
    "Y": "0,0 .5,.5 1,0|.5,.5 .5,1",
    "Z": "0,0 1,0 0,1 1,1",
}
ALPHABET = "".join(STROKES)


class Hand(NamedTuple):
    """How a word is written; lengths as fractions of the image side."""

    left: float
    top: float
    width: float  # of the whole word, strokes included
    height: float
    stroke: float  # its thickness
    gap: float  # between the cells of two letters, as a fraction of a cell
    slant: float  # how far the top of a letter lies to the right of its bottom, as a fraction of its height


def segments(letter: str) -> np.ndarray:
    """Ends of a letter's straight pieces in its cell: float64 (K, 2, 2), x before y. KeyError for no capital letter."""
    chains = [[tuple(map(float, point.split(","))) for point in chain.split()] for chain in STROKES[letter].split("|")]
    return np.array([pair for chain in chains for pair in zip(chain, chain[1:], strict=False)])


def written(word: str, hand: Hand, size: int) -> np.ndarray:
    """How much of each pixel a word covers, with round pens: float32 (S, S) in [0, 1]."""
    cell = (hand.width - hand.stroke) / (len(word) + hand.gap * (len(word) - 1))
    height = hand.height - hand.stroke
    places = (np.arange(size) + 0.5) / size
    across, down = places[None, :], places[:, None]
    nearest = np.full((size, size), np.inf)
    for position, letter in enumerate(word):
        for (x0, y0), (x1, y1) in segments(letter):
            start = _placed(x0, y0, position, cell, height, hand)
            end = _placed(x1, y1, position, cell, height, hand)
            np.minimum(nearest, _distance(across, down, start, end), out=nearest)
    return np.clip((hand.stroke / 2 - nearest) * size + 0.5, 0, 1).astype(np.float32)


def _placed(x: float, y: float, position: int, cell: float, height: float, hand: Hand) -> tuple[float, float]:
    """A point of a letter's cell on the image."""
    lean = hand.slant * height * (0.5 - y)
    left = hand.left + hand.stroke / 2 + position * cell * (1 + hand.gap)
    return left + x * cell + lean, hand.top + hand.stroke / 2 + y * height


def _distance(across: np.ndarray, down: np.ndarray, start: Sequence[float], end: Sequence[float]) -> np.ndarray:
    """Of every pixel's middle from a straight piece: (S, S)."""
    along = np.array(end) - np.array(start)
    length = float(along @ along)
    share = np.clip(((across - start[0]) * along[0] + (down - start[1]) * along[1]) / length, 0, 1)
    return np.hypot(across - start[0] - share * along[0], down - start[1] - share * along[1])
