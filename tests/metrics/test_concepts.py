"""Sets of concepts: overlap, priors, choice and retrieval, on cases with a known answer."""

import numpy as np
import pytest

from tesserae.data.ragged import Ragged
from tesserae.metrics.concepts import (
    class_prior,
    f1,
    members,
    prior,
    purest,
    ranking,
    spread,
    typical_words,
    within,
)


def ragged(*rows: list[int]) -> Ragged:
    return Ragged(np.cumsum([0, *map(len, rows)]), np.array([i for row in rows for i in row], np.int32))


def test_f1_of_equal_disjoint_half_and_smaller_sets():
    truth = ragged([3, 1, 2, 0], [4, 5, 6, 7], [0, 9, 2, 8], [1], [])
    predicted = np.tile([0, 1, 2, 3], (5, 1))
    assert f1(predicted, truth) == pytest.approx([1.0, 0.0, 0.5, 2 / 5, 0.0])
    with pytest.raises(ValueError, match="4 predictions for the concepts of 5 images"):
        f1(predicted[:4], truth)


def test_f1_is_that_of_sets_counted_one_by_one():
    rng = np.random.default_rng(0)
    rows = [rng.permutation(24_576)[: rng.integers(0, 129)].tolist() for _ in range(50)]
    predicted = np.stack([rng.permutation(300)[:128] if i % 2 else rng.permutation(24_576)[:128] for i in range(50)])
    predicted[7, : len(rows[7])] = rows[7]  # at least one pair overlaps
    predicted[7, len(rows[7]) :] = np.setdiff1d(np.arange(24_576), rows[7])[: 128 - len(rows[7])]
    by_hand = [2 * len(set(a) & set(b)) / (len(a) + len(b)) for a, b in zip(predicted.tolist(), rows, strict=True)]
    assert f1(predicted, ragged(*rows)) == pytest.approx(by_hand)
    assert max(by_hand) > 0


def test_where_both_have_k_concepts_f1_is_their_overlap():
    """The sheet's identity: with 128 on both sides it is overlap / 128, whatever their order."""
    overlap = np.arange(0, 129, 16)
    predicted = np.tile(np.arange(128), (len(overlap), 1))
    truth = ragged(*[list(range(128 - n, 256 - n))[::-1] for n in overlap])
    assert f1(predicted, truth) == pytest.approx(overlap / 128)


def test_members_are_those_that_name_the_concept():
    sets = ragged([5, 2], [], [2], [9])
    assert members(sets, np.array([2, 7, 5])).tolist() == [
        [True, False, True],
        [False, False, False],
        [True, False, False],
        [False, False, False],
    ]


def test_priors_are_the_commonest_and_fall_back_on_all_images():
    class_counts = np.array([[3, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 9, 2, 0, 2]])
    assert prior(class_counts.sum(axis=0), 3).tolist() == [1, 0, 2]  # of equals the first
    found = class_prior(class_counts, 3)
    assert found.tolist() == [[0, 2, 3], [1, 0, 2], [1, 2, 4]]


def test_frequencies_have_limits_that_are_shares_of_images():
    counts = np.array([0, 1, 5, 50, 51, 1000])
    assert within(counts, 1000, (0.001, 0.05)).tolist() == [1, 2, 3]
    assert within(counts, 10, (0.001, 0.5)).tolist() == [1, 2]  # a concept of no image has no frequency
    assert spread(np.arange(10, 20), 4).tolist() == [10, 13, 16, 19]
    assert spread(np.arange(3), 200).tolist() == [0, 1, 2]
    assert spread(np.arange(0), 200).tolist() == []


def test_the_purest_of_each_class_come_first_and_rarity_is_no_purity():
    class_counts = np.array(
        [  # concepts: pure and common, a single image, pure and rarer, mixed, of class 1, everywhere
            [40, 1, 30, 20, 0, 500],
            [0, 0, 0, 20, 20, 500],
        ]
    )
    found = purest(class_counts, 1000, (0.001, 0.05), 8)
    assert found.tolist() == [0, 4, 2, 3, 1]  # 40/48 and, of class 1, 20/28; then 30/38, 20/48 and 1/9 of class 0
    assert purest(class_counts, 1000, (0.001, 0.03), 8).tolist() == [2, 4, 1]


# ---- ranking ---------------------------------------------------------------------------------------------------


def test_perfect_and_worst_rankings():
    having = np.zeros((100, 2), bool)
    having[:8, 0] = having[-8:, 1] = True
    scores = np.stack([np.arange(100)] * 2, axis=1).astype(float)
    perfect = ranking(np.stack([-scores[:, 0], scores[:, 1]], axis=1), having)
    assert perfect == (pytest.approx(1.0), 1.0, pytest.approx(0.08))
    worst = ranking(np.stack([scores[:, 0], -scores[:, 1]], axis=1), having)
    by_hand = np.mean([n / (92 + n) for n in range(1, 9)])
    assert worst == (pytest.approx(by_hand), 0.0, pytest.approx(0.08))


def test_precision_counts_the_first_images_and_chance_is_the_mean_frequency():
    having = np.array([[True, False], [False, False], [True, True], [False, False]])
    found = ranking(np.array([[4.0, 4.0], [3.0, 3.0], [2.0, 2.0], [1.0, 1.0]]), having, first=2)
    assert found == (pytest.approx(np.mean([(1 + 2 / 3) / 2, 1 / 3])), pytest.approx(0.25), pytest.approx(3 / 8))


def test_scores_that_know_nothing_are_at_chance():
    rng = np.random.default_rng(0)
    having = rng.random((2000, 50)) < 0.05
    found = ranking(rng.random((2000, 50)), having)
    assert found.chance == pytest.approx(0.05, abs=0.003)
    assert found.average_precision == pytest.approx(found.chance, abs=0.01)
    assert found.precision == pytest.approx(found.chance, abs=0.04)  # 400 images: a deviation of 0.011


@pytest.mark.parametrize("having", [np.zeros((5, 0), bool), np.array([[True, False]] * 5)])
def test_concepts_that_no_image_has_cannot_be_ranked(having):
    with pytest.raises(ValueError, match="concepts that some image has"):
        ranking(np.zeros(having.shape), having)


# ---- names -----------------------------------------------------------------------------------------------------


def test_typical_words_are_common_here_and_rare_elsewhere():
    everything = ["a red flag", "a blue flag", "a red apple", "a green apple", "a cat", "a grinning cat"]
    assert typical_words(everything[:2], everything) == ["flag"]  # "a" is everywhere, "blue" in one of two
    assert typical_words(everything[2:4], everything, most=1) == ["apple"]
    assert typical_words([everything[5], "Flag: Ålesund"], [*everything, "Flag: Ålesund"]) == [
        "grinning",
        "ålesund",
        "cat",
    ]  # nothing in common: the rarest words of all


def test_words_that_say_nothing_are_no_name():
    assert typical_words(["a", "a"], ["a", "a", "a"]) == []
