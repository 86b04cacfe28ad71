"""Labels and seeds of samples: every class equally often, streams that never meet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae.stages.shared.sampling import FINAL, SEARCH, labels_of, seeds_of


@given(st.integers(1, 500), st.integers(1, 50))
def test_labels_are_cycled(count, classes):
    labels = labels_of(count, classes, "cycled", 0)
    assert len(labels) == count and labels.dtype == np.int64
    counts = np.bincount(labels, minlength=classes)
    assert counts.max() - counts.min() <= 1


@given(st.integers(1, 500), st.integers(1, 50), st.integers(0, 9))
def test_labels_are_drawn(count, classes, seed):
    labels = labels_of(count, classes, "random", seed)
    assert len(labels) == count and labels.min() >= 0 and labels.max() < classes
    assert np.array_equal(labels, labels_of(count, classes, "random", seed))
    many = labels_of(4000, 4, "random", seed)
    assert (np.abs(np.bincount(many) - 1000) < 150).all()  # five deviations
    with pytest.raises(ValueError, match="cycled or random"):
        labels_of(count, classes, "sorted", seed)


@given(st.integers(0, 100), st.integers(1, 300))
def test_seeds_are_distinct_and_streams_do_not_meet(seed, count):
    final, search = seeds_of(seed, FINAL, count), seeds_of(seed, SEARCH, count)
    assert len({*final, *search}) == 2 * count
    assert final == seeds_of(seed, FINAL, count)
    assert set(final).isdisjoint(seeds_of(seed + 1, FINAL, count))
