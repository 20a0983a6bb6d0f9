"""Which runtime and precision each cluster is of: whose measurements teach whose latency."""

import numpy as np

from hdap.fleet_data.records import ClusteringRecord
from hdap.fleet_data.software import kernels_of


def cluster_states(clustering: ClusteringRecord) -> tuple[str, ...]:
    """Runtime family and precision of each of K clusters (`openvino bfloat16`; "": nobody said).

    A cluster that mixes some, because a number of clusters was asked for, is a state of its own.
    """
    found = []
    for number in range(len(clustering.clusters)):
        texts = np.unique(clustering.software[clustering.cluster == number].astype(str)).tolist()
        names = {" ".join(filter(None, kernels_of(text))) for text in texts}
        found.append(" and ".join(sorted(names - {""})))
    return tuple(found)
