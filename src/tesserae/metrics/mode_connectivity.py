"""MC (CompTok, arXiv 2602.03339, Sec. 3.2.1): how real images stay on the straight line between the tokens of two.

Shapes: P pairs of images with vectors (P, M, C) each; U points of a line; N images of a set, F values of a feature.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

POINTS = 11  # DECISION (D34): 0, 0.1 ... 1, ends included, so that MC is at most 1
DELTA = 1e-6
SAME = 1 - 1e-6  # cosine from which two images count as the same picture

ImagesOf = Callable[[Tensor], Tensor]  # vectors (P, M, C) -> images (P, 3, S, S)
Judge = Callable[[Tensor], Tensor]  # images (P, 3, S, S) in [-1, 1] -> realism loss (P,), at least 0


class Pairs(NamedTuple):
    """Which images are connected, int64 (P,) each, and whether both are of one class; None: classes were not asked."""

    first: np.ndarray
    second: np.ndarray
    same_class: np.ndarray | None  # bool (P,)


class Connectivity(NamedTuple):
    """MC of some pairs: means over them."""

    mc: float
    same_class: float | None
    cross_class: float | None


# ---- pairs ------------------------------------------------------------------------------------------------------


def first_of_classes(labels: np.ndarray, count: int) -> np.ndarray:
    """`count` images: the first one of each class, in the order of classes, then each one's second, and so on.

    labels: int64 (N,), -1 in a set without classes, of which images are evenly spread ones. int64 (count,), fewer if
    there are not so many images.
    """
    # DECISION (D31, D35): the paper does not say which images; at `paper` it is one of each class.
    count = min(count, len(labels))
    if (labels < 0).all():
        return np.linspace(0, len(labels) - 1, count).astype(np.int64)
    order = np.argsort(labels, kind="stable")
    starts = np.unique(labels[order], return_index=True, return_inverse=True)
    rank = np.arange(len(labels)) - starts[1][starts[2]]  # of an image within its class
    return order[np.lexsort((labels[order], rank))][:count].astype(np.int64)


def similar_pairs(features: np.ndarray, labels: np.ndarray | None, anchors: np.ndarray) -> Pairs:
    """Each anchor with its nearest image of its own class and with that of another, by the cosine of features (N, F).

    Without labels: with its two nearest ones. The same picture once more is nobody's neighbour. ValueError for labels
    of fewer than two classes, and for an anchor that has no neighbour of either kind.
    """
    # DECISION (D35): the paper names CLIP's features and says nothing of how many anchors there are.
    if labels is not None and len(np.unique(labels)) < 2:
        raise ValueError("pairs within and across classes need images of at least two classes; give no labels instead")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(min=1e-12)
    first, second, same = [], [], []
    for anchor in anchors.tolist():
        cosines = unit @ unit[anchor]
        cosines[(cosines >= SAME) | (np.arange(len(unit)) == anchor)] = -np.inf
        if labels is None:
            chosen = np.argsort(-cosines, kind="stable")[:2].tolist()
        else:
            own = labels == labels[anchor]
            chosen = [int(np.where(group, cosines, -np.inf).argmax()) for group in (own, ~own)]
        if len(chosen) < 2 or not np.isfinite(cosines[chosen]).all():
            raise ValueError(f"image {anchor} has no other one to be paired with, of its class or of another")
        first += [anchor, anchor]
        second += chosen
        same += [True, False]
    return Pairs(np.array(first), np.array(second), None if labels is None else np.array(same))


# ---- paths ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def path_losses(images_of: ImagesOf, judge: Judge, first: Tensor, second: Tensor, points: int = POINTS) -> Tensor:
    """Realism losses along the lines from `first` to `second`, both (P, M, C): float64 (P, U), ends included.

    Images are clipped to [-1, 1] before they are judged. The caller's `images_of` keeps the noise of a pair. ValueError
    for tokens of different numbers: between them there is no line.
    """
    if first.shape != second.shape:
        raise ValueError(f"no line joins tokens {tuple(first.shape[1:])} of one image to {tuple(second.shape[1:])}")
    found = []
    for u in torch.linspace(0, 1, points).tolist():
        images = images_of(torch.lerp(first, second, u)).clamp(-1, 1)
        found.append(judge(images).double().cpu())
    return torch.stack(found, dim=1)


def connectivities(losses: Tensor) -> Tensor:
    """Losses (P, U) -> MC of each pair, float64 (P,): the better end over the worst point, from 0 to 1."""
    ends = losses[:, [0, -1]].amin(dim=1)
    return ends / (losses.amax(dim=1) + DELTA)


def connectivity(losses: Tensor, pairs: Pairs) -> Connectivity:
    """Means of all pairs, and of those within and across classes. FloatingPointError for a loss that is not finite."""
    if bad := (~losses.isfinite().all(dim=1)).nonzero()[:, 0].tolist():
        raise FloatingPointError(f"the realism of pairs {bad[:5]} ({len(bad)} of {len(losses)}) is not finite")
    if (losses < 0).any():
        raise ValueError(f"a realism loss of {losses.min().item():.3g}: the ratio means nothing below 0")
    each = connectivities(losses).numpy()
    if pairs.same_class is None:
        return Connectivity(float(each.mean()), None, None)
    same = pairs.same_class
    return Connectivity(float(each.mean()), float(each[same].mean()), float(each[~same].mean()))


# ---- judges -----------------------------------------------------------------------------------------------------


def realism_loss(logits: Tensor, real: Tensor) -> Tensor:
    """softplus(mean of the logits of real images - logits (P,)): (P,). ln 2 as real as these, on average."""
    # DECISION (D32): the loss of the decoder against the average real image; a relativistic critic has no zero.
    return torch.nn.functional.softplus(real.mean() - logits)


def distance_to_real(features: Tensor, real: Tensor) -> Tensor:
    """1 - the cosine to the nearest of real images, features (P, F) and (R, F): a judge that nobody trained, (P,)."""
    unit, known = (torch.nn.functional.normalize(x.float(), dim=1) for x in (features, real))
    return (1 - (unit @ known.T).amax(dim=1)).clamp(min=0)
