"""Closed-form tokenizers: an image is cut into a square grid of patches, each kept as a few numbers or as one code.

What a trained tokenizer of as many numbers (bits) has to beat. Both are fitted on training images in one go, without a
gradient: principal components of patches, and k-means of patches.

Shapes: B images of S x S pixels, uint8 (B, S, S, 3); G patches along a side, P = G^2 of an image, each of
D = 3 (S / G)^2 values in [-1, 1]; K components, V centres.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

FITTED = 10_000  # training images at most, spread evenly: far more patches than a patch has values
PER_CENTRE, LEAST = 32, 8_192  # patches that k-means learns from: for each centre, and at least
ROUNDS = 30  # of k-means; it stops sooner when no patch changes its centre
CHUNK = 256  # images at a time


class PatchCoder(Protocol):
    """What is left of patches (..., D) after coding and decoding them: (..., D)."""

    def rebuilt(self, patches: Tensor) -> Tensor: ...


class Components(NamedTuple):
    """Principal components: the linear autoencoder of K numbers with the least squared error."""

    mean: Tensor  # (D,)
    basis: Tensor  # (D, K), orthonormal; K = 0 keeps the mean alone
    variances: Tensor  # (K,), of each over all training patches
    discarded: float  # squared error of a training patch, summed over its values: the eigenvalues of what is left out

    def rebuilt(self, patches: Tensor) -> Tensor:
        centred = patches - self.mean
        return centred @ self.basis @ self.basis.T + self.mean


class Centres(NamedTuple):
    """k-means: each patch is kept as the number of its nearest centre, log2 V bits."""

    centres: Tensor  # (V, D)

    def rebuilt(self, patches: Tensor) -> Tensor:
        return self.centres[nearest(patches, self.centres)]


class MeanColour:
    """Of each patch its mean colour. With one patch an image is one colour: its layout (H, W, RGB) is all it needs."""

    def rebuilt(self, patches: Tensor) -> Tensor:
        colours = patches.unflatten(-1, (-1, 3))  # the last axis of a patch is its colours
        return colours.mean(dim=-2, keepdim=True).expand_as(colours).flatten(-2)


def kept(control: Mapping[str, Any]) -> str:
    """What a control's settings (kind, and grid, components or centres) leave of an image, in words."""
    if control["kind"] == "real":
        return "all of an image: validation images themselves"
    if control["kind"] == "mean":
        return "the mean colour of an image"
    patches = control["grid"] ** 2
    if control["kind"] == "components":
        k = control["components"]
        return f"{k} principal components of each of {patches} patches: {k * patches} numbers"
    bits = patches * math.log2(control["centres"])
    return f"the nearest of {control['centres']} k-means centres for each of {patches} patches: {bits:.4g} bits"


def cut(images: np.ndarray, grid: int, device: str | torch.device = "cpu") -> Tensor:
    """Images -> patches float32 (B, P, D) in [-1, 1], row by row. ValueError if the grid does not divide the side."""
    count, side = images.shape[:2]
    if side % grid:
        raise ValueError(f"{grid} x {grid} patches do not divide an image of {side} pixels")
    pixels = torch.from_numpy(np.array(images)).to(device).float().div_(127.5).sub_(1)
    pixels = pixels.view(count, grid, side // grid, grid, side // grid, 3)
    return pixels.permute(0, 1, 3, 2, 4, 5).flatten(3).flatten(1, 2)


def joined(patches: Tensor, grid: int) -> Tensor:
    """Patches (B, P, D) -> images float (B, 3, S, S), as networks make them."""
    size = int((patches.shape[2] // 3) ** 0.5)
    pixels = patches.view(len(patches), grid, grid, size, size, 3)
    return pixels.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), 3, grid * size, grid * size)


def fit_components(images: np.ndarray, grid: int, components: int, device: str | torch.device = "cpu") -> Components:
    """The first principal components of the patches of images, from sums that are gathered chunk by chunk.

    Raises ValueError for more components than a patch has values, and for images without a patch.
    """
    count, total, squares = 0, 0.0, 0.0
    for patches in _chunks(images, grid, device):
        flat = patches.flatten(0, 1).double()
        count, total, squares = count + len(flat), total + flat.sum(0), squares + flat.T @ flat
    if not count or not 0 <= components <= len(total):
        raise ValueError(f"{components} components of {count} patches cannot be found")
    mean = total / count
    values, vectors = torch.linalg.eigh(squares.cpu() / count - torch.outer(mean, mean).cpu())  # ascending
    kept = len(values) - components
    basis = vectors[:, kept:].flip(1).float().to(device)
    variances = values[kept:].flip(0).clamp(min=0).float().to(device)
    return Components(mean.float(), basis, variances, float(values[:kept].clamp(min=0).sum()))


def fit_centres(images: np.ndarray, grid: int, centres: int, seed: int, device: str | torch.device = "cpu") -> Centres:
    """Lloyd's k-means from a k-means++ start on patches of images, drawn by `seed`. ValueError for too few patches."""
    rng = np.random.default_rng(seed)
    total = len(_spread(images)) * grid**2
    if not 0 < centres <= total:
        raise ValueError(f"{centres} centres of {total} patches cannot be found")
    chosen = np.sort(rng.choice(total, min(total, max(LEAST, PER_CENTRE * centres)), replace=False))
    taken, start = [], 0
    for patches in _chunks(images, grid, device):
        flat = patches.flatten(0, 1)
        here = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + len(flat))] - start
        taken.append(flat[torch.from_numpy(here).to(device)])
        start += len(flat)
    return Centres(k_means(torch.cat(taken), centres, rng))


