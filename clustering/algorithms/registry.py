"""All clustering algorithms by name."""

from hdap.clustering.algorithms.base import ClusteringAlgorithm
from hdap.clustering.algorithms.dbscan import DbscanClustering
from hdap.clustering.algorithms.gmm import GaussianMixtureClustering
from hdap.clustering.algorithms.hdbscan import HdbscanClustering
from hdap.clustering.algorithms.kmeans import KMeansClustering
from hdap.fleet_data.plugins import Registry

ALGORITHMS: Registry[type[ClusteringAlgorithm]] = Registry(
    "`algorithm`",
    "clustering",
    {
        "hdbscan": HdbscanClustering,
        "dbscan": DbscanClustering,
        "kmeans": KMeansClustering,
        "gmm": GaussianMixtureClustering,
    },
)
"""Kinds of `ClusteringAlgorithm` by name; another package adds one under `hdap.clustering`."""
