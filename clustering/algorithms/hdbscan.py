"""HDBSCAN: density at every scale, the default."""

import numpy as np
from sklearn.cluster import HDBSCAN

from hdap.clustering.algorithms.base import ClusteringAlgorithm
from hdap.clustering.algorithms.partition import best, exactly
from hdap.fleet_data.records import Floats, Ints

SHARES = (0.002, 0.01, 0.05)
"""Smallest clusters tried, as shares of the points: for fleets of hundreds and more."""
SIZES = (2, 3, 5)
"""Smallest clusters tried, in points: a kind of two devices among sixteen is a kind."""
METHODS = ("eom", "leaf")
"""Excess of mass prefers few clusters; leaves are all peaks, merged where they are not distinct."""
SMALL_FLEET = 200
MOST_NEIGHBOURS = 10


class HdbscanClustering(ClusteringAlgorithm):
    """HDBSCAN (Campello, Moulavi and Sander 2013), excess of mass, one cluster allowed.

    Several smallest cluster sizes are tried and the partition of the least description length
    kept, because no single size serves 16 devices and a million.
    """

    name = "hdbscan"

    def fit(self, points: Floats, clusters: int | None, rng: np.random.Generator) -> Ints:
        """Labels (n) of `points` (n x F)."""
        candidates = [
            _fit(points, size, method) for size in _sizes(len(points)) for method in METHODS
        ]
        if clusters is None:
            return best(points, candidates)
        return exactly(points, candidates, clusters, self.name)


def _sizes(count: int) -> list[int]:
    if count < SMALL_FLEET:
        return [size for size in SIZES if size < count]
    return sorted({max(SIZES[-1], round(share * count)) for share in SHARES})


def _fit(points: Floats, size: int, method: str) -> Ints:
    if np.ptp(points, axis=0).max(initial=0.0) == 0.0:
        return np.zeros(len(points), dtype=np.int64)
    model = HDBSCAN(
        min_cluster_size=size,
        min_samples=min(size, MOST_NEIGHBOURS),
        cluster_selection_method=method,
        allow_single_cluster=True,
        copy=True,
    )
    labels: Ints = model.fit_predict(points).astype(np.int64)
    return labels
