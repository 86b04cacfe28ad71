"""Closed-form generators: all that is known of a class's tokens is their mean and covariance, or how often codes occur.

What a trained generator of the same tokens has to beat. Each sample has its own random stream, so that it is the same
in any batch.

Shapes: n images of a class, mirror images counted; D values of an image's tokens, m images of all classes, B samples;
N codes of an image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class ClassGaussian(NamedTuple):
    """Normal distribution of the tokens of a class: full covariance, shrunk towards that of all classes.

    The covariance is w P + (1 - w) S + noise, S = own' own / n and P = shared' shared / m. It is never formed: a
    weighted sum of deviations with independent normal weights has it.
    """

    mean: Tensor  # (D,)
    own: Tensor  # (n, D) deviations of the class's images from their mean
    shared: Tensor  # (m, D) deviations of images of all classes, each from the mean of its own class
    noise: Tensor  # (D,) variance that each image has by itself: of the tokenizer's posterior
    weight: float  # w, 0 to 1

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """Tokens (B, D), one for each seed."""
        n, m, d = len(self.own), len(self.shared), len(self.mean)
        normal = torch.stack([torch.randn(n + m + d, generator=_stream(seed)) for seed in seeds]).to(self.mean)
        own, shared, noise = normal.split((n, m, d), dim=1)
        spread = ((1 - self.weight) / n) ** 0.5 * (own @ self.own) + (self.weight / m) ** 0.5 * (shared @ self.shared)
        return self.mean + spread + noise * self.noise.sqrt()


def fit_gaussian(means: Tensor, variances: Tensor, shared: Tensor) -> ClassGaussian:
    """Of a class, from its images' tokens: means and variances of the posterior, (n, D) each, n >= 2.

    shared: deviations of images of all classes (`deviations` of some of each). ValueError for a single image.
    """
    own = deviations(means)
    return ClassGaussian(means.mean(0), own, shared, variances.mean(0), shrinkage(own, shared))


def deviations(means: Tensor) -> Tensor:
    """Of images of one class from their mean, (n, D), scaled so that own' own / n is the unbiased covariance."""
    if len(means) < 2:
        raise ValueError(f"a covariance needs two images of a class, not {len(means)}")
    return (means - means.mean(0)) * (len(means) / (len(means) - 1)) ** 0.5


def shrinkage(own: Tensor, shared: Tensor) -> float:
    """How much of the shared covariance P a class's own S is replaced by, 0 to 1; near 1 for few images.

    The weight with the least expected squared error is E|S - Sigma|^2 / E|S - P|^2 (Ledoit and Wolf 2004, with P in the
    place of a multiple of the identity). Of normal data the numerator is (|Sigma|^2 + tr(Sigma)^2) / (n - 1), for which
    (|S|^2 + tr(S)^2) / (n + 1) stands (Chen et al. 2010); the denominator is taken as it is. Mirror images count as
    images.
    """
    # DECISION: ours. At paper scale a class has 1,300 images and an image 4,096 values: S alone would have no inverse
    # and too little variety; P alone would know the classes by their means only.
    own, shared = own.double(), shared.double()
    size, trace = _energy(own), float(own.square().sum()) / len(own)
    cross = float((own @ shared.T).square().sum()) / (len(own) * len(shared))
    distance = size + _energy(shared) - 2 * cross
    error = (size + trace**2) / (len(own) + 1)
    return 1.0 if distance <= error else error / distance


def draw_marginals(codes: Tensor, seeds: Sequence[int]) -> Tensor:
    """Codes int64 (B, N): at each place the code of an image of the class, drawn anew for each place and seed.

    codes: (n, N) of the class's images. So each place has the class's own frequencies, and places know nothing of each
    other. ValueError for a class without images.
    """
    if not len(codes):
        raise ValueError("a class without images has no codes")
    places = torch.arange(codes.shape[1])
    rows = (torch.randint(len(codes), places.shape, generator=_stream(seed)) for seed in seeds)
    return torch.stack([codes[row, places] for row in rows]).long()


def draw_ragged_marginals(codes: Tensor, seeds: Sequence[int]) -> Tensor:
    """As `draw_marginals`, of rows with -1 where an image has no code: which places have one is another image's whole
    choice, so that as many are there as in an image of the class; each code is drawn of the images that have one there.
    """
    if not len(codes):
        raise ValueError("a class without images has no codes")
    drawn = torch.full((len(seeds), codes.shape[1]), -1)
    having = codes >= 0
    for row, seed in zip(drawn, seeds, strict=True):
        rng = _stream(seed)
        there = having[torch.randint(len(codes), (1,), generator=rng)[0]]
        # Of the images that have a code in a place, the one with the largest of uniform numbers: each equally likely.
        image = torch.rand(codes.shape, generator=rng).masked_fill(~having, -1.0).argmax(0)
        row[there] = codes[image, torch.arange(codes.shape[1])].long()[there]
    return drawn


def _energy(rows: Tensor) -> float:
    """Squared Frobenius norm of rows' rows / n, by the smaller of the two products that have it."""
    product = rows.T @ rows if rows.shape[1] <= len(rows) else rows @ rows.T
    return float(product.square().sum()) / len(rows) ** 2


def _stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
