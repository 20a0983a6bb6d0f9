"""K-means: round clusters, every device in one."""

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from hdap.clustering.algorithms.base import ClusteringAlgorithm
from hdap.clustering.algorithms.partition import best
from hdap.fleet_data.records import Floats, Ints

MOST_CLUSTERS = 8
STARTS = 5


class KMeansClustering(ClusteringAlgorithm):
    """Lloyd's k-means; the number chosen by the description length of the settled partition."""

    name = "kmeans"

    def fit(self, points: Floats, clusters: int | None, rng: np.random.Generator) -> Ints:
        """Labels (n) of `points` (n x F)."""
        seed = int(rng.integers(2**31))
        if clusters is not None:
            return _fit(points, clusters, seed)
        distinct = len(np.unique(points, axis=0))
        numbers = range(1, min(MOST_CLUSTERS, distinct) + 1)
        return best(points, [_fit(points, number, seed) for number in numbers])


def _fit(points: Floats, clusters: int, seed: int) -> Ints:
    model = KMeans(clusters, n_init=STARTS, random_state=seed)
    # One thread: sums in one order, the same on any machine, and no waiting for busy cores.
    with threadpool_limits(1):
        labels: Ints = model.fit_predict(points).astype(np.int64)
    return labels
