"""What the store takes and gives: plain, frozen, columnar records that know no SQL.

Clusters are numbered 0..K-1 within a clustering. Latencies are milliseconds, times are UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import Counts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Devices:
    """All devices of the fleet: `ids` text, `weights` their share of inferences (> 0)."""

    ids: NDArray[np.object_]
    weights: Floats


@dataclass(frozen=True)
class Measurements:
    """Columns of n measurements.

    `device` indexes `devices`; `configuration` indexes `models` and `channels` (C each: the model
    and the canonical channel text, empty for the dense model). Unknown numbers are NaN; `runs` and
    `batch_size` are 1 where unknown. `measured_at` is seconds since 1970 (NaN where unknown).
    `runtime` indexes `runtimes` (the empty text is "unknown"). `context` maps a context column
    (`cpu_freq_mhz`, ...) to n floats; a column that no row fills is absent.
    """

    devices: Devices
    models: tuple[str, ...]
    channels: tuple[str, ...]
    runtimes: tuple[str, ...]
    device: Ints
    configuration: Ints
    runtime: Ints
    batch_size: Ints
    latency_ms: Floats
    latency_p95_ms: Floats
    runs: Floats
    measured_at: Floats
    context: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.latency_ms)


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
    over its cluster's typical latency (about 1). An outlier carries the number of the nearest
    cluster. `measurement_mark` is the store's mark when it was made: see `Store.measurement_mark`.
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
    id: int = 0


@dataclass(frozen=True)
class SurrogateRecord:
    """A fitted surrogate of one cluster for one model.

    `kind` is the registry name (`fleet`, `roofline`, `hdap-gbrt`); `payload` bytes that load
    without executing code. Figures are on held-out configurations: `mape` and `coverage` (of the
    90 % interval) as fractions, `kendall_tau` in -1..1. `warning` is empty when it can be trusted.
    `dense_ms` is the dense model on the cluster's typical device, as measured (NaN: never was).
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


@dataclass(frozen=True)
class StudyRecord:
    """A search. `settings` is everything needed to resume it; `state` is `running`, `stopped`
    or `finished`; `sampler_state` the sampler's generator after the last stored batch."""

    name: str
    model: str
    sampler: str
    seed: int
    objective: str
    flops_low: int
    flops_high: int
    kept_importance_floor: float
    clustering_id: int
    settings: Mapping[str, Any]
    created_at: datetime
    state: str = "running"
    sampler_state: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True)
