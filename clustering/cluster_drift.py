"""What everyday telemetry since a clustering says about what the clustering assumed.

Only dense rows count that no pruned row of their device is near: a device that measures is busy
and warm, which is no drift. A device's change is the median of its new log latencies minus the
median of its old ones, each less the effect of its workload, on workloads seen before and after.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdap.clustering.grouping import grouped_median
from hdap.clustering.workload_effect import workloads
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, Ints, Measurements

MATERIAL = 0.03
"""Changes below 3 % change no decision about a network."""
CERTAIN = 3.0
"""Standard errors beyond which a change is no noise."""
LEAST_DEVICES = 3
LEAST_SHARE = 0.25
"""Devices of a cluster, and share of them, that must have reported before it is judged."""
NEARER = 0.5
"""A device moved where another cluster is at most half as far as its own."""
OUTLYING = 6.0
"""A device is like no cluster where it is farther from each than 6 of that cluster's standard
deviations: devices spread with heavy tails, and at 3 one in a hundred would be named."""
MAD_TO_SD = 1.4826
MEDIAN_LOSS = 1.2533


@dataclass(frozen=True)
class ClusterChange:
    """How much slower a cluster grew (relative, < 0: faster), over `devices` that reported."""

    cluster: int
    change: float
    error: float
    devices: int

    @property
    def changed(self) -> bool:
        """Beyond noise, and enough to matter."""
        return abs(self.change) > max(MATERIAL, CERTAIN * self.error)


@dataclass(frozen=True)
class Drift:
    """What is not as the clustering assumed.

    `rows` new everyday rows were looked at, of `devices` known devices. `moved` devices went from
    cluster `moved_from` to `moved_to`; `outlying` ones, known or new, became like no cluster;
    `unknown` devices are in no cluster. `clusters` holds those that could be judged. Devices that
    run other software now are another state: none of these.
    """

    rows: int
    devices: int
    moved: NDArray[np.object_]
    moved_from: Ints
    moved_to: Ints
    outlying: NDArray[np.object_]
    unknown: NDArray[np.object_]
    clusters: tuple[ClusterChange, ...]

    @property
    def changed(self) -> tuple[ClusterChange, ...]:
        """Clusters that grew slower or faster."""
        return tuple(c for c in self.clusters if c.changed)


def drift(
    measurements: Measurements,
    new_rows: int,
    clustering: ClusteringRecord,
    changed: Bools | None = None,
) -> Drift:
    """Compare the last `new_rows` of all rows with those before, on which `clustering` rests.

    Of D devices those that `changed` what they run are left out: that they are faster or slower
    has a reason.
    """
    devices = len(measurements.devices.ids)
    cluster, known, outlier = membership(measurements, clustering)
    offsets = device_offsets(measurements, new_rows)
    change, error = offsets.change, offsets.error
    seen = np.isfinite(change) & known
    if changed is not None:
        seen &= ~changed
    clusters = _changes(change, error, seen & ~outlier, cluster, len(clustering.clusters))
    now = _places(offsets, seen & ~outlier, cluster, clusters)
    moved, target, outlying = now.moved, now.target, now.outlying
    outlying |= ~known & _far(offsets.new[:, None], now.centre, now.spread)
    ids = measurements.devices.ids
    return Drift(
        rows=offsets.new_rows,
        devices=int(seen.sum()),
        moved=ids[moved],
        moved_from=cluster[moved],
        moved_to=target[moved],
        outlying=ids[outlying],
        unknown=ids[~known & (np.bincount(measurements.device, minlength=devices) > 0)],
        clusters=clusters,
    )


@dataclass(frozen=True)
class DeviceOffsets:
    """Median log latencies of D devices over their workloads' `old` rows, before and in the last
    rows (NaN: there are none), with the standard `error` of the change. `new_rows` were usable."""

    old: Floats
    new: Floats
    error: Floats
    new_rows: int

    @property
    def change(self) -> Floats:
        """Of each device (D)."""
        return self.new - self.old


def device_offsets(measurements: Measurements, new_rows: int) -> DeviceOffsets:
    """What the last `new_rows` of all rows and those before say of each device's speed."""
    n, device, devices = len(measurements), measurements.device, len(measurements.devices.ids)
    new = np.arange(n) >= n - new_rows
    value = _centred(measurements, ~new & measurements.dense)
    usable = _usual(measurements, new) & np.isfinite(value)
    old, last = (
        grouped_median(device[usable & part], value[usable & part], devices) for part in (~new, new)
    )
    error = _errors(device, value, usable, new, old)
    return DeviceOffsets(old, last, error, int((usable & new).sum()))


def membership(
    measurements: Measurements, clustering: ClusteringRecord
) -> tuple[Ints, Bools, Bools]:
    """Cluster of each device (D), whether the clustering knows it, whether it is an outlier."""
    known, member = places(measurements, clustering)
    if not len(clustering.device_ids):
        return member, known, known
    return clustering.cluster[member], known, clustering.outlier[member] & known


