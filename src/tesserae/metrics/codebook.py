"""How a codebook is used, from how often each of its V codes occurs: counts (V,), integers."""

import numpy as np


def entropy_bits(counts: np.ndarray) -> float:
    """Entropy of the codes' frequencies in bits, 0 (one code alone) to log2 V (all alike). ValueError for no codes."""
    if counts.sum() <= 0 or counts.min() < 0:
        raise ValueError("counts must not be negative, nor all 0")
    frequency = counts[counts > 0] / counts.sum()
    return float(-(frequency * np.log2(frequency)).sum() + 0.0)  # not -0.0


def perplexity(counts: np.ndarray) -> float:
    """2 to the entropy: how many codes, used alike, have this entropy; 1 to V."""
    return 2 ** entropy_bits(counts)


def dead_codes(counts: np.ndarray) -> int:
    """How many codes never occur."""
    return int((counts == 0).sum())


def usage(counts: np.ndarray) -> float:
    """Share of the codes that occur, 0 to 1."""
    return 1 - dead_codes(counts) / len(counts)


def health(counts: np.ndarray) -> dict[str, float]:
    """All of the above by name."""
    return {
        "usage": usage(counts),
        "perplexity": perplexity(counts),
        "dead_codes": dead_codes(counts),
        "entropy_bits": entropy_bits(counts),
    }
