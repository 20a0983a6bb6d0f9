"""From measurements to what a surrogate learns from: comparable rows of one workload."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hdap.clustering.grouping import compact, grouped_median, grouped_sum
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, Ints, Measurements
from hdap.surrogate.drift import shared_drift

ROWS_PER_CELL = 1000
"""Rows of one configuration kept a cluster: a median of more would not move."""
FACTOR_ROWS = 4.0
"""Rows of this model at which a device's own factor weighs as much as the clustering's."""
ROW_COLUMNS = (
    "configuration",
    "cluster",
    "device",
    "device_factor",
    "drift",
    "latency_ms",
    "runs",
    "measured_at",
)


@dataclass(frozen=True)
class Cells:
    """What was measured of each (cluster, configuration): columns of m cells.

    `log_ms` is the median log latency over the cell's `rows` for the cluster's typical device (rows
    differ by more than more runs mend, so they count alike); `counts` is m x G.
    """

    cluster: Ints
    configuration: Ints
    counts: Counts
    log_ms: Floats
    rows: Ints

    def __len__(self) -> int:
        return len(self.log_ms)

    def at(self, chosen: Bools | Ints) -> "Cells":
        """The chosen cells."""
        names = ("cluster", "configuration", "counts", "log_ms", "rows")
        return Cells(*(getattr(self, name)[chosen] for name in names))


@dataclass(frozen=True)
class TrainingData:
    """Columns of n measurements of one model at one workload, on K clusters.

    `configuration` indexes `designs` (C x G channel counts). `latency_ms` is as measured;
    `device_factor` is the device's latency over its cluster's typical latency and `drift` the
    factor by which all devices were slow at that moment: `log_ms` has both taken out. `context`
    maps columns to n floats. `shares` (K) are the clusters' shares of the fleet's weight,
    `relative_latency` (K) their latencies over the fleet's. `notes` say what was left out.
    """

    architecture: Architecture
    designs: Counts
    configuration: Ints
    cluster: Ints
    device: Ints
    device_factor: Floats
    drift: Floats
    latency_ms: Floats
    runs: Floats
    measured_at: Floats
    shares: Floats
    relative_latency: Floats
    context: Mapping[str, Floats] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.latency_ms)

    @property
    def clusters(self) -> int:
        """K."""
        return len(self.shares)

    @property
    def counts(self) -> Counts:
        """Channel counts of each row, `n x G`."""
        return self.designs[self.configuration]

    @cached_property
    def dense(self) -> Bools:
        """Rows of the network at full width."""
        full: Bools = (self.designs == self.architecture.widths).all(axis=1)
        return full[self.configuration]

    @cached_property
    def log_ms(self) -> Floats:
        """Log latency of the cluster's typical device at an undisturbed time."""
        return np.log(self.latency_ms) - np.log(self.device_factor) - np.log(self.drift)

    @cached_property
    def cells(self) -> Cells:
        """Rows gathered by cluster and configuration."""
        key = self.cluster * len(self.designs) + self.configuration
        cell, size = compact(key)
        first = np.unique(cell, return_index=True)[1]
        return Cells(
            cluster=self.cluster[first],
            configuration=self.configuration[first],
            counts=self.designs[self.configuration[first]],
            log_ms=grouped_median(cell, self.log_ms, size),
            rows=np.bincount(cell, minlength=size).astype(np.int64),
        )

    def at(self, chosen: Bools | Ints) -> "TrainingData":
        """The chosen rows."""
        columns = {name: getattr(self, name)[chosen] for name in ROW_COLUMNS}
        context = {name: values[chosen] for name, values in self.context.items()}
        return replace(self, **columns, context=context)


def training_data(
    architecture: Architecture, measurements: Measurements, clustering: ClusteringRecord
) -> TrainingData:
    """Rows of `architecture` that belong together, made comparable.

    Keeps the workload (batch size, runtime) with the most pruned rows and devices that the
    clustering knows and does not call outliers. Takes out device factors (the clustering's, refined
    by this model's rows) and, where the dense rows show one, the drift that all devices share.
    Raises NotEnoughDataError where no row is left.
    """
    notes: list[str] = []
    rows = _rows_of_model(architecture, measurements, notes)
    rows, member = _rows_of_known_devices(measurements, clustering, rows, notes)
    rows, member = _capped(measurements, clustering.cluster[member], rows, member)
    configuration, _ = compact(measurements.configuration[rows])
    used = np.unique(measurements.configuration[rows])
    clusters = len(clustering.clusters)
    data = TrainingData(
        architecture=architecture,
        designs=_counts(architecture, [measurements.channels[i] for i in used]),
        configuration=configuration,
        cluster=clustering.cluster[member],
        device=measurements.device[rows],
        device_factor=clustering.factor[member],
        drift=np.ones(len(rows)),
        latency_ms=measurements.latency_ms[rows],
        runs=np.nan_to_num(measurements.runs[rows], nan=1.0),
        measured_at=measurements.measured_at[rows],
        shares=np.array([c.weight_share for c in clustering.clusters]),
        relative_latency=np.array([c.relative_latency for c in clustering.clusters]),
        context={name: values[rows] for name, values in measurements.context.items()},
        notes=tuple(notes),
    )
    if clusters == 0 or len(data) == 0:
        raise _nothing_left(architecture.model, notes)
    data = replace(data, device_factor=_refined_factors(data))
    drift = shared_drift(data.measured_at, _dense_residuals(data))
    if (drift != 1.0).any():
        data = replace(data, drift=drift)
        data = replace(data, device_factor=_refined_factors(data))
    return data


