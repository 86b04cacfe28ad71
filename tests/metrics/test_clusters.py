"""Clusters: against independent formulas, and on cases with a known answer."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from tesserae.metrics.clusters import measure, reduce, tsne


def blobs(apart: float, count: int = 20, width: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), count)
    centres = apart * np.eye(3, width)[labels]
    return centres + rng.standard_normal((3 * count, width)), labels


def test_both_numbers_are_those_of_their_definitions():
    points, labels = blobs(4.0)
    reduced = reduce(points)
    distances = cdist(reduced, reduced, "cosine")
    np.fill_diagonal(distances, np.nan)
    own = np.array([np.nanmean(distances[i, labels == labels[i]]) for i in range(60)])
    other = np.array([min(distances[i, labels == c].mean() for c in range(3) if c != labels[i]) for i in range(60)])
    near = np.argsort(np.nan_to_num(distances, nan=9.0), axis=1)[:, :10]
    found = measure(reduced, labels)
    assert found.silhouette == pytest.approx(np.mean((other - own) / np.maximum(own, other)), abs=1e-9)
    assert found.purity == pytest.approx((labels[near] == labels[:, None]).mean())
    assert found.chance == pytest.approx(3 * 20 * 19 / (60 * 59))
    assert found.neighbours == 10


def test_blobs_are_clusters_and_noise_is_none():
    points, labels = blobs(100.0)
    apart, noise = measure(reduce(points), labels), measure(reduce(blobs(0.0)[0]), labels)
    assert apart.silhouette > 0.95 and apart.purity == 1.0
    assert noise.silhouette == pytest.approx(0, abs=0.05) and noise.purity == pytest.approx(noise.chance, abs=0.1)


def test_components_are_centred_and_ordered_and_no_more_than_there_are():
    points, _ = blobs(10.0)
    reduced = reduce(points + 7)
    assert reduced.shape == (60, 50)
    assert reduced.mean(axis=0) == pytest.approx(np.zeros(50), abs=1e-9)
    assert (np.diff(reduced.var(axis=0)) <= 1e-9).all()
    assert reduce(points[:5]).shape == (5, 5) and reduce(points, 2).shape == (60, 2)
    np.testing.assert_allclose(cdist(reduce(points, 60), reduce(points, 60)), cdist(points, points), atol=1e-9)


def test_few_points_have_fewer_neighbours_and_lone_labels_no_clusters():
    found = measure(np.random.default_rng(0).standard_normal((4, 3)), np.array([0, 0, 1, 1]))
    assert found.neighbours == 3 and found.purity == pytest.approx(1 / 3)
    for labels in (np.zeros(4), np.arange(4)):
        with pytest.raises(ValueError, match=r"4 points with [14] labels have no clusters"):
            measure(np.eye(4), labels)


def test_tsne_keeps_neighbours_together_and_repeats_itself():
    points, labels = blobs(100.0, count=10)
    plane = tsne(reduce(points), iterations=300)
    assert plane.shape == (30, 2) and plane.dtype == np.float32
    distances = cdist(plane, plane) + np.diag(np.full(30, np.inf))
    assert (labels[distances.argmin(axis=1)] == labels).all()
    assert (plane == tsne(reduce(points), iterations=300)).all()
