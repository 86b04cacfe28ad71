"""How well and how sparsely an autoencoder says what its tokens are: pure functions of sums over tokens.

Shapes: T tokens, d_h their width, d_c latents, K active ones of a token.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

DECADES = 8  # of the histogram: firing frequencies from 1e-8 to 1


class Sums(NamedTuple):
    """Of some tokens; what `add` makes of those of several sets is that of all of them."""

    tokens: int
    error: float  # squared distance of token and reconstruction
    energy: float  # squared length of the token
    relative: float  # the ratio of the two
    total: np.ndarray  # float64 (d_h,) the tokens
    active: int  # latents above 0
    fired: np.ndarray  # int64 (d_c,) tokens on which each latent is above 0


def sums_of(tokens: Tensor, rebuilt: Tensor, indices: Tensor, values: Tensor, dictionary: int) -> Sums:
    """Tokens and their reconstructions (T, d_h), active latents and their values (T, K); `dictionary` is d_c."""
    tokens, rebuilt = tokens.double(), rebuilt.double()
    errors, energies = (tokens - rebuilt).square().sum(1), tokens.square().sum(1)
    fired = torch.bincount(indices[values > 0], minlength=dictionary).cpu().numpy()
    relative = (errors / energies).sum().item()
    total = tokens.sum(0).cpu().numpy()
    return Sums(len(tokens), errors.sum().item(), energies.sum().item(), relative, total, int(fired.sum()), fired)


def add(one: Sums, other: Sums) -> Sums:
    """The sums over two disjoint sets of tokens."""
    return Sums(*(a + b for a, b in zip(one, other, strict=True)))


def numbers(sums: Sums) -> dict[str, float]:
    """The measures of a sparse autoencoder.

    - nmse: mean over tokens of ||h - h_hat||^2 / ||h||^2 (as in arXiv 2406.04093's code)
    - explained_variance: 1 - mean ||h - h_hat||^2 / mean ||h||^2 (as in PatchSAE's code)
    - explained_variance_centred: the same with ||h - mean h||^2 below, the usual meaning of variance
    - l0: active latents of a token
    - dead: fraction of latents that are active on no token
    """
    spread = sums.energy - float(np.square(sums.total).sum()) / sums.tokens
    return {
        "nmse": sums.relative / sums.tokens,
        "explained_variance": 1 - sums.error / sums.energy,
        "explained_variance_centred": 1 - sums.error / spread,
        "l0": sums.active / sums.tokens,
        "dead": float((sums.fired == 0).mean()),
    }


def firing_histogram(fired: np.ndarray, tokens: int) -> dict[str, list[float] | list[int] | int]:
    """How many latents fire how often: two bins a decade of the fraction of tokens, and those that never fire.

    `fired` int64 (d_c,) -> {"log10_edges": 17 numbers, "latents": 16 counts, "never": a count}.
    """
    edges = np.linspace(-DECADES, 0, 2 * DECADES + 1)
    fractions = np.log10(fired[fired > 0] / tokens).clip(-DECADES, 0)
    return {
        "log10_edges": edges.tolist(),
        "latents": np.histogram(fractions, edges)[0].tolist(),
        "never": int((fired == 0).sum()),
    }
