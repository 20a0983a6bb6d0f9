"""Networks in the making: training, compression, levels of elastic networks, portfolios."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class EpochRecord:
    """One epoch (from 1) of a training run; losses in nats (NaN: not finite).

    `checkpoint` is the folder that the run writes; `accuracy` the share of validation images that
    are right, `lr` the rate of the epoch's last step. Where a training minimised a loss of the
    user's own, what the function `metric` gave stands there; "" and NaN: there was none.
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
    metric: str = "accuracy"


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