def _rows_of_model(
    architecture: Architecture, measurements: Measurements, notes: list[str]
) -> Ints:
    models = np.array([m == architecture.model for m in measurements.models], dtype=np.bool_)
    pruned = np.array([bool(text) for text in measurements.channels], dtype=np.bool_)
    rows = np.flatnonzero(models[measurements.configuration])
    if len(rows) == 0:
        raise _nothing_left(architecture.model, notes)
    runtimes = max(len(measurements.runtimes), 1)
    workload = measurements.batch_size[rows] * runtimes + measurements.runtime[rows]
    number, workloads = compact(workload)
    of_pruned = np.bincount(number[pruned[measurements.configuration[rows]]], minlength=workloads)
    kept = number == int(np.lexsort((np.bincount(number), of_pruned))[-1])
    left_out = int((~kept).sum())
    if left_out:
        batch, runtime = divmod(int(workload[kept][0]), runtimes)
        name = measurements.runtimes[runtime] if measurements.runtimes else ""
        notes.append(
            f"{left_out:,} rows of other workloads left out "
            f"(kept: batch size {batch}, runtime {name or 'unknown'})"
        )
    result: Ints = rows[kept]
    return result


def _rows_of_known_devices(
    measurements: Measurements, clustering: ClusteringRecord, rows: Ints, notes: list[str]
) -> tuple[Ints, Ints]:
    order = np.argsort(clustering.device_ids.astype(str))
    known = clustering.device_ids.astype(str)[order]
    ids = measurements.devices.ids.astype(str)
    place = np.minimum(np.searchsorted(known, ids), max(len(known) - 1, 0))
    found = known[place] == ids if len(known) else np.zeros(len(ids), dtype=np.bool_)
    member = order[place] if len(known) else place
    new = ~found[measurements.device[rows]]
    if new.any():
        notes.append(f"{int(new.sum()):,} rows of devices newer than the clustering left out")
    rows = rows[~new]
    odd = clustering.outlier[member[measurements.device[rows]]]
    if odd.any():
        notes.append(f"{int(odd.sum()):,} rows of outlier devices left out")
    rows = rows[~odd]
    return rows, member[measurements.device[rows]].astype(np.int64)


def _capped(
    measurements: Measurements, cluster: Ints, rows: Ints, member: Ints
) -> tuple[Ints, Ints]:
    """At most `ROWS_PER_CELL` rows a cluster and configuration, evenly over the stored order."""
    cell, size = compact(cluster * len(measurements.channels) + measurements.configuration[rows])
    counts = np.bincount(cell, minlength=size)
    if size == 0 or counts.max() <= ROWS_PER_CELL:
        return rows, member
    # numpy sorts 16-bit integers by radix, ten times as fast as longer ones.
    order = np.argsort(cell.astype(np.uint16) if size < 2**16 else cell, kind="stable")
    rank = np.empty(len(cell), dtype=np.int64)
    rank[order] = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    take = rank % np.maximum(-(-counts[cell] // ROWS_PER_CELL), 1) == 0
    return rows[take], member[take]


def _refined_factors(data: TrainingData) -> Floats:
    """Device factors from this model's rows, shrunk towards those of the clustering.

    What a device's rows differ by from the medians of their cells, over its cluster's mean.
    """
    start = np.log(data.device_factor)
    devices = int(data.device.max()) + 1
    cell, cells = compact(data.cluster * len(data.designs) + data.configuration)
    several = np.bincount(cell, minlength=cells)[cell] > 1
    log_ms = np.log(data.latency_ms) - np.log(data.drift)
    residual = log_ms - start
    residual -= grouped_median(cell, residual, cells)[cell]
    median = np.nan_to_num(grouped_median(data.device[several], residual[several], devices))
    rows = np.bincount(data.device[several], minlength=devices)
    step = median * rows / (rows + FACTOR_ROWS)
    cluster = np.zeros(devices, dtype=np.int64)
    cluster[data.device] = data.cluster
    seen = np.flatnonzero(np.bincount(data.device, minlength=devices))
    level = grouped_sum(cluster[seen], step[seen], data.clusters)
    level /= np.maximum(np.bincount(cluster[seen], minlength=data.clusters), 1)
    result: Floats = np.exp(start + step[data.device] - level[data.cluster])
    return result


def _dense_residuals(data: TrainingData) -> Floats:
    """What dense rows differ by from their cluster's dense median; NaN for pruned rows."""
    residual = np.where(data.dense, data.log_ms, np.nan)
    middle = grouped_median(data.cluster, residual, data.clusters)
    return residual - middle[data.cluster]


def _counts(architecture: Architecture, texts: list[str]) -> Counts:
    """Channel texts as a matrix; ingest lets only such pass that name the model's groups."""
    parsed = parse_channels(architecture, texts)
    for text, error in zip(texts, parsed.errors, strict=True):
        if error:
            raise InputError(
                f"stored channels must fit {architecture.model}, but {text!r} does not: {error}; "
                "load the rows again with the architecture of today: hdap ingest"
            )
    return parsed.counts


def _nothing_left(model: str, notes: list[str]) -> NotEnoughDataError:
    left_out = f" ({'; '.join(notes)})" if notes else ""
    return NotEnoughDataError(
        f"the data must hold measurements of {model} on clustered devices, but none is left"
        f"{left_out}; load some: hdap ingest telemetry.csv"
    )
