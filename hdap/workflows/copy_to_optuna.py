"""Studies in Optuna's own format: a copy, so that nobody waits for a running search or stops it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import StudyRecord, TrialBatch
from hdap.fleet_data.store import Store
from hdap.search.samplers.base import FLOOR
from hdap.search.samplers.study_sampler import quiet_optuna

FIGURES = (
    "fleet_mean_ms",
    "fleet_mean_low_ms",
    "fleet_mean_high_ms",
    "fleet_p95_ms",
    "worst_cluster_ms",
    "worst_cluster",
    "kept_importance",
    "flops",
    "parameters",
    "feasible",
)
LISTED = "constraints"
"""Where Optuna's dashboard looks for constraints; Optuna itself takes both."""
BLOCK = 500


def copy_studies(
    store: Store,
    studies: tuple[StudyRecord, ...],
    storage: BaseStorage,
    progress: Callable[[int, int], None],
) -> int:
    """Add studies with all their trials to an Optuna storage that has none of these names; how many
    trials.

    A trial's values are what was minimised: of one objective in ms the predicted latency with its
    margin of doubt, else one number an objective. Its parameters are channel counts; whatever else
    is known of it are user attributes. `progress` gets trials copied and in all.
    """
    batches = [store.trials(study.id) for study in studies]
    total, done = sum(map(len, batches)), 0
    for record, batch in zip(studies, batches, strict=True):
        directions = [StudyDirection.MINIMIZE] * len(record.objective.split(","))
        with quiet_optuna():
            study = optuna.create_study(
                storage=storage, study_name=record.name, directions=directions
            )
        for name, value in _attributes(record, simulated=store.has_simulated()).items():
            study.set_user_attr(name, value)
        trials = frozen_trials(store.architecture(record.model), record, batch)
        for start in range(0, len(trials), BLOCK):
            study.add_trials(trials[start : start + BLOCK])
            done += len(trials[start : start + BLOCK])
            progress(done, total)
    return done


def frozen_trials(
    architecture: Architecture, record: StudyRecord, batch: TrialBatch
) -> list[FrozenTrial]:
    """The trials of a study as Optuna knows them, by number."""
    spaces = {g.name: IntDistribution(1, g.width) for g in architecture.groups}
    below = np.nan_to_num(record.kept_importance_floor - batch.kept_importance)
    # Feasible is what the search called so: rounding must not turn it over.
    violation = np.where(batch.feasible, np.minimum(below, 0.0), np.maximum(below, 1e-12))
    values = batch.ucb_ms[:, None] if batch.values is None else batch.values
    made = []
    for i in range(len(batch)):
        trial = create_trial(
            values=values[i].tolist(),
            params=dict(zip(spaces, batch.counts[i].tolist(), strict=True)),
            distributions=dict(spaces),
            user_attrs={name: _plain(getattr(batch, name)[i]) for name in FIGURES},
            system_attrs={LISTED: [float(violation[i])]},
            constraints={FLOOR: float(violation[i])},
        )
        trial.datetime_start = batch.started_at[i].item()
        trial.datetime_complete = batch.finished_at[i].item()
        made.append(trial)
    return made


def _attributes(record: StudyRecord, *, simulated: bool) -> dict[str, Any]:
    return {
        "model": record.model,
        "sampler": record.sampler,
        "seed": record.seed,
        "objective": record.objective,
        "flops_low": record.flops_low,
        "flops_high": record.flops_high,
        "kept_importance_floor": _plain(record.kept_importance_floor),
        "latency": "predicted, ms" + (" (simulated data)" if simulated else ""),
    }


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain
