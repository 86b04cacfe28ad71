"""Sets of concepts: how far two overlap, which concepts are worth showing, and how well scores retrieve their images.

ConceptTok, Table 2 and Figures 3 to 5. A concept is an entry of a sparse autoencoder's dictionary; an image has the K
that are strongest in it, or fewer.

Shapes: N images, C classes, D concepts of the dictionary, S some of them, K concepts of an image.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tesserae.data.ragged import Ragged

WORD = re.compile(r"[^\W\d_]+")


class Ranking(NamedTuple):
    """How well scores find the images that have a concept: means over concepts, in [0, 1], higher is better."""

    average_precision: float
    precision: float  # among the first images
    chance: float  # of both, for scores that know nothing: the concepts' mean frequency


def f1(predicted: np.ndarray, truth: Ragged) -> np.ndarray:
    """2 |A and B| / (|A| + |B|) of each image, float64 (N,): `predicted` int (N, K) against its set.

    The paper's score of Table 2; where both have K concepts it is the fraction of K that they share. No row may
    name a concept twice. Raises ValueError for another number of images.
    """
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} predictions for the concepts of {len(truth)} images")
    sizes = np.diff(truth.offsets)
    base = 1 + max(predicted.max(initial=0), truth.values.max(initial=0))
    rows = int(base) * np.arange(len(predicted))  # image and concept as one number
    hits = np.isin(rows[:, None] + predicted, np.repeat(rows, sizes) + truth.values).sum(axis=1)
    return 2 * hits / (predicted.shape[1] + sizes)


def members(sets: Ragged, concepts: np.ndarray) -> np.ndarray:
    """Which images have which of some concepts (S,), each named once: bool (N, S)."""
    column = np.full(1 + max(sets.values.max(initial=0), concepts.max(initial=0)), -1)
    column[concepts] = np.arange(len(concepts))
    place = column[sets.values]
    images = np.repeat(np.arange(len(sets)), np.diff(sets.offsets))
    found = np.zeros((len(sets), len(concepts)), bool)
    found[images[place >= 0], place[place >= 0]] = True
    return found


def prior(counts: np.ndarray, most: int) -> np.ndarray:
    """The `most` concepts that most images have, the commonest first: counts (D,) -> int (most,)."""
    return np.argsort(-counts, kind="stable")[:most]


def class_prior(class_counts: np.ndarray, most: int) -> np.ndarray:
    """The same within each class: class_counts (C, D) -> int (C, most).

    What is equally common in a class comes in the order of all images, so that a class without images has the `prior`.
    """
    everywhere = np.broadcast_to(-class_counts.sum(axis=0), class_counts.shape)
    return np.lexsort((everywhere, -class_counts), axis=-1)[:, :most]


def within(counts: np.ndarray, images: int, limits: Sequence[float]) -> np.ndarray:
    """Concepts that some image has, and a fraction of all `images` between two limits: counts (D,) -> int (S,)."""
    low, high = limits
    return np.flatnonzero((counts >= max(1, low * images)) & (counts <= high * images))


def spread(concepts: np.ndarray, most: int) -> np.ndarray:
    """At most so many of some concepts, evenly spaced in their order, which means nothing."""
    return concepts[np.linspace(0, len(concepts) - 1, min(most, len(concepts))).round().astype(int)]


def purest(class_counts: np.ndarray, images: int, limits: Sequence[float], shown: int) -> np.ndarray:
    """Concepts `within` limits of frequency, in the order in which they are worth showing: (C, D) -> int (S,).

    Purity is the frequency of the commonest class among the images with a concept, counted as if `shown` images of no
    class had it as well: else a concept of a single image would be pure.
    """
    # DECISION (D25): the paper does not say how it chose concepts. The purest one of each class comes first, then the
    # second of each, and so on: the purest of all may be variants of one and the same.
    allowed = within(class_counts.sum(axis=0), images, limits)
    counts = class_counts[:, allowed]
    purity = counts.max(axis=0) / (counts.sum(axis=0) + shown)
    order = np.argsort(-purity, kind="stable")
    seen: Counter[int] = Counter()
    turns = []
    for home in counts.argmax(axis=0)[order].tolist():
        turns.append(seen[home])
        seen[home] += 1
    return allowed[order[np.argsort(turns, kind="stable")]]


def ranking(scores: np.ndarray, having: np.ndarray, first: int = 8) -> Ranking:
    """How images rank by scores, float (N, S), against having each of S concepts, bool (N, S).

    Mean average precision and precision among the `first`. Raises ValueError without concepts, and for a concept that
    no image has.
    """
    from sklearn.metrics import average_precision_score

    if not having.size or not having.any(axis=0).all():
        raise ValueError("a ranking takes concepts that some image has")
    pairs = zip(having.T, scores.T, strict=True)
    best = np.argsort(-scores, axis=0, kind="stable")[:first]
    return Ranking(
        float(np.mean([average_precision_score(has, score) for has, score in pairs])),
        float(np.take_along_axis(having, best, axis=0).mean()),
        float(having.mean()),
    )


def typical_words(some: Iterable[str], everything: Sequence[str], most: int = 3) -> list[str]:
    """The words of some captions that are rarer in all captions (which include them), the most typical first.

    A word's weight is p log(p / q), p and q being its frequency in the captions of some and of all images: its part of
    the divergence between the two. Without two captions in agreement a word says nothing; then all words are taken.
    """
    words = [set(WORD.findall(caption.lower())) for caption in some]
    here = Counter(word for found in words for word in found)
    agreed = {word: count for word, count in here.items() if count > 1} or here
    wanted = set(agreed)
    there = Counter(word for caption in everything for word in wanted & set(WORD.findall(caption.lower())))
    weights = {
        word: count / len(words) * math.log(count / len(words) * len(everything) / there[word])
        for word, count in agreed.items()
    }
    return sorted((word for word in weights if weights[word] > 0), key=lambda word: (-weights[word], word))[:most]
