"""Which devices of a cluster are asked to measure."""

import numpy as np

from hdap.fleet_data.records import Bools, Floats, Ints

WELL_MEASURED = 0.5
"""Share of the cluster's median number of rows from which a device's place is believed."""


def representatives(
    points: Floats, rows: Floats, cluster: Ints, outlier: Bools, count: int
) -> Bools:
    """The `count` most central devices of each cluster (n), the medoid first; never an outlier.

    Central means close to the cluster's coordinate-wise median, which finds the medoid of a compact
    cluster in linear time. Devices with few rows (n) come after all others: their place is a guess.
    """
    chosen = np.zeros(len(points), dtype=bool)
    for number in range(int(cluster.max(initial=-1)) + 1):
        members = np.flatnonzero((cluster == number) & ~outlier & (rows > 0))
        if len(members) == 0:
            continue
        centre = np.median(points[members], axis=0)
        distance = np.linalg.norm(points[members] - centre, axis=1)
        doubtful = rows[members] < WELL_MEASURED * np.median(rows[members])
        order = np.lexsort((-rows[members], np.round(distance, 9), doubtful))
        chosen[members[order[:count]]] = True
    return chosen
