"""Backgrounds with a texture, as functions of the plane: the same picture at every size but for its sharpness.

Shapes: S image side.
"""

import math

import numpy as np

WAVES = (2.0, 5.0)  # periods across an image
CELLS = (4, 9)  # of a noise, along a side


def texture(size: int, rng: np.random.Generator) -> np.ndarray:
    """A field in [0, 1], float32 (S, S): stripes, a chequered pattern or clouds, each with some clouds in it."""
    kind = rng.integers(3)
    angle, waves, phase = math.pi * rng.random(), WAVES[0] + (WAVES[1] - WAVES[0]) * rng.random(), rng.random()
    clouds = noise(size, int(rng.integers(*CELLS)), rng)
    if kind == 2:
        return clouds
    across, down = _plane(size)
    along = across * math.cos(angle) + down * math.sin(angle)
    field = np.sin(2 * math.pi * (waves * along + phase))
    if kind == 1:
        field = field * np.sin(2 * math.pi * (waves * (down * math.cos(angle) - across * math.sin(angle)) + phase))
    return (0.75 * (0.5 + 0.5 * field) + 0.25 * clouds).astype(np.float32)


def noise(size: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Values in [0, 1] at the corners of a grid of cells, and smoothly between them: float32 (S, S)."""
    corners = rng.random((cells + 1, cells + 1))
    places = (np.arange(size) + 0.5) / size * cells
    first = places.astype(int)
    share = places - first
    share = share**2 * (3 - 2 * share)
    rows = corners[first] * (1 - share)[:, None] + corners[first + 1] * share[:, None]
    return (rows[:, first] * (1 - share) + rows[:, first + 1] * share).astype(np.float32)


def _plane(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Places across (1, S) and down (S, 1), from 0 to 1 at the middles of pixels."""
    places = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return places[None], places[:, None]
