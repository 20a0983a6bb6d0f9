"""Fit the surrogates of a model and say how far they can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import (
    ClusteringRecord,
    Floats,
    HeldOutRecord,
    Ints,
    Measurements,
    SurrogateRecord,
)
from hdap.fleet_data.wording import percent
from hdap.surrogate.learning.pooled_cells import require_configurations
from hdap.surrogate.models.base import Z90, FleetSurrogate
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.registry import BASE_LINES, SURROGATES
from hdap.surrogate.training_data.training_cells import TrainingData, training_data
from hdap.surrogate.validation.choose_by_state import StateChoice, choose_by_state, fit_chosen
from hdap.surrogate.validation.cross_validation import (
    HeldOut,
    Score,
    calibration,
    cross_validate,
    score,
)

TRUSTED_ROWS = 20
"""Pruned rows below which a cluster rests on the others."""
HIGH_ERROR = 0.05
OVER_NOISE = 3.0
LOW_COVERAGE = 0.8


@dataclass(frozen=True)
class FitResult:
    """Fitted surrogates with their figures on held-out configurations.

    `records` and `scores` hold one entry a cluster; `base_lines` the scores of other kinds on the
    same folds; `states` what was chosen for each runtime and precision (of kind `fleet`);
    `held_out` what was said of each cell that was not seen; `data` what was learned from.
    `warnings` say in words which clusters not to trust.
    """

    surrogate: FleetSurrogate
    records: tuple[SurrogateRecord, ...]
    scores: tuple[Score, ...]
    base_lines: Mapping[str, tuple[Score, ...]]
    data: TrainingData
    held_out: tuple[HeldOutRecord, ...]
    states: tuple[StateChoice, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of `data`, or rescaled."""
        return self.data.notes

    @property
    def choices(self) -> tuple[str, ...]:
        """What was chosen for each runtime and precision, in words; nothing where there was no
        choice to speak of."""
        usual = [state.kind for state in self.states] in ([], [FleetModel.kind])
        return () if usual else tuple(state.words for state in self.states)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The records' warnings, each naming its cluster."""
        return tuple(f"cluster {r.cluster}: {r.warning}" for r in self.records if r.warning)


def fit(
    architecture: Architecture,
    measurements: Measurements,
    clustering: ClusteringRecord,
    kind: str = "fleet",
    seed: int = 0,
    created_at: datetime | None = None,
    measurement_mark: int = 0,
    base_lines: tuple[str, ...] = BASE_LINES,
) -> FitResult:
    """Fit one latency function a cluster and validate it, with the base lines beside it.

    Raises NotEnoughDataError where there is too little to learn from, and InputError for an
    unknown kind.
    """
    chosen = SURROGATES[kind]
    data = training_data(architecture, measurements, clustering)
    require_configurations(data)
    states: tuple[StateChoice, ...] = ()
    if chosen is FleetModel:
        found = choose_by_state(data, seed)
        held, states = found.held, found.states
        fitted = fit_chosen(data, found, seed)
    else:
        held = cross_validate(chosen, data, seed=seed)
        fitted = chosen.fit(data, seed)
    scores = score(held, data)
    factors = calibration(held, data.clusters)
    surrogate = fitted.calibrated(factors)
    others = {
        name: score(cross_validate(SURROGATES[name], data, seed=seed), data)
        for name in base_lines
        if name != kind
    }
    created = created_at or datetime.now(UTC)
    records = _records(data, surrogate, scores, clustering.id, created, measurement_mark, kind)
    told = _held_out(held, factors, data, clustering.id, kind)
    return FitResult(surrogate, records, scores, others, data, told, states)


def _held_out(
    held: HeldOut, factors: Floats, data: TrainingData, clustering_id: int, kind: str
) -> tuple[HeldOutRecord, ...]:
    cells, middle = held.cells, held.predicted_log_ms
    reach = Z90 * held.predicted_log_sd * factors[cells.cluster]
    logs = (cells.log_ms, middle, middle - reach, middle + reach)
    counted = (cells.cluster, flops(data.architecture, cells.counts), cells.rows)
    columns = [column.tolist() for column in (*counted, *map(np.exp, logs))]
    fit = (clustering_id, data.architecture.model, kind)
    return tuple(HeldOutRecord(*fit, *row) for row in zip(*columns, strict=True))


def _records(
    data: TrainingData,
    surrogate: FleetSurrogate,
    scores: tuple[Score, ...],
    clustering_id: int,
    created_at: datetime,
    measurement_mark: int,
    kind: str,
) -> tuple[SurrogateRecord, ...]:
    pruned = data.at(~data.dense)
    rows = np.bincount(pruned.cluster, minlength=data.clusters)
    payloads = surrogate.payloads()
    dense = np.full(data.clusters, np.nan)
    measured = data.at(data.dense).cells
    dense[measured.cluster] = np.exp(measured.log_ms)
    return tuple(
        SurrogateRecord(
            clustering_id=clustering_id,
            cluster=s.cluster,
            model=data.architecture.model,
            architecture_digest=data.architecture.digest,
            kind=kind,
            created_at=created_at,
            measurement_mark=measurement_mark,
            rows=int(rows[s.cluster]),
            configurations=s.cells,
            mape=s.mape,
            kendall_tau=s.kendall_tau,
            coverage=s.coverage,
            dense_ms=float(dense[s.cluster]),
            noise_floor=s.noise_floor,
            warning=_warning(s, int(rows[s.cluster]), data),
            payload=payloads[s.cluster],
        )
        for s in scores
    )


def _warning(score: Score, rows: int, data: TrainingData) -> str:
    """What a person must know before trusting a cluster's surrogate; empty when it can be."""
    if rows == 0:
        dense = _dense_rows(data)[score.cluster]
        rests = "its dense latency" if dense else "what the clustering says of its speed"
        return (
            f"no pruned network was measured here: it rests on the other clusters and on {rests}; "
            f"measure {TRUSTED_ROWS} configurations: hdap plan"
        )
    if rows < TRUSTED_ROWS:
        return (
            f"only {rows} measurements of pruned networks: it leans on the other clusters; "
            f"measure {TRUSTED_ROWS - rows} more: hdap plan"
        )
    if score.mape > max(HIGH_ERROR, OVER_NOISE * np.nan_to_num(score.noise_floor)):
        noise = f"far above the noise of {percent(score.noise_floor)}"
        told = noise if np.isfinite(score.noise_floor) else f"above {percent(HIGH_ERROR, 0)}"
        return (
            f"the held-out error of {percent(score.mape)} is {told}: measure more configurations: "
            "hdap plan"
        )
    if score.coverage < LOW_COVERAGE:
        return f"only {percent(score.coverage, 0)} of held-out medians lie in their 90 % interval"
    return ""


def _dense_rows(data: TrainingData) -> Ints:
    return np.bincount(data.cluster[data.dense], minlength=data.clusters).astype(np.int64)
