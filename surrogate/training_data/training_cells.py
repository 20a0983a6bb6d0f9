"""From measurements to what a surrogate learns from: comparable rows of one workload."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hdap.clustering.grouping import compact, grouped_median, grouped_sum
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, Ints, Measurements
from hdap.surrogate.training_data.cluster_states import cluster_states
from hdap.surrogate.training_data.own_runs import rows_of_one_scale
from hdap.surrogate.training_data.row_selection import (
    capped,
    nothing_left,
    rows_of_known_devices,
    rows_of_model,
)
from hdap.surrogate.training_data.session_scale import session_scale
from hdap.surrogate.training_data.shared_drift import shared_drift

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
    """Columns of n measurements of one model at one batch size, on K clusters.

    `configuration` indexes `designs` (C x G channel counts). `latency_ms` is as measured;
    `device_factor` is the device's latency over its cluster's typical latency and `drift` the
    factor by which its session, or all devices at that moment, were slow: `log_ms` has both taken
    out. `context` maps columns to n floats. `shares` (K) are the clusters' shares of the fleet's
    weight, `relative_latency` (K) their latencies over the fleet's. `notes` say what was left out
    or rescaled. `device` indexes `device_ids`. `states` (K) is the runtime and precision that each
    cluster is of (`cluster_states`).
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
    device_ids: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))
    states: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.latency_ms)

    @property
    def clusters(self) -> int:
        """K."""
        return len(self.shares)

    @property
    def clusters_by_state(self) -> dict[str, tuple[int, ...]]:
        """The clusters of each runtime and precision."""
        states = self.states or ("",) * self.clusters
        return {
            state: tuple(k for k, name in enumerate(states) if name == state)
            for state in dict.fromkeys(states)
        }

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

    def of_clusters(self, chosen: tuple[int, ...]) -> "TrainingData":
        """As if these clusters were all there are, renumbered in this order."""
        number = np.full(self.clusters, -1, dtype=np.int64)
        number[list(chosen)] = np.arange(len(chosen))
        mine = self.at(number[self.cluster] >= 0)
        places = list(chosen)
        return replace(
            mine,
            cluster=number[mine.cluster],
            shares=self.shares[places],
            relative_latency=self.relative_latency[places],
            states=tuple(self.states[k] for k in chosen) if self.states else (),
        )


def training_data(
    architecture: Architecture, measurements: Measurements, clustering: ClusteringRecord
) -> TrainingData:
    """Rows of `architecture` that belong together, made comparable.

    Keeps the rows of what each device runs, of one batch size (`rows_of_model`), of devices that
    the clustering knows and does not call outliers. Takes out device factors (the clustering's,
    refined by this model's rows) and, where the dense rows show one, the drift that all devices
    share.
    Raises NotEnoughDataError where no row is left.
    """
    notes: list[str] = []
    rows = rows_of_model(architecture, measurements, clustering, notes)
    rows, member = rows_of_known_devices(measurements, clustering, rows, notes)
    rows, member = rows_of_one_scale(measurements, clustering.cluster[member], rows, member, notes)
    scale = session_scale(measurements, rows, notes)
    kept = capped(measurements, clustering.cluster[member], rows)
    rows, member, scale = rows[kept], member[kept], scale[kept]
    configuration, _ = compact(measurements.configuration[rows])
    used = np.unique(measurements.configuration[rows])
    clusters = len(clustering.clusters)
    data = TrainingData(
        architecture=architecture,
        designs=_counts(architecture, [measurements.channels[i] for i in used]),
        configuration=configuration,
        cluster=clustering.cluster[member],
        device=measurements.device[rows].astype(np.int64),
        device_factor=clustering.factor[member],
        drift=scale,
        latency_ms=measurements.latency_ms[rows],
        runs=np.nan_to_num(measurements.runs[rows], nan=1.0).astype(np.float64),
        measured_at=measurements.measured_at[rows],
        shares=np.array([c.weight_share for c in clustering.clusters]),
        relative_latency=np.array([c.relative_latency for c in clustering.clusters]),
        context={n: values[rows].astype(float) for n, values in measurements.context.items()},
        notes=tuple(notes),
        device_ids=measurements.devices.ids,
        states=cluster_states(clustering),
    )
    if clusters == 0 or len(data) == 0:
        raise nothing_left(architecture.model, notes)
    data = replace(data, device_factor=_refined_factors(data))
    drift = shared_drift(data.measured_at, _dense_residuals(data))
    if (drift != 1.0).any():
        data = replace(data, drift=data.drift * drift)
        data = replace(data, device_factor=_refined_factors(data))
    return data


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
