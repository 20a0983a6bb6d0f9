"""Gaussian mixture: elliptic clusters of different sizes."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from hdap.clustering.algorithms.base import ClusteringAlgorithm
from hdap.clustering.algorithms.partition import best
from hdap.fleet_data.records import Floats, Ints

MOST_CLUSTERS = 8
STARTS = 3
LEAST_VARIANCE = 0.25
"""Added to each variance: half of a unit is as tight as a kind is believed to be."""


class GaussianMixtureClustering(ClusteringAlgorithm):
    """Diagonal Gaussian mixture; the number chosen by the description length once settled."""

    name = "gmm"

    def fit(self, points: Floats, clusters: int | None, rng: np.random.Generator) -> Ints:
        """Labels (n) of `points` (n x F)."""
        seed = int(rng.integers(2**31))
        if clusters is not None:
            return _filled(points, _fit(points, clusters, seed), clusters, seed)
        distinct = len(np.unique(points, axis=0))
        numbers = range(1, min(MOST_CLUSTERS, distinct) + 1)
        return best(
            points,
            [np.unique(_fit(points, number, seed), return_inverse=True)[1] for number in numbers],
        )


def _fit(points: Floats, clusters: int, seed: int) -> Ints:
    model = GaussianMixture(
        clusters,
        covariance_type="diag",
        reg_covar=LEAST_VARIANCE,
        n_init=STARTS,
        max_iter=200,
        random_state=seed,
    )
    # One thread: sums in one order, the same on any machine, and no waiting for busy cores.
    with threadpool_limits(1):
        labels: Ints = model.fit_predict(points).astype(np.int64)
    return labels


def _filled(points: Floats, labels: Ints, clusters: int, seed: int) -> Ints:
    """A mixture may leave a component without points; the start that it was given has none such."""
    if len(np.unique(labels)) == clusters:
        return labels
    start = KMeans(clusters, n_init=STARTS, random_state=seed)
    again: Ints = start.fit_predict(points).astype(np.int64)
    return again