def k_means(points: Tensor, centres: int, rng: np.random.Generator) -> Tensor:
    """Centres (V, D) of points (N, D), N >= V > 0. One round already leaves no more error than the mean of all does."""
    found = _first_centres(points, centres, rng)
    before = None
    for _ in range(ROUNDS):
        owners = nearest(points, found)
        if before is not None and torch.equal(owners, before):
            break
        before = owners
        # On the CPU in double precision: the same sums whatever the device.
        sums = torch.zeros(found.shape, dtype=torch.float64).index_add_(0, owners.cpu(), points.double().cpu())
        sizes = owners.cpu().bincount(minlength=centres)[:, None]
        means = (sums / sizes.clamp(min=1)).to(found)
        found = torch.where(sizes.to(found.device) > 0, means, found)  # one that no point is nearest to stays
    return found


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """The number of each point's nearest centre: (..., D), (V, D) -> int64 (...); the first of equally near ones."""
    half = centres.square().sum(1) / 2
    part = max(1, 2**26 // len(centres))  # distances at a time: 256 MB
    found = torch.cat([(half - some @ centres.T).argmin(1) for some in points.flatten(0, -2).split(part)])
    return found.view(points.shape[:-1])


def _first_centres(points: Tensor, centres: int, rng: np.random.Generator) -> Tensor:
    """k-means++ (Arthur and Vassilvitskii 2007): each next one is drawn by the squared distance to those before."""
    chosen = [int(rng.integers(len(points)))]
    distance = _from(points, chosen[0])
    for _ in range(centres - 1):
        reached = distance.double().cumsum(0)
        if reached[-1] > 0:
            place = torch.searchsorted(reached, float(rng.random() * reached[-1]), right=True)
            chosen.append(min(int(place), len(points) - 1))
        else:  # fewer different points than centres
            chosen.append(int(rng.integers(len(points))))
        distance = torch.minimum(distance, _from(points, chosen[-1]))
    return points[chosen].clone()


def _from(points: Tensor, one: int) -> Tensor:
    """Squared distances of points (N, D) from one of them; 0 where they are equal, and no copy of all on the way."""
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(points, points[one : one + 1], compute_mode=exact).squeeze(1).square()


def _spread(images: np.ndarray) -> np.ndarray:
    """Which images are learned from: all, or FITTED of them, spread evenly so that every class is there."""
    return np.linspace(0, len(images) - 1, min(FITTED, len(images))).astype(int)


def _chunks(images: np.ndarray, grid: int, device: str | torch.device) -> Iterator[Tensor]:
    """Patches (B, P, D) of the images that are learned from, a chunk at a time: images may be larger than memory."""
    chosen = _spread(images)
    for start in range(0, len(chosen), CHUNK):
        yield cut(images[chosen[start : start + CHUNK]], grid, device)
