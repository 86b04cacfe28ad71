"""How far points with labels form clusters: two numbers, and a picture (ConceptTok, Fig. 4).

Shapes: N points, D features.
"""

from typing import NamedTuple

import numpy as np


class Clusters(NamedTuple):
    """Clusters of labels in a space of features."""

    silhouette: float  # in [-1, 1], mean over points, of cosine distances; 0: no clusters
    purity: float  # fraction of a point's neighbours with its label, mean over points
    chance: float  # of the purity, if labels were drawn at random
    neighbours: int


def reduce(features: np.ndarray, components: int = 50) -> np.ndarray:
    """Features (N, D) on their first principal components: (N, at most `components`), centred."""
    from sklearn.decomposition import PCA

    return PCA(min(components, *features.shape), svd_solver="full").fit_transform(features)


def measure(reduced: np.ndarray, labels: np.ndarray, neighbours: int = 10) -> Clusters:
    """Silhouette and k-NN purity of points (N, P) with labels (N,).

    Raises ValueError for fewer than two labels, and if each point has its own.
    """
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    sizes = np.unique(labels, return_counts=True)[1]
    if not 2 <= len(sizes) < len(labels):
        raise ValueError(f"{len(labels)} points with {len(sizes)} labels have no clusters")
    # DECISION: neighbours by cosine distance, as the silhouette; the paper shows a picture only.
    neighbours = min(neighbours, len(labels) - 1)
    near = NearestNeighbors(n_neighbors=neighbours, metric="cosine").fit(reduced).kneighbors(return_distance=False)
    return Clusters(
        float(silhouette_score(reduced, labels, metric="cosine")),
        float((labels[near] == labels[:, None]).mean()),
        float((sizes * (sizes - 1)).sum() / (len(labels) * (len(labels) - 1))),
        neighbours,
    )


def tsne(reduced: np.ndarray, *, perplexity: float = 30.0, iterations: int = 1000, seed: int = 0) -> np.ndarray:
    """Points (N, P) in a plane, float32 (N, 2), begun at their first two principal components."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # DECISION: perplexity 30 where there are points enough; it must be below their number, and makes sense up to a
    # third of it.
    perplexity = min(perplexity, (len(reduced) - 1) / 3)
    with threadpool_limits(1):  # sums over several threads come in no fixed order
        return TSNE(perplexity=perplexity, max_iter=iterations, init="pca", random_state=seed).fit_transform(reduced)
