"""MC: cases with a known answer, who is paired with whom, and what is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.metrics.mode_connectivity import (
    POINTS,
    Pairs,
    connectivities,
    connectivity,
    distance_to_real,
    first_of_classes,
    path_losses,
    realism_loss,
    similar_pairs,
)


def images_of(vectors):
    """One value of an image per vector."""
    return vectors.mean(dim=(1, 2)).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def far_from(*modes):
    """A judge to whom images are the more real the closer they are to one of some grey levels."""

    def judge(images):
        level = images.mean(dim=(1, 2, 3))
        return 0.1 + torch.stack([(level - mode).abs() for mode in modes]).amin(dim=0)

    return judge


def ends(first, second):
    return torch.tensor(first).view(-1, 1, 1), torch.tensor(second).view(-1, 1, 1)


def test_a_wall_between_two_modes_and_a_plain_without_one():
    first, second = ends([-0.5, 0.0], [0.5, 0.0])
    walls = path_losses(images_of, far_from(-0.5, 0.5), first, second)
    assert walls.shape == (2, POINTS)
    np.testing.assert_allclose(walls[0, [0, 5, 10]], [0.1, 0.6, 0.1], rtol=1e-5)
    assert connectivities(walls)[0].item() == pytest.approx(1 / 6, rel=1e-4)
    plain = path_losses(images_of, lambda images: torch.full((len(images),), 0.3), first, second)
    assert connectivities(plain).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_the_better_end_is_the_measure_even_of_a_line_without_a_wall():
    first, second = ends([0.0], [0.4])
    losses = path_losses(images_of, far_from(0.0), first, second)
    assert connectivities(losses).item() == pytest.approx(0.1 / 0.5, rel=1e-4)


@given(
    st.lists(st.lists(st.floats(0, 50), min_size=2, max_size=12), min_size=1, max_size=5).filter(
        lambda rows: len({len(row) for row in rows}) == 1
    )
)
@settings(max_examples=50, deadline=None)
def test_it_lies_between_0_and_1_and_knows_no_direction(rows):
    losses = torch.tensor(rows, dtype=torch.float64)
    found = connectivities(losses)
    assert ((found >= 0) & (found <= 1)).all() and torch.equal(found, connectivities(losses.flip(1)))


def test_images_are_clipped_before_they_are_judged():
    seen = []
    path_losses(
        lambda z: 5 * images_of(z), lambda x: (seen.append(x), x.mean(dim=(1, 2, 3)) + 1)[1], *ends([-1.0], [1.0])
    )
    assert torch.cat(seen).amin() == -1 and torch.cat(seen).amax() == 1


def test_means_within_and_across_classes():
    losses = torch.tensor([[1.0, 1.0], [1.0, 2.0], [1.0, 4.0], [1.0, 1.0]], dtype=torch.float64)
    pairs = Pairs(np.arange(4), np.arange(4), np.array([True, False, True, False]))
    found = connectivity(losses, pairs)
    assert found.mc == pytest.approx((1 + 0.5 + 0.25 + 1) / 4, abs=1e-5)
    assert (found.same_class, found.cross_class) == (pytest.approx(0.625, abs=1e-5), pytest.approx(0.75, abs=1e-5))
    assert connectivity(losses, pairs._replace(same_class=None))[1:] == (None, None)


@pytest.mark.parametrize(
    ("bad", "error", "says"), [(math.nan, FloatingPointError, "not finite"), (-1.0, ValueError, "below 0")]
)
def test_what_has_no_ratio_is_refused(bad, error, says):
    losses = torch.tensor([[1.0, 1.0], [bad, 2.0]], dtype=torch.float64)
    with pytest.raises(error, match=says):
        connectivity(losses, Pairs(np.arange(2), np.arange(2), np.array([True, False])))


# ---- pairs ------------------------------------------------------------------------------------------------------

ANGLES = np.array([0.0, 0.1, 0.3, 1.0, 0.0, 1.2])  # image 4 shows what image 0 shows
FEATURES = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1) * np.arange(1, 7)[:, None]
LABELS = np.array([7, 2, 7, 2, 2, 7])


def test_an_anchor_has_a_neighbour_of_its_class_and_one_of_another():
    anchors = first_of_classes(LABELS, len(np.unique(LABELS)))
    assert anchors.tolist() == [1, 0]
    pairs = similar_pairs(FEATURES, LABELS, anchors)
    assert list(zip(pairs.first, pairs.second, strict=True)) == [(1, 4), (1, 0), (0, 2), (0, 1)]
    assert pairs.same_class.tolist() == [True, False, True, False]


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=30), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_images_are_the_first_of_each_class_in_turn(labels, count):
    labels = np.array(labels)
    chosen = first_of_classes(labels, count)
    assert len(set(chosen.tolist())) == len(chosen) == min(count, len(labels))
    counts = np.bincount(labels[chosen] + 1, minlength=6)
    if (labels >= 0).any():
        there = np.bincount(labels + 1, minlength=6)
        assert all(counts[c] in (there[c], counts.max(), counts.max() - 1) for c in range(6))
        for label in np.unique(labels):
            assert (
                sorted(chosen[labels[chosen] == label]) == np.flatnonzero(labels == label)[: counts[label + 1]].tolist()
            )


def test_images_of_a_set_without_classes_are_evenly_spread():
    assert first_of_classes(np.full(9, -1), 3).tolist() == [0, 4, 8]


def test_tokens_of_different_numbers_have_no_line_between_them():
    with pytest.raises(ValueError, match="no line joins tokens"):
        path_losses(images_of, far_from(0.0), torch.zeros(2, 3, 1), torch.zeros(2, 4, 1))


def test_without_labels_the_two_nearest_ones():
    pairs = similar_pairs(FEATURES, None, np.array([0]))
    assert pairs.second.tolist() == [1, 2] and pairs.same_class is None


@pytest.mark.parametrize(
    ("labels", "anchors", "says"),
    [(np.zeros(6, int), [0], "at least two classes"), (np.array([0, 1, 1, 1, 1, 1]), [0], "image 0 has no other one")],
)
def test_sets_without_pairs_are_refused(labels, anchors, says):
    with pytest.raises(ValueError, match=says):
        similar_pairs(FEATURES, labels, np.array(anchors))


# ---- judges -----------------------------------------------------------------------------------------------------


def test_as_real_as_real_is_ln_2_and_more_real_is_less():
    real = torch.tensor([1.0, 3.0])
    found = realism_loss(torch.tensor([2.0, 5.0, -40.0]), real)
    assert (
        found[0].item() == pytest.approx(math.log(2)) and found[1] < found[0] and found[2].item() == pytest.approx(42)
    )


def test_real_images_are_at_no_distance_from_themselves():
    real = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert distance_to_real(2 * real, real).max() < 1e-6
    assert distance_to_real(-real[:1], real[:1]).item() == pytest.approx(2)
