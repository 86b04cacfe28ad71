"""Images of exactly two categories, divided so that no pair of validation occurs in training (COMiT, App. B.2)."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

Pair = tuple[int, int]  # of categories, the smaller number first


class PairSplit(NamedTuple):
    """Sorted, without a pair in common; every category is in a pair of each."""

    train: tuple[Pair, ...]
    val: tuple[Pair, ...]


def divide_pairs(images: Mapping[Pair, int], *, fraction: float, seed: int) -> PairSplit:
    """Pairs -> those of either partition, of which `val` has at least that fraction of the images; by pair the number
    of its images.

    ValueError, saying why, if there is no such split: every category needs a pair in either partition.
    """
    # DECISION (D4): in an order drawn by the seed, pairs go to validation until it has its share of the images; a pair
    # stays if one of its categories would be left without a training pair. Those that bring a new category go first:
    # the paper says that the partitions share the same categories.
    if not 0 < fraction < 1:
        raise ValueError(f"a validation fraction of {fraction} is none: it lies between 0 and 1")
    pairs = sorted(images)
    order = [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))]
    left = Counter(category for pair in pairs for category in pair)  # training pairs of each
    if lonely := sorted(category for category, count in left.items() if count < 2):
        raise ValueError(
            f"{len(lonely)} of {len(left)} categories are in one pair only, such as {lonely[:4]}: no "
            "pair-disjoint split has them in both partitions"
        )
    val: list[Pair] = []
    there: set[int] = set()
    wanted = fraction * sum(images.values())

    def move(pair: Pair) -> None:
        if min(left[category] for category in pair) > 1:
            left.subtract(pair)
            val.append(pair)
            there.update(pair)

    for pair in order:
        if not there.issuperset(pair):
            move(pair)
    for pair in order:
        if sum(images[one] for one in val) >= wanted:
            break
        if pair not in val:
            move(pair)
    moved = sum(images[pair] for pair in val)
    if missing := sorted(left.keys() - there):
        raise ValueError(f"the categories {missing[:4]} cannot be in both partitions of a pair-disjoint split")
    if moved < wanted:
        raise ValueError(
            f"validation can have {moved} of {sum(images.values())} images, not {fraction:.0%}: more pairs would "
            "leave a category without one in training"
        )
    return PairSplit(tuple(sorted(set(pairs) - set(val))), tuple(sorted(val)))