class TrialBatch:
    """Columns of n finished trials; `counts` is n x groups, the `cluster_*` are n x K.

    `fleet_*_ms` are predicted; `low` and `high` bound the 90 % interval of the fleet mean.
    `ucb_ms` is the objective (the fleet mean, where the objective is not in milliseconds),
    with some standard deviations of doubt on top of every latency. `values` (n x 1-3) is what the
    search minimised where that is not `ucb_ms` alone: one column an objective, in ms, share
    of devices late, share of importance given up, or FLOPs. The best trial of a study is the
    feasible one with the least of its first value; with several, see the view `pareto_trials`.
    `accuracy` is that of the pruned network before any tuning, where it was judged (else NaN).
    """

    number: Ints
    counts: Counts
    flops: Ints
    parameters: Ints
    fleet_mean_ms: Floats
    fleet_mean_low_ms: Floats
    fleet_mean_high_ms: Floats
    fleet_p95_ms: Floats
    ucb_ms: Floats
    worst_cluster_ms: Floats
    worst_cluster: Ints
    kept_importance: Floats
    feasible: Bools
    cluster_ms: Floats
    cluster_low_ms: Floats
    cluster_high_ms: Floats
    started_at: NDArray[np.datetime64]
    finished_at: NDArray[np.datetime64]
    values: Floats | None = None
    accuracy: Floats | None = None

    def __len__(self) -> int:
        return len(self.number)

    @property
    def ranking(self) -> Floats:
        """What trials are ranked by, less is better: the first value, `ucb_ms` by default."""
        return self.ucb_ms if self.values is None else self.values[:, 0]

    def take(self, rows: Ints | Bools) -> "TrialBatch":
        """The chosen trials."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen: dict[str, Any] = {n: None if c is None else c[rows] for n, c in columns.items()}
        return TrialBatch(**chosen)


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
class ImportanceRecord:
    """Importance curves of a model: `curves[g]` belongs to width group g of the architecture.

    `source` says what they were computed from (a weights file, `pretrained`, ...).
    """

    model: str
    source: str
    architecture_digest: str
    curves: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True)
class VerificationRecord:
    """A trial on one cluster, as promised and as measured, ms with 90 % intervals (NaN: unknown).

    `devices` measured it; `holds` says whether the cluster keeps its promise, `trial_holds` whether
    the trial as a whole does. `simulated` measurements are none.
    """

    study_id: int
    number: int
    cluster: int
    predicted_ms: float
    predicted_low_ms: float
    predicted_high_ms: float
    measured_ms: float
    measured_low_ms: float
    measured_high_ms: float
    devices: int
    holds: bool
    trial_holds: bool
    simulated: bool
    created_at: datetime


@dataclass(frozen=True)
class EpochRecord:
    """One epoch (from 1) of a training run; losses in nats (NaN: not finite).

    `checkpoint` is the folder that the run writes; `accuracy` the share of validation images that
    are right, `lr` the rate of the epoch's last step.
    """

    run: str
    epoch: int
    checkpoint: str
    model: str
    train_loss: float
    validation_loss: float
    accuracy: float
    lr: float
    images_per_second: float
    seconds: float
    seed: int
    created_at: datetime


@dataclass(frozen=True)
class CompressionStepRecord:
    """A step (from 1) of a compression: one trial, pruned and tuned.

    Latencies of the fleet mean are predicted, ms, with their 90 % interval, from `simulated`
    measurements or real ones. Accuracies on the guard's images: of the network that the step
    began with, right after pruning, and after tuning (NaN where there was none).
    """

    run: str
    step: int
    checkpoint: str
    model: str
    study: str
    trial: int
    flops: int
    predicted_ms: float
    predicted_low_ms: float
    predicted_high_ms: float
    accuracy_before: float
    accuracy_pruned: float
    accuracy_after: float
    simulated: bool
    created_at: datetime


@dataclass(frozen=True)
class NetworkRecord:
    """Which trial of a study a cluster gets when the fleet is given so many `networks`.

    `latency_ms` is predicted, with its 90 % interval; `one_for_all_ms` what the one network for all
    would take there, `cost` the fraction by which that is longer. `advised` marks the number of
    networks that the search advises.
    """

    study_id: int
    networks: int
    cluster: int
    number: int
    latency_ms: float
    latency_low_ms: float
    latency_high_ms: float
    one_for_all_ms: float
    cost: float
    advised: bool


@dataclass(frozen=True)
class LevelRecord:
    """One level of an elastic network (0 is the smallest): its configuration as canonical text.

    `accuracy` is NaN where no network of these channels was judged.
    """

    level: int
    channels: str
    flops: int
    parameters: int
    kept_importance: float
    accuracy: float


@dataclass(frozen=True)
class OperatingPointRecord:
    """A level on a cluster at a clock (over its typical one): predicted latency, ms, 90 % interval.

    `chosen` marks the level that serves this cluster at this clock.
    """

    cluster: int
    clock: float
    level: int
    latency_ms: float
    latency_low_ms: float
    latency_high_ms: float
    chosen: bool


@dataclass(frozen=True)
class LevelPlanRecord:
    """Levels that keep a model within `target_ms` on every cluster and clock, smallest first.

    `points` holds every level at every cluster and clock; `settings` what was asked and how many
    levels are worth having; `simulated` says what the predictions rest on.
    """

    model: str
    architecture_digest: str
    clustering_id: int
    target_ms: float
    settings: Mapping[str, Any]
    simulated: bool
    created_at: datetime
    levels: tuple[LevelRecord, ...]
    points: tuple[OperatingPointRecord, ...]
    id: int = 0


@dataclass(frozen=True)
class VariantClusterRecord:
    """A variant on a cluster's typical device, ms: predicted, with its 90 % interval, and measured.

    `measured_ms` is over `devices` that measured this very configuration (NaN and 0: none did); it
    is read from measurements and never stored.
    """

    cluster: int
    predicted_ms: float
    predicted_low_ms: float
    predicted_high_ms: float
    measured_ms: float = float("nan")
    devices: int = 0


@dataclass(frozen=True)
class VariantRecord:
    """One network of a portfolio: its configuration as canonical text, its figures, its origin.

    `bytes` are those of its files. `fleet_mean_*_ms` are predicted, `measured_here_ms` is of the
    machine that made the portfolio; what is unknown is NaN. `provenance` says what it was made
    from. `clusters` is empty where nothing is known of the fleet.
    """

    variant: str
    channels: str
    parameters: int
    bytes: int
    flops: int
    kept_importance: float
    accuracy: float
    fleet_mean_ms: float
    fleet_mean_low_ms: float
    fleet_mean_high_ms: float
    measured_here_ms: float
    provenance: Mapping[str, Any]
    clusters: tuple[VariantClusterRecord, ...] = ()


@dataclass(frozen=True)
class PortfolioRecord:
    """Variants of one model that were made together, the cheapest first.

    `clustering_id` is None where nothing is known of the fleet. `source` is `sparse`, `flops` or
    `elastic`; `bundle` the folder that they were written to; `settings` what was asked and which
    networks were left out, and why; `simulated` says what the predictions rest on.
    """

    model: str
    architecture_digest: str
    clustering_id: int | None
    source: str
    bundle: str
    settings: Mapping[str, Any]
    simulated: bool
    created_at: datetime
    variants: tuple[VariantRecord, ...]
    id: int = 0


@dataclass(frozen=True)
class QueryResult:
    """Rows of a query; `truncated`: there were more than the limit."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
