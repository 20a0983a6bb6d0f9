"""DBSCAN as HDAP runs it."""

import numpy as np
from sklearn.cluster import DBSCAN

from hdap.clustering.algorithms.base import ClusteringAlgorithm
from hdap.clustering.algorithms.partition import exactly
from hdap.fleet_data.records import Floats, Ints

EPS = 0.5
MIN_SAMPLES = 5


class DbscanClustering(ClusteringAlgorithm):
    """Density at one scale: eps 0.5, min_samples 5 on columns of unit variance (HDAP)."""

    name = "dbscan"

    def fit(self, points: Floats, clusters: int | None, rng: np.random.Generator) -> Ints:
        """Labels (n) of `points` (n x F)."""
        deviation = points.std(axis=0)
        scaled = points / np.where(deviation > 0, deviation, 1.0)
        model = DBSCAN(eps=EPS, min_samples=MIN_SAMPLES)
        labels: Ints = model.fit_predict(scaled).astype(np.int64)
        if clusters is None:
            return labels
        return exactly(points, [labels], clusters, self.name)