def places(measurements: Measurements, clustering: ClusteringRecord) -> tuple[Bools, Ints]:
    """Which of D devices the clustering knows, and each one's place in it."""
    ids = measurements.devices.ids.astype(str)
    order = np.argsort(clustering.device_ids.astype(str))
    names = clustering.device_ids.astype(str)[order]
    if not len(names):
        return np.zeros(len(ids), dtype=np.bool_), np.zeros(len(ids), dtype=np.int64)
    place = np.minimum(np.searchsorted(names, ids), len(names) - 1)
    known: Bools = names[place] == ids
    return known, order[place].astype(np.int64)


def _usual(measurements: Measurements, new: Bools) -> Bools:
    """Rows that a device's `new` rows and its others are compared by: everyday ones.

    Of a device whose every other row was taken beside pruned ones there is nothing better, so its
    dense ones.
    """
    usual = measurements.everyday
    devices = len(measurements.devices.ids)
    quiet = np.bincount(measurements.device[usual & ~new], minlength=devices) > 0
    result: Bools = usual | (measurements.dense & ~new & ~quiet[measurements.device])
    return result


def _centred(measurements: Measurements, old: Bools) -> Floats:
    """Log latency less the median of its workload's `old` rows (NaN for a workload without)."""
    # Another runtime is no other workload: a roll-out shows as devices that grew faster or slower.
    workload, configuration_of = workloads(measurements)
    log_ms = np.log(measurements.latency_ms)
    effect = grouped_median(workload[old], log_ms[old], len(configuration_of))
    result: Floats = log_ms - effect[workload]
    return result


def _errors(device: Ints, value: Floats, usable: Bools, new: Bools, old_median: Floats) -> Floats:
    """Standard error of each device's change (D), with the spread of rows that all share."""
    devices = len(old_median)
    residual = np.abs(value - old_median[device])[usable & ~new]
    scale = MAD_TO_SD * float(np.nanmedian(residual)) if np.isfinite(residual).any() else 0.0
    rows = [np.bincount(device[usable & part], minlength=devices) for part in (new, ~new)]
    total: Floats = sum(1.0 / np.maximum(r, 1) for r in rows)  # type: ignore[assignment]
    result: Floats = MEDIAN_LOSS * scale * np.sqrt(total)
    return result


def _changes(
    change: Floats, error: Floats, chosen: Bools, cluster: Ints, clusters: int
) -> tuple[ClusterChange, ...]:
    found = []
    for k in range(clusters):
        mine = chosen & (cluster == k)
        count = int(mine.sum())
        if count < max(LEAST_DEVICES, LEAST_SHARE * int((cluster == k).sum())):
            continue
        middle = float(np.median(change[mine]))
        spread = MAD_TO_SD * float(np.median(np.abs(change[mine] - middle)))
        alone = max(spread, float(np.median(error[mine])))
        deviation = MEDIAN_LOSS * alone / np.sqrt(count)
        found.append(ClusterChange(k, float(np.expm1(middle)), deviation, count))
    return tuple(found)


@dataclass(frozen=True)
class _Places:
    """Rows of devices that `moved`, the cluster that each of D is nearest to now, which are
    `outlying` (D), and the `centre` and `spread` (K) of each cluster's devices."""

    moved: Ints
    target: Ints
    outlying: Bools
    centre: Floats
    spread: Floats


def _places(
    offsets: DeviceOffsets,
    chosen: Bools,
    cluster: Ints,
    clusters: tuple[ClusterChange, ...],
) -> _Places:
    """Where devices are now, whose offset may have left its cluster's.

    What a whole cluster did is no move of its devices.
    """
    size = int(cluster.max(initial=-1)) + 1
    centre = grouped_median(cluster[chosen], offsets.old[chosen], size)
    left = np.abs(offsets.old - centre[cluster]) if size else np.zeros(len(cluster))
    spread = MAD_TO_SD * grouped_median(cluster[chosen], left[chosen], size)
    shift = np.zeros(size)
    for c in clusters:
        shift[c.cluster] = np.log1p(c.change)
    own_shift = shift[cluster] if size else np.zeros(len(cluster))
    now = offsets.new - own_shift
    distance = np.abs(now[:, None] - centre[None, :])
    distance[:, ~np.isfinite(centre)] = np.inf
    target = cluster
    if size:
        target = np.where(chosen, np.nan_to_num(distance, nan=np.inf).argmin(axis=1), cluster)
    rows = np.arange(len(now))
    drifted = np.abs(offsets.change - own_shift)
    gone = chosen & (drifted > np.maximum(MATERIAL, CERTAIN * offsets.error))
    outlying = gone & _far(now[:, None], centre, spread)
    if size:
        gone &= distance[rows, target] <= NEARER * distance[rows, cluster]
    moved = gone & ~outlying & (target != cluster)
    return _Places(np.flatnonzero(moved), target, outlying, centre, spread)


def _far(offset: Floats, centre: Floats, spread: Floats) -> Bools:
    """Which devices (D x 1) are far from every cluster that can be told; none where none can."""
    known = np.isfinite(centre)
    reach = OUTLYING * np.maximum(np.nan_to_num(spread[known]), MATERIAL)
    beyond = np.abs(offset - centre[known][None, :]) > reach[None, :]
    result: Bools = beyond.all(axis=1) & np.isfinite(offset[:, 0]) & bool(known.any())
    return result
