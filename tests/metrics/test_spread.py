"""Variance components: known ones are found again, and where each comes from is told apart."""

import numpy as np
import pytest

from tesserae.metrics.spread import components, estimates

T, S, H = 6, 5, 2


def drawn(rng, training: float, search: float, sampling: float, samples: float):
    """A design with components of these standard deviations; `samples`: of a number of all samples."""
    level = 100 + training * rng.normal(size=(T, 1, 1)) + sampling * rng.normal(size=(T, S, 1))
    parts = level + samples * H**0.5 * rng.normal(size=(T, S, H))
    common = parts.mean(2)
    return parts, common + search * rng.normal(size=(T, 1)), common


@pytest.mark.parametrize(
    "sds", [(3.0, 2.0, 1.0, 0.5), (0.0, 1.0, 0.0, 2.0), (2.0, 0.0, 2.0, 1.0), (0.5, 0.5, 0.5, 3.0)]
)
def test_known_components_are_found(sds):
    rng = np.random.default_rng(0)
    found = [estimates(*drawn(rng, *sds)) for _ in range(3000)]
    for name, sd in zip(("training", "search", "sampling", "samples"), sds, strict=True):
        values = np.array([getattr(each, name) for each in found])
        assert values.mean() == pytest.approx(sd**2, abs=1e-9 + 4.5 * values.std() / 3000**0.5), name


def test_mean_squares_are_those_of_the_textbook():
    parts = np.array([[[1.0, 3.0], [5.0, 7.0]], [[2.0, 2.0], [8.0, 12.0]]])
    found = components(parts, parts.mean(2), parts.mean(2))
    within = (2 + 2 + 0 + 8) / 4  # squares of each part from its sampling's mean; T S (H - 1) = 4
    between = 2 * (2 * 2**2 + 2 * 4**2) / 2  # means 2, 6 and 2, 10; T (S - 1) = 2
    of_trainings = 2 * 2 * 2 * 1.0**2 / 1  # means 4 and 6
    assert found.samples == pytest.approx(within / 2) and found.sampling == pytest.approx((between - within) / 2)
    assert found.training == max(0.0, (of_trainings - between) / 4) == 0.0
    assert found.search == 0.0 and found.total == pytest.approx(found.samples + found.sampling)


def test_one_training_says_nothing_of_trainings():
    parts, own, common = drawn(np.random.default_rng(1), 1.0, 1.0, 1.0, 1.0)
    found = components(parts[:1], own[:1], common[:1])
    assert found.training is None and found.search is None and found.samples > 0
    assert found.shares()["training"] is None and sum(filter(None, found.shares().values())) == pytest.approx(1.0)


def test_what_does_not_vary_has_no_shares():
    found = components(np.ones((2, 2, 2)), np.ones((2, 2)), np.ones((2, 2)))
    assert found.total == 0 and set(found.shares().values()) == {0.0}


def test_one_sampling_or_part_has_no_spread():
    for shape in ((3, 1, 2), (3, 2, 1)):
        with pytest.raises(ValueError, match="two of each"):
            components(np.ones(shape), np.ones(shape[:2]), np.ones(shape[:2]))
