"""What the fleet told us and what was learned from it: measurements, clusters, surrogates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.everyday_rows import everyday_rows
from hdap.fleet_data.row_blocks import taken
from hdap.fleet_data.telemetry import SUSTAINED

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.signedinteger[Any]]
Reals = NDArray[np.floating[Any]]
"""What a million devices sent is kept in 32 bits where 7 digits are more than a sensor has."""


_ROW_COLUMNS = (
    "device",
    "configuration",
    "runtime",
    "batch_size",
    "latency_ms",
    "latency_p95_ms",
    "runs",
    "measured_at",
)


@dataclass(frozen=True)
class Devices:
    """All devices of the fleet: `ids` text, `weights` their share of inferences (> 0)."""

    ids: NDArray[np.object_]
    weights: Floats


@dataclass(frozen=True)
class TextColumn:
    """A text for each of n measurements: `codes` (n) index `texts`, whose first is "", unknown."""

    codes: Codes
    texts: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[str]) -> "TextColumn":
        """Of n texts."""
        texts = tuple(sorted({"", *values}))
        return cls(np.array([texts.index(value) for value in values], dtype=np.int64), texts)

    def at(self, rows: Codes | Bools | slice) -> "TextColumn":
        """The chosen measurements, in the order of `rows`."""
        return TextColumn(self.codes[rows], self.texts)


@dataclass(frozen=True)
class Measurements:
    """Columns of n measurements.

    `device` indexes `devices`; `configuration` indexes `models` and `channels` (C each: the model
    and the canonical channel text, empty for the dense model). Unknown numbers are NaN; `runs` and
    `batch_size` are 1 where unknown. `measured_at` is seconds since 1970 (NaN where unknown).
    `runtime` indexes `runtimes` (the empty text is "unknown"). `context` maps a context column
    (`cpu_freq_mhz`, ...) to n floats, `software` what else ran it (`precision`, `threads`,
    `firmware`) to n texts; a column that no row fills is absent. Of a reduced fleet a row stands
    for `reduced_rows` rows, whose log latencies have the standard deviation `reduced_spread` (n
    each; None: each row stands for itself).
    """

    devices: Devices
    models: tuple[str, ...]
    channels: tuple[str, ...]
    runtimes: tuple[str, ...]
    device: Codes
    configuration: Codes
    runtime: Codes
    batch_size: Ints
    latency_ms: Floats
    latency_p95_ms: Reals
    runs: Reals
    measured_at: Floats
    context: Mapping[str, Reals] = field(default_factory=dict)
    software: Mapping[str, TextColumn] = field(default_factory=dict)
    reduced_rows: Floats | None = None
    reduced_spread: Floats | None = None

    def __len__(self) -> int:
        return len(self.latency_ms)

    @cached_property
    def dense(self) -> Bools:
        """Which rows (n) are of the dense model; not to be written to."""
        unpruned = np.array([not text for text in self.channels], dtype=np.bool_)
        return taken(unpruned, self.configuration)

    @cached_property
    def everyday(self) -> Bools:
        """Dense rows (n) of rested devices, none pruned within a session; not to be written to."""
        usual = self.dense & self.rested
        return everyday_rows(usual, ~self.dense, self.measured_at, self.device)

    @property
    def rested(self) -> Bools:
        """Rows (n) of a device that was not kept busy without rest on purpose."""
        busy = self.context.get(SUSTAINED)
        return np.ones(len(self), dtype=np.bool_) if busy is None else ~(busy > 0.0)

    def at(self, rows: Bools | Ints | slice) -> "Measurements":
        """The chosen rows, of the same devices and configurations."""
        columns = {name: getattr(self, name)[rows] for name in _ROW_COLUMNS}
        context = {name: values[rows] for name, values in self.context.items()}
        software = {name: column.at(rows) for name, column in self.software.items()}
        reduced = {
            name: values[rows]
            for name in ("reduced_rows", "reduced_spread")
            if (values := getattr(self, name)) is not None
        }
        return replace(self, **columns, context=context, software=software, **reduced)


@dataclass(frozen=True)
class ModelRecord:
    """A model whose architecture is stored; FLOPs and parameters are the dense network's."""

    model: str
    digest: str
    flops: int
    parameters: int
    width_groups: int
    created_at: datetime


@dataclass(frozen=True)
class ModelCounts:
    """How much was measured of one model: rows, dense rows among them, devices and
    configurations (the dense one counts)."""

    model: str
    measurements: int
    dense_measurements: int
    devices: int
    configurations: int


