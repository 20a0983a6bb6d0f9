"""Clusters of a whole fleet from the fingerprints, and which devices stand for each.

Clusters are fitted on some devices; the rest are assigned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdap.clustering.algorithms.base import ClusteringAlgorithm
from hdap.clustering.algorithms.partition import nearest, reaches
from hdap.clustering.apart_by_software import kept_apart
from hdap.fleet_data.records import Bools, Floats, Ints

FITTED_DEVICES = 10_000
"""Density clustering takes time with the square of devices: a kind of 0.1 % still has ten here."""
LEAST_DEVICES = 3
CHUNK = 200_000
WELL_MEASURED = 0.5
"""Share of the cluster's median number of rows from which a device's place is believed."""


@dataclass(frozen=True)
class Groups:
    """Cluster of each point (n, 0..K-1; an outlier has its nearest), and which are outliers (n)."""

    cluster: Ints
    outlier: Bools


def group_points(
    points: Floats,
    algorithm: ClusteringAlgorithm,
    clusters: int | None,
    rng: np.random.Generator,
    software: Sequence[Ints] = (),
) -> Groups:
    """Group n >= 1 fingerprints (n x F); fewer than three, who cannot be told apart, as one.

    Where no number of `clusters` is asked for, devices of other codes in a column of `software` (n
    each, 0: unknown) are kept apart (`apart_by_software`).
    """
    groups = _grouped(points, algorithm, clusters, rng)
    if clusters is not None:
        return groups
    return Groups(*kept_apart(points, groups.cluster, groups.outlier, software))


def _grouped(
    points: Floats,
    algorithm: ClusteringAlgorithm,
    clusters: int | None,
    rng: np.random.Generator,
) -> Groups:
    count = len(points)
    if clusters is None and count < LEAST_DEVICES:
        return Groups(np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool))
    fitted = points
    if count > FITTED_DEVICES:
        fitted = points[np.sort(rng.choice(count, FITTED_DEVICES, replace=False))]
    labels = algorithm.fit(fitted, clusters, rng)
    known = labels >= 0
    if not known.any():
        # No two devices are alike enough: the fleet as a whole is the one group there is.
        return Groups(np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool))
    members, numbers = fitted[known], labels[known]
    if count <= FITTED_DEVICES:
        cluster = labels.copy()
        if not known.all():
            cluster[~known], _ = nearest(points[~known], members, numbers)
        return Groups(cluster, ~known)
    return _assign(points, members, numbers)


def _assign(points: Floats, members: Floats, numbers: Ints) -> Groups:
    reach = reaches(members, numbers)
    cluster = np.empty(len(points), dtype=np.int64)
    outlier = np.empty(len(points), dtype=bool)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        cluster[part], distance = nearest(points[part], members, numbers)
        outlier[part] = distance > reach[cluster[part]]
    return Groups(cluster, outlier)


def choose_representatives(
    points: Floats,
    rows: Floats,
    cluster: Ints,
    outlier: Bools,
    count: int,
    standing: Bools | None = None,
) -> Bools:
    """The `count` most central devices of each cluster (n), the medoid first; never an outlier.

    Central means close to the cluster's coordinate-wise median, which finds the medoid of a compact
    cluster in linear time. Devices with few rows (n) come after all others: their place is a guess.
    Those `standing` (n), which represent already and have measured, come before all others: what
    they measured goes on being compared with what they measure next.
    """
    if standing is None:
        standing = np.zeros(len(points), dtype=bool)
    chosen = np.zeros(len(points), dtype=bool)
    for number in range(int(cluster.max(initial=-1)) + 1):
        members = np.flatnonzero((cluster == number) & ~outlier & (rows > 0))
        if len(members) == 0:
            continue
        centre = np.median(points[members], axis=0)
        distance = np.linalg.norm(points[members] - centre, axis=1)
        doubtful = rows[members] < WELL_MEASURED * np.median(rows[members])
        fresh = ~standing[members] | doubtful
        order = np.lexsort((-rows[members], np.round(distance, 9), doubtful, fresh))
        chosen[members[order[:count]]] = True
    return chosen
