"""A clustering with what its devices, and new ones, sent since; nobody is clustered again.

It is for questions about single devices (which network does it run in time?), between one
clustering and the next. Clusters stay what they are; a device's own factor moves.
"""

from dataclasses import replace

import numpy as np

from hdap.clustering.cluster_drift import (
    CERTAIN,
    MATERIAL,
    device_offsets,
    membership,
    places,
)
from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, Ints, Measurements


def refreshed(
    clustering: ClusteringRecord, measurements: Measurements, new_rows: int
) -> ClusteringRecord:
    """`clustering` with the last `new_rows` of all rows taken in.

    A device whose everyday rows changed beyond noise has the factor of its new rows alone; of
    others the new rows refine it. A device that no cluster knows joins the one whose typical
    latency is nearest, once it has a dense row of a workload that the fleet had before.
    """
    if not new_rows or not len(clustering.device_ids):
        return clustering
    cluster, known, _ = membership(measurements, clustering)
    offsets = device_offsets(measurements, new_rows)
    found = _factors_of_known(clustering, measurements, offsets.change, offsets.error)
    fresh = ~known & np.isfinite(offsets.new)
    if not fresh.any():
        return found
    centre = grouped_median(cluster[known], offsets.old[known], len(clustering.clusters))
    return _with_new(found, measurements, fresh, offsets.new, centre, offsets.error)


def _factors_of_known(
    clustering: ClusteringRecord,
    measurements: Measurements,
    change: Floats,
    error: Floats,
) -> ClusteringRecord:
    known, place = places(measurements, clustering)
    rows = np.flatnonzero(known & np.isfinite(change))
    at = place[rows]
    moved, doubt = change[rows], error[rows]
    before = np.where(np.isfinite(clustering.factor_sd[at]), clustering.factor_sd[at], doubt)
    gone = np.abs(moved) > np.maximum(MATERIAL, CERTAIN * doubt)
    # `doubt` is of the change, so of both; what is refined counts old and new by their doubt
    share = np.where(gone, 1.0, before**2 / (before**2 + doubt**2))
    factor, factor_sd = clustering.factor.copy(), clustering.factor_sd.copy()
    factor[at] *= np.exp(share * moved)
    factor_sd[at] = np.where(gone, doubt, np.sqrt(1.0 - share) * before)
    return replace(clustering, factor=factor, factor_sd=factor_sd)


def _with_new(
    clustering: ClusteringRecord,
    measurements: Measurements,
    fresh: Bools,
    offset: Floats,
    centre: Floats,
    error: Floats,
) -> ClusteringRecord:
    rows = np.flatnonzero(fresh)
    distance = np.abs(offset[rows, None] - np.where(np.isfinite(centre), centre, np.inf)[None, :])
    nearest: Ints = distance.argmin(axis=1)
    unknown = np.full(len(rows), "", dtype=object)
    nothing = np.zeros(len(rows), dtype=np.bool_)
    blank = np.zeros((len(rows), clustering.fingerprint.shape[1]))
    return replace(
        clustering,
        device_ids=np.append(clustering.device_ids, measurements.devices.ids[rows]),
        cluster=np.append(clustering.cluster, nearest),
        outlier=np.append(clustering.outlier, nothing),
        representative=np.append(clustering.representative, nothing),
        factor=np.append(clustering.factor, np.exp(offset[rows] - centre[nearest])),
        factor_sd=np.append(clustering.factor_sd, error[rows]),
        software=np.append(clustering.software, unknown),
        software_before=np.append(clustering.software_before, unknown),
        software_since=np.append(clustering.software_since, np.full(len(rows), np.nan)),
        fingerprint=np.vstack([clustering.fingerprint, blank]),
    )
