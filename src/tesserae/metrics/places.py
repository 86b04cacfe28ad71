"""Where on the grid of an image the patches lie that a tokenizer keeps (TaTok, Figs. 7 and 8).

Shapes: G x G patches; `kept` (G, G) says how often each was kept, over any number of images.
"""

import numpy as np

from tesserae.edges import EDGES


def edge_shares(kept: np.ndarray) -> dict[str, float]:
    """Percent of all kept patches in the first or last column, and in the first or last row; by EDGES.

    Corners are in both. Raises ValueError where none was kept.
    """
    if kept.sum() <= 0:
        raise ValueError("of no patches, no share lies at an edge")
    outermost = np.zeros(len(kept), bool)
    outermost[[0, -1]] = True
    counts = kept[:, outermost].sum(), kept[outermost].sum()
    return {edges: float(100 * count / kept.sum()) for edges, count in zip(EDGES, counts, strict=True)}


def chance(side: int) -> float:
    """Percent of a grid's patches in two of its rows, or columns: what keeping any patches alike gives."""
    return 100 * min(2 / side, 1.0)


def nested(larger: np.ndarray, smaller: np.ndarray) -> float:
    """Of sets of patches, bool (B, M), the share of those in `smaller` with no patch that `larger` lacks, 0 to 1."""
    return float((~smaller | larger).all(axis=1).mean())
