"""What was searched, found, and proved: importance, studies, trials, verifications."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records.fleet_records import Bools, Floats, Ints


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
    feasible one with the least of its first value; with several, the balanced one of the front.
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
class AssignmentBatch:
    """Which of D devices (`device_ids`) runs which trial (`number`) of a study.

    `number_before` is the trial that it ran before, the same where it never moved. `latency_ms` is
    predicted of the network on the device, whose latency is `factor` times that of its `cluster`
    (`factor_sd`: one standard deviation of the logarithm). `probability_in_time` (0..1) is what is
    believed of the deadline, and `in_time` whether that is as sure as was asked.
    """

    device_ids: NDArray[np.object_]
    number: Ints
    number_before: Ints
    cluster: Ints
    factor: Floats
    factor_sd: Floats
    latency_ms: Floats
    probability_in_time: Floats
    in_time: Bools
    assigned_at: NDArray[np.datetime64]

    def __len__(self) -> int:
        return len(self.device_ids)

    def take(self, rows: Ints | Bools) -> "AssignmentBatch":
        """The chosen devices."""
        return AssignmentBatch(*(getattr(self, f.name)[rows] for f in fields(self)))