@dataclass(frozen=True)
class IngestRecord:
    """One ingest. `content_rows` of its rows count now; `content_low` and `content_high` are sums
    of the halves of their hashes: the same rows in any order give the same."""

    source: str
    started_at: datetime
    rows_read: int
    rows_added: int
    rows_known: int
    rows_rejected: int
    content_rows: int
    content_low: int
    content_high: int


@dataclass(frozen=True)
class ClusterRecord:
    """One cluster as it is stored and shown.

    `weight_share` sums to 1 over clusters; `relative_latency` is the cluster's median latency over
    the fleet's; `spread` the relative standard deviation of devices inside; `stability` the mean
    adjusted Rand index, over resamples, of belonging to this cluster or not (NaN: not computed);
    `description` says in words what is special.
    """

    cluster: int
    devices: int
    weight_share: float
    relative_latency: float
    spread: float
    stability: float
    description: str
    context: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ClusteringRecord:
    """A clustering of D devices.

    Row d of `cluster`, `outlier`, `representative`, `factor` and `fingerprint` (D x F, names in
    `features`, standardised) describes device `device_ids[d]`. `factor` is the device's latency
    over its cluster's typical latency (about 1), `factor_sd` the standard error of its logarithm
    (NaN: not known, as of a device without rows), `software` what it runs (`format_software`), by
    its newest everyday row. Where everyday rows show that it ran something else before,
    `software_before` says what and `software_since` when what it runs began (seconds since 1970; ""
    and NaN: no change was seen). An outlier carries the number of the nearest cluster.
    `measurement_mark` is the store's mark when it was made: see `Store.measurement_mark`.
    """

    algorithm: str
    parameters: Mapping[str, Any]
    seed: int
    created_at: datetime
    measurement_mark: int
    stability: float
    device_ids: NDArray[np.object_]
    cluster: Ints
    outlier: Bools
    representative: Bools
    factor: Floats
    features: tuple[str, ...]
    fingerprint: Floats
    clusters: tuple[ClusterRecord, ...]
    software: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))
    id: int = 0
    factor_sd: Floats = field(default_factory=lambda: np.empty(0))
    software_before: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))
    software_since: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        devices = len(self.device_ids)
        for name in ("factor_sd", "software_since"):
            if len(getattr(self, name)) != devices:
                object.__setattr__(self, name, np.full(devices, np.nan))
        for name in ("software", "software_before"):
            if len(getattr(self, name)) != devices:
                object.__setattr__(self, name, np.full(devices, "", dtype=object))


@dataclass(frozen=True)
class ClusteringHead:
    """A clustering without its devices: what is asked of it most, whatever the fleet's size."""

    id: int
    algorithm: str
    parameters: Mapping[str, Any]
    seed: int
    created_at: datetime
    measurement_mark: int
    clusters: int


@dataclass(frozen=True)
class SurrogateRecord:
    """A fitted surrogate of one cluster for one model.

    `kind` is the registry name (`fleet`, `roofline`, `hdap-gbrt`); `payload` bytes that load
    without executing code. Figures are on held-out configurations: `mape` and `coverage` (of the
    90 % interval) as fractions, `kendall_tau` in -1..1. `warning` is empty when it can be trusted.
    `dense_ms` is the dense model on the cluster's typical device, as measured (NaN: never was),
    `noise_floor` the mean error that a perfect surrogate would show (NaN: cannot be told).
    """

    clustering_id: int
    cluster: int
    model: str
    architecture_digest: str
    kind: str
    created_at: datetime
    measurement_mark: int
    rows: int
    configurations: int
    mape: float
    kendall_tau: float
    coverage: float
    warning: str
    payload: bytes
    id: int = 0
    dense_ms: float = float("nan")
    noise_floor: float = float("nan")


@dataclass(frozen=True)
class QueryResult:
    """Rows of a query; `truncated`: there were more than the limit. `remarks` are for a person."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class QueryRows:
    """A query whose rows are being read; `remarks` are for a person."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class QueryLimits:
    """What a person's query may take; None: as much as it wants.

    `rows` are those that are wanted of it, `seconds` its time. `memory_mib` bounds what SQLite
    holds, in this whole process and from then on: it is for a process that does nothing else.
    """

    rows: int | None = None
    seconds: float | None = None
    memory_mib: int | None = None
