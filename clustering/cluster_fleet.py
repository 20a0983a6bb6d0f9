"""From measurements to a clustering: the whole way in one function."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from hdap.clustering.algorithms.registry import ALGORITHMS
from hdap.clustering.apart_by_software import kernel_codes
from hdap.clustering.describe import describe
from hdap.clustering.device_software import (
    current_software,
    runs_current,
    software_columns,
    software_history,
)
from hdap.clustering.fingerprint import Fingerprint, fingerprint
from hdap.clustering.group_devices import Groups, choose_representatives, group_points
from hdap.clustering.grouping import grouped_count, weighted_median
from hdap.clustering.stability import Progress, Stability, stability
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.records import (
    Bools,
    ClusteringRecord,
    ClusterRecord,
    Devices,
    Floats,
    Ints,
    Measurements,
    TextColumn,
)


def cluster(
    measurements: Measurements,
    *,
    algorithm: str = "hdbscan",
    clusters: int | None = None,
    seed: int = 0,
    created_at: datetime,
    measurement_mark: int,
    resamples: int = 20,
    representatives: int = 3,
    memory_boundness: Floats | None = None,
    standing: Bools | None = None,
    progress: Progress | None = None,
) -> ClusteringRecord:
    """Group devices that behave alike.

    Clusters are numbered from the fastest to the slowest. A device's `factor` is its latency over
    the weighted median of its cluster's devices (outliers left out of the median). Devices without
    a row join the cluster with the largest share of weight, at factor 1.
    `memory_boundness` (a number a configuration, say log bytes per multiply-accumulate, NaN where
    unknown) gives slopes a meaning; without it they are found in the data, where there are any.
    A device is described by the rows of what it runs now (`device_software`), and no cluster is of
    two runtimes or precisions unless `clusters` says how many there are (`apart_by_software`).
    Devices that are `standing` (one a device) represent their cluster before others do.
    `progress` is called with resamples done and in all.

    Raises InputError for an unknown algorithm or an impossible `clusters` or `representatives`,
    NotEnoughDataError where there is no measurement or fewer kinds than asked for.
    """
    chosen = ALGORITHMS[algorithm]()
    measured = grouped_count(measurements.device, len(measurements.devices.ids)) > 0
    _check(measurements, clusters, representatives, resamples, int(measured.sum()))
    _check_boundness(measurements, memory_boundness)
    software = current_software(measurements)
    rows = runs_current(measurements, software) & measurements.rested
    columns = software_columns(software)
    history = software_history(measurements, software)
    measurements = measurements if rows.all() else measurements.at(rows)
    fit_rng, resample_rng = np.random.default_rng(seed).spawn(2)
    prints = fingerprint(measurements, fit_rng, memory_boundness, columns)
    points = _informative(prints.standard)
    kernels = [codes[measured] for codes in kernel_codes(software)]
    groups = group_points(points[measured], chosen, clusters, fit_rng, kernels)
    groups = _from_fastest(groups, prints.offset[measured], measurements.devices.weights[measured])
    steady = stability(
        points[measured],
        groups.cluster,
        chosen,
        clusters,
        resamples,
        resample_rng,
        progress,
        kernels,
    )
    groups = _with_unmeasured(groups, measured, measurements.devices.weights)
    records, factor = _summarise(prints, groups, measured, measurements.devices, steady, columns)
    return ClusteringRecord(
        algorithm=algorithm,
        parameters={
            "clusters": clusters,
            "resamples": resamples,
            "representatives": representatives,
            "memory_boundness": memory_boundness is not None,
        },
        seed=seed,
        created_at=created_at,
        measurement_mark=measurement_mark,
        stability=steady.overall,
        device_ids=measurements.devices.ids,
        cluster=groups.cluster,
        outlier=groups.outlier,
        representative=choose_representatives(
            points, prints.rows, groups.cluster, groups.outlier, representatives, standing
        ),
        factor=factor,
        factor_sd=np.where(measured, prints.offset_sd, np.nan),
        software=software,
        software_before=history.before,
        software_since=history.since,
        features=prints.names,
        fingerprint=prints.standard,
        clusters=records,
    )


def _check(
    measurements: Measurements,
    clusters: int | None,
    representatives: int,
    resamples: int,
    measured: int,
) -> None:
    if len(measurements) == 0:
        raise NotEnoughDataError(
            "Clustering needs at least one measurement, but the store has none. "
            "Load telemetry first: `hdap ingest FILE`."
        )
    if clusters is not None and clusters < 1:
        raise InputError(f"`clusters` must be at least 1, but got {clusters=}. Leave it out?")
    if clusters is not None and clusters > measured:
        raise NotEnoughDataError(
            f"`clusters` must not exceed the devices measured, but got {clusters=} and "
            f"{measured} devices. Ask for fewer or ingest telemetry of more devices."
        )
    if representatives < 1 or resamples < 0:
        raise InputError(
            "`representatives` must be at least 1 and `resamples` at least 0, but got "
            f"{representatives=} and {resamples=}."
        )


def _check_boundness(measurements: Measurements, memory_boundness: Floats | None) -> None:
    expected = (len(measurements.channels),)
    if memory_boundness is not None and memory_boundness.shape != expected:
        raise InputError(
            "`memory_boundness` must have one number a configuration, but got "
            f"shape={memory_boundness.shape} for {expected[0]} configurations. "
            "Put NaN where it is unknown."
        )


def _informative(standard: Floats) -> Floats:
    """Columns that differ between devices: the others only add dimensions to every test."""
    varied = np.ptp(standard, axis=0) > 0
    varied[0] = True
    return np.ascontiguousarray(standard[:, varied])


def _from_fastest(groups: Groups, offset: Floats, weights: Floats) -> Groups:
    number = int(groups.cluster.max()) + 1
    middle = [
        weighted_median(offset[groups.cluster == k], weights[groups.cluster == k])
        for k in range(number)
    ]
    rank = np.empty(number, dtype=np.int64)
    rank[np.argsort(middle, kind="stable")] = np.arange(number)
    return Groups(rank[groups.cluster], groups.outlier)


def _with_unmeasured(groups: Groups, measured: Bools, weights: Floats) -> Groups:
    shares = np.bincount(groups.cluster, weights[measured])
    cluster_of: Ints = np.full(len(measured), int(np.argmax(shares)), dtype=np.int64)
    cluster_of[measured] = groups.cluster
    outlier = np.zeros(len(measured), dtype=bool)
    outlier[measured] = groups.outlier
    return Groups(cluster_of, outlier)


def _summarise(
    prints: Fingerprint,
    groups: Groups,
    measured: Bools,
    devices: Devices,
    steady: Stability,
    software: Mapping[str, TextColumn],
) -> tuple[tuple[ClusterRecord, ...], Floats]:
    offset, weights = prints.offset, devices.weights
    fleet = weighted_median(offset[measured], weights[measured])
    factor = np.ones(len(offset))
    records = []
    for number in range(int(groups.cluster.max()) + 1):
        member = groups.cluster == number
        core = member & measured & ~groups.outlier
        middle = weighted_median(offset[core], weights[core])
        factor[member & measured] = np.exp(offset[member & measured] - middle)
        relative = float(np.exp(middle - fleet))
        inside = np.average((factor[core] - 1.0) ** 2, weights=weights[core])
        records.append(
            ClusterRecord(
                cluster=number,
                devices=int(member.sum()),
                weight_share=float(weights[member].sum() / weights.sum()),
                relative_latency=relative,
                spread=float(np.sqrt(inside)),
                stability=float(steady.clusters[number]),
                description=describe(prints, core, relative, software),
                context=_context(prints, core),
            )
        )
    return tuple(records), factor


def _context(prints: Fingerprint, core: Bools) -> dict[str, float]:
    found = {}
    for name in prints.context:
        column = prints.raw[core, prints.names.index(name)]
        known = column[np.isfinite(column)]
        if len(known):
            found[name] = float(np.median(known))
    return found
