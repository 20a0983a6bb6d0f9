"""All clustering algorithms by name."""

from collections.abc import Callable

from hdap.clustering.algorithms.base import ClusteringAlgorithm
from hdap.clustering.algorithms.dbscan import DbscanClustering
from hdap.clustering.algorithms.gmm import GaussianMixtureClustering
from hdap.clustering.algorithms.hdbscan import HdbscanClustering
from hdap.clustering.algorithms.kmeans import KMeansClustering
from hdap.fleet_data.errors import InputError

ALGORITHMS: dict[str, Callable[[], ClusteringAlgorithm]] = {
    "hdbscan": HdbscanClustering,
    "dbscan": DbscanClustering,
    "kmeans": KMeansClustering,
    "gmm": GaussianMixtureClustering,
}


def make_algorithm(name: str) -> ClusteringAlgorithm:
    """The algorithm called `name`; InputError with the names there are for any other."""
    if name not in ALGORITHMS:
        known = ", ".join(f"`{n}`" for n in ALGORITHMS)
        raise InputError(
            f"`algorithm` must be one of {known}, but got {name!r}. Choose one of these."
        )
    return ALGORITHMS[name]()
