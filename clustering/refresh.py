"""A clustering with what its devices, and new ones, sent since; nobody is clustered again.

It is for questions about single devices (which network does it run in time?), between one
clustering and the next. Clusters stay what they are; a device's own factor moves.
"""

from dataclasses import dataclass, replace

import numpy as np

from hdap.clustering.cluster_drift import (
    CERTAIN,
    MATERIAL,
    device_offsets,
    membership,
    places,
)
from hdap.clustering.device_software import Texts, current_software
from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, Ints, Measurements
from hdap.fleet_data.software import kernels_of


def refreshed(
    clustering: ClusteringRecord, measurements: Measurements, new_rows: int
) -> ClusteringRecord:
    """`clustering` with the last `new_rows` of all rows taken in.

    A device whose everyday rows changed beyond noise has the factor of its new rows alone; of
    others the new rows refine it. A device that no cluster knows joins the one whose typical
    latency is nearest, of those that run its runtime in its precision where there are such, once it
    has a dense row of a workload that the fleet had before. Software is what each runs now.
    """
    if not new_rows or not len(clustering.device_ids):
        return clustering
    cluster, known, _ = membership(measurements, clustering)
    offsets = device_offsets(measurements, new_rows)
    of = places(measurements, clustering)
    found = _factors_of_known(clustering, of, offsets.change, offsets.error)
    software = current_software(measurements)
    found = _with_software(found, of, software)
    fresh = ~known & np.isfinite(offsets.new)
    if not fresh.any():
        return found
    centre = grouped_median(cluster[known], offsets.old[known], len(clustering.clusters))
    rows = np.flatnonzero(fresh)
    new = _New(
        measurements.devices.ids[rows], offsets.new[rows], offsets.error[rows], software[rows]
    )
    return _with_new(found, new, centre)


def _with_software(
    clustering: ClusteringRecord, of: tuple[Bools, Ints], software: Texts
) -> ClusteringRecord:
    known, place = of
    told = known & (software != "")
    runs = clustering.software.copy()
    runs[place[told]] = software[told]
    return replace(clustering, software=runs)


def _factors_of_known(
    clustering: ClusteringRecord, of: tuple[Bools, Ints], change: Floats, error: Floats
) -> ClusteringRecord:
    known, place = of
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


@dataclass(frozen=True)
class _New:
    """Devices that no cluster knows: names, log latencies, their errors, and what they run."""

    ids: Texts
    offset: Floats
    error: Floats
    software: Texts


def _with_new(clustering: ClusteringRecord, new: _New, centre: Floats) -> ClusteringRecord:
    count = len(new.ids)
    distance = np.abs(new.offset[:, None] - np.where(np.isfinite(centre), centre, np.inf)[None, :])
    alike = np.where(_alike(clustering, new.software), distance, np.inf)
    some = np.isfinite(alike).any(axis=1, keepdims=True)
    nearest: Ints = np.where(some, alike, distance).argmin(axis=1)
    nothing = np.zeros(count, dtype=np.bool_)
    blank = np.zeros((count, clustering.fingerprint.shape[1]))
    before = np.full(count, "", dtype=object)
    return replace(
        clustering,
        device_ids=np.append(clustering.device_ids, new.ids),
        cluster=np.append(clustering.cluster, nearest),
        outlier=np.append(clustering.outlier, nothing),
        representative=np.append(clustering.representative, nothing),
        factor=np.append(clustering.factor, np.exp(new.offset - centre[nearest])),
        factor_sd=np.append(clustering.factor_sd, new.error),
        software=np.append(clustering.software, new.software),
        software_before=np.append(clustering.software_before, before),
        software_since=np.append(clustering.software_since, np.full(count, np.nan)),
        fingerprint=np.vstack([clustering.fingerprint, blank]),
    )


def _alike(clustering: ClusteringRecord, software: Texts) -> Bools:
    """Which clusters run what each of n devices does, as far as both say: `n x K`."""
    kinds = [
        {kernels_of(text) for text in set(clustering.software[clustering.cluster == k])}
        for k in range(len(clustering.clusters))
    ]

    def fits(text: str) -> list[bool]:
        own = kernels_of(text)
        return [
            any(all(a == b or "" in (a, b) for a, b in zip(own, one, strict=True)) for one in kind)
            for kind in kinds
        ]

    known = {text: fits(text) for text in set(software)}
    return np.array([known[text] for text in software], dtype=np.bool_)
