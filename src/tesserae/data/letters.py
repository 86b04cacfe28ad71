"""Capital letters as strokes, and words drawn with them: no font file, the same pixels on every machine.

A letter lies in a cell that is one wide and one high, y downwards; it is a list of strokes, each a chain of points.

Shapes: S image side.
"""

import functools
import itertools
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
    width: float  # of the whole word, strokes and lean included
    height: float
    stroke: float  # its thickness
    gap: float  # between the cells of two letters, as a fraction of a cell
    slant: float  # how far the top of a letter lies to the right of its bottom, as a fraction of its height


@functools.cache
def segments(letter: str) -> tuple[tuple[tuple[float, float], tuple[float, float]], ...]:
    """Both ends, x and y, of a letter's straight pieces in its cell. KeyError for what is no capital letter."""
    chains = [[tuple(map(float, point.split(","))) for point in chain.split()] for chain in STROKES[letter].split("|")]
    return tuple(pair for chain in chains for pair in itertools.pairwise(chain))


def written(word: str, hand: Hand, size: int) -> np.ndarray:
    """How much of each pixel a word covers, with round pens: float32 (S, S) in [0, 1]."""
    height = hand.height - hand.stroke
    lean = abs(hand.slant) * height  # half of it to each side
    hand = hand._replace(left=hand.left + lean / 2, width=hand.width - lean)
    cell = (hand.width - hand.stroke) / (len(word) + hand.gap * (len(word) - 1))
    places = (np.arange(size) + 0.5) / size
    nearest = np.full((size, size), np.inf)
    for position, letter in enumerate(word):
        ends = [_placed(point, position, cell, height, hand) for piece in segments(letter) for point in piece]
        left, right = (edge(x for x, _ in ends) for edge in (min, max))
        # Only where the letter's ink can be: half a stroke and a pixel around it.
        first, last = np.searchsorted(places, [left - hand.stroke / 2 - 1 / size, right + hand.stroke / 2 + 1 / size])
        across, down = places[None, first:last], places[:, None]
        here = nearest[:, first:last]
        for start, end in zip(ends[::2], ends[1::2], strict=True):
            np.minimum(here, _distance(across, down, start, end), out=here)
    return np.clip((hand.stroke / 2 - nearest) * size + 0.5, 0, 1).astype(np.float32)


def _placed(point: tuple[float, float], position: int, cell: float, height: float, hand: Hand) -> tuple[float, float]:
    """A point of a letter's cell on the image."""
    x, y = point
    left = hand.left + hand.stroke / 2 + position * cell * (1 + hand.gap)
    return left + x * cell + hand.slant * height * (0.5 - y), hand.top + hand.stroke / 2 + y * height


def _distance(across: np.ndarray, down: np.ndarray, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """Of every pixel's middle from a straight piece: (S, S'); across (1, S'), down (S, 1)."""
    along, down_along = end[0] - start[0], end[1] - start[1]
    right, below = across - start[0], down - start[1]
    share = np.clip((right * along + below * down_along) / (along**2 + down_along**2), 0, 1)
    return np.hypot(right - share * along, below - share * down_along)
