"""Subject, predicate, object: which triplets an image does not show (COMiT, App. B.2, as Visual Genome is probed).

Shapes: M triplets of all images of a split, K negatives of an image. A triplet is (subject, predicate, object), numbers
of names and of predicates.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

Triplet = tuple[int, int, int]
TRIES = 100  # draws for each negative before a split is called too small


def draw_negatives(
    positive: Triplet,
    shown: Iterable[Triplet],
    pool: np.ndarray,
    *,
    count: int,
    hard: int,
    predicates: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Triplets that an image does not show: int64 (count, 3), all different, none among those `shown`.

    At most `hard` of them have the positive's own names: swapped, or with another predicate, as far as there are any.
    The others are of other images: `pool`, int (M, 3). ValueError if there are too few.
    """
    taken = {*map(tuple, shown), tuple(positive)}
    subject, predicate, object_ = positive
    near = [(object_, predicate, subject)]
    near += [(subject, other, object_) for other in range(predicates) if other != predicate]
    near = [one for one in near if one not in taken] if hard else []
    chosen = [near[i] for i in rng.permutation(len(near))[: min(hard, count)]]
    taken.update(chosen)
    tries = TRIES * count
    while len(chosen) < count and tries:
        tries -= 1
        one = tuple(pool[rng.integers(len(pool))].tolist())
        if one not in taken:
            taken.add(one)
            chosen.append(one)
    if len(chosen) < count:
        raise ValueError(
            f"of {len(pool)} triplets, {TRIES * count} draws gave {len(chosen)} that an image does not show, not "
            f"{count}: probe with fewer negatives, or on more images"
        )
    return np.array(chosen, np.int64).reshape(count, 3)


def most_frequent(words: Iterable[str], most: int) -> tuple[str, ...]:
    """The most frequent words, equally frequent ones in alphabetical order."""
    counted = Counter(words)
    return tuple(sorted(counted, key=lambda word: (-counted[word], word))[:most])


def divide(count: int, *, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images of training and of validation, sorted int64; ValueError if one would be empty."""
    moved = round(fraction * count)
    if not 0 < moved < count:
        raise ValueError(f"of {count} images {fraction:.0%} leave training or validation empty")
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[moved:]), np.sort(order[:moved])


def numbered(triplets: Sequence[tuple[str, str, str]], names: Sequence[str], predicates: Sequence[str]) -> list:
    """Those whose words are all known, by their numbers, each once."""
    of_name = {name: i for i, name in enumerate(names)}
    of_predicate = {name: i for i, name in enumerate(predicates)}
    known = [
        (of_name[subject], of_predicate[predicate], of_name[object_])
        for subject, predicate, object_ in triplets
        if subject in of_name and predicate in of_predicate and object_ in of_name
    ]
    return list(dict.fromkeys(known))
