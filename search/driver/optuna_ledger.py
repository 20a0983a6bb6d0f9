"""The ledger of a study that several processes, on one machine or many, share through Optuna."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.interrupts import postponed_interrupt
from hdap.search.driver.ledger import Ledger
from hdap.search.driver.trial_batches import batch
from hdap.search.problem.accuracy import Judging
from hdap.search.problem.accuracy_objective import lacking, with_accuracy
from hdap.search.problem.evaluation import Evaluation
from hdap.search.problem.objectives import ACCURACY
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import FLOOR, counts_of, distributions, parameters_of
from hdap.surrogate.learning.blas_threads import one_blas_thread

PROBLEM = "hdap problem"
"""Attribute of Optuna's study that says which problem it searches."""
JOINED = "hdap joined"
"""Prefix of the attributes that say who joined the study and when."""
CLOSE = 1e-6
"""Relative difference up to which predictions of two machines are the same."""


class OptunaLedger(Ledger):
    """One of Optuna's studies holds the trials and numbers them.

    Each trial is added finished, in a transaction of its own: parameters are positions on the grid
    of counts; its user attributes hold the channels in words, FLOPs, kept importance and the
    predicted fleet mean, so that any reader of Optuna's storage shows them. A trial that is in the
    storage is done, whatever happens to the process that found it.

    With `judging` accuracy travels with the trial: as a user attribute, and as one of its values or
    a constraint. Nobody judges it again.

    `before` is how many trials of the study hdap's own tables hold; the storage must know them.

    Raises:
        InputError: the study there searches another problem, or lacks trials that hdap knows.
    """

    at_once = 10

    def __init__(
        self,
        storage: BaseStorage,
        study: str,
        problem: SearchProblem,
        limit: int,
        before: int = 0,
        judging: Judging | None = None,
    ) -> None:
        super().__init__(limit)
        self.problem, self.judging, self._storage = problem, judging, storage
        self._space = distributions(problem.space)
        directions = [StudyDirection.MINIMIZE] * len(problem.goals.names)
        self.study = optuna.create_study(
            storage=storage, study_name=study, directions=directions, load_if_exists=True
        )
        self._id = storage.get_study_id_from_name(study)
        self._known: set[int] = set()
        self._highest = -1
        _check_problem(self.study, problem, judging)
        if len(self._finished()) < before:
            raise InputError(
                f"the storage must hold all {before:,} trials that study {study} has, but holds "
                f"{len(self._finished()):,}: it was searched without this storage; go on without "
                f"--storage and --workers, or start a new study"
            )
        self.host = uuid.uuid4().int & 0xFFFFFFFF
        self.study.set_user_attr(f"{JOINED} {self.host:08x}", datetime.now(UTC).isoformat())

    @property
    def done(self) -> int:
        return min(self._highest + 1, self.limit)

    def add(self, trials: TrialBatch) -> None:
        for trial in self._told(trials):
            if self.done >= self.limit:
                break
            with postponed_interrupt():
                key = self._storage.create_new_trial(self._id, trial)
                number = self._storage.get_trial_number_from_id(key)
                self._highest = max(self._highest, number)

    def news(self) -> TrialBatch | None:
        fresh = [t for t in self._finished() if t.number not in self._known]
        if not fresh:
            return None
        self._known |= {t.number for t in fresh}
        self._highest = max(self._highest, *self._known)
        with one_blas_thread():
            counts = np.stack([counts_of(self.problem.space, t.params) for t in fresh])
            found = self.problem.evaluate(counts)
        if self.judging is not None:
            accuracy = np.array([t.user_attrs.get(ACCURACY, np.nan) for t in fresh])
            found = with_accuracy(self.problem, found, accuracy, self.judging.least)
        numbers = np.array([t.number for t in fresh], dtype=np.int64)
        times = np.array([[_utc(t.datetime_start), _utc(t.datetime_complete)] for t in fresh])
        return batch(found, numbers, times[:, 0], times[:, 1])

    def _finished(self) -> list[FrozenTrial]:
        """Trials of this problem below the limit, by number; others' own experiments are left."""
        every = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        mine = self._space.keys()
        return [t for t in every if t.number < self.limit and mine <= t.params.keys()]

    def _told(self, trials: TrialBatch) -> list[FrozenTrial]:
        with one_blas_thread():
            found = self.problem.evaluate(trials.counts)
        constraints = {FLOOR: found.scores.violation}
        if self.judging is not None and trials.accuracy is not None:
            least = self.judging.least
            found = with_accuracy(self.problem, found, trials.accuracy, least)
            if least is not None:
                constraints[ACCURACY] = lacking(trials.accuracy, least)
        texts = format_channels(self.problem.architecture, trials.counts)
        return [
            self._frozen(found, trials, row, {n: float(c[row]) for n, c in constraints.items()}, t)
            for row, t in enumerate(texts)
        ]

    def _frozen(
        self,
        found: Evaluation,
        trials: TrialBatch,
        row: int,
        constraints: dict[str, float],
        channels: str,
    ) -> FrozenTrial:
        values = found.scores.values
        trial = create_trial(
            values=[float(found.scores.value[row])] if values is None else values[row].tolist(),
            params=parameters_of(self.problem.space, trials.counts[row]),
            distributions=self._space,
            constraints=constraints,
            # how Optuna stored them before version 5, and optuna-dashboard 0.21 still reads them
            system_attrs={"constraints": list(constraints.values())},
            user_attrs={
                "channels": channels,
                "flops": int(trials.flops[row]),
                "kept_importance": float(trials.kept_importance[row]),
                "predicted_fleet_mean_ms": float(trials.fleet_mean_ms[row]),
            }
            | _accuracy_of(trials, row),
        )
        trial.datetime_start = _local(trials.started_at[row])
        trial.datetime_complete = _local(trials.finished_at[row])
        return trial


def _accuracy_of(trials: TrialBatch, row: int) -> dict[str, float]:
    if trials.accuracy is None or not np.isfinite(trials.accuracy[row]):
        return {}
    return {ACCURACY: float(trials.accuracy[row])}


def check_shared(
    storage: BaseStorage, study: str, problem: SearchProblem, judging: Judging | None
) -> None:
    """Raise InputError where the storage has a study of that name that searches another problem.

    Changes nothing, so it can be asked before anything is stored.
    """
    if study in optuna.get_all_study_names(storage):
        found = optuna.load_study(study_name=study, storage=storage)
        _compare(found, _signs(problem, judging))


def _check_problem(study: Study, problem: SearchProblem, judging: Judging | None) -> None:
    own = _signs(problem, judging)
    if study.user_attrs.get(PROBLEM):
        _compare(study, own)
    else:
        study.set_user_attr(PROBLEM, own)


def _compare(study: Study, own: dict[str, Any]) -> None:
    stored: Mapping[str, Any] = study.user_attrs.get(PROBLEM) or own
    names = list(dict.fromkeys([*own, *stored]))
    other = [name for name in names if not _alike(own.get(name), stored.get(name))]
    if other:
        raise InputError(
            f"study {study.study_name} must search the same problem everywhere, but in the storage "
            f"it has another {', '.join(other)}: join it with the same database, weights and data, "
            f"or start another"
        )


def _signs(problem: SearchProblem, judging: Judging | None) -> dict[str, Any]:
    found = problem.evaluate(problem.space.widest[None])
    signs: dict[str, Any] = {
        "architecture": problem.architecture.digest,
        "grid": problem.space.sizes.tolist(),
        "FLOPs budget": [float(problem.band.low), float(problem.band.high)],
        "objective": problem.objective,
        "floor": problem.floor,
        "risk": problem.risk,
        "surrogates": found.cluster_ms[0].tolist(),
        "fleet": [float(found.fleet_mean_ms[0])],
    }
    if judging is not None:
        signs["data or weights to judge accuracy on"] = judging.judge.judged_on
        if judging.least is not None:
            signs["least accuracy"] = judging.least
    return signs


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, str) or one is None or other is None or np.shape(one) != np.shape(other):
        return bool(one == other)
    return bool(np.allclose(one, other, rtol=CLOSE, atol=0.0))


def _local(time: np.datetime64) -> datetime:
    """Optuna's times are local ones without a zone."""
    moment: datetime = time.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _utc(time: datetime | None) -> np.datetime64:
    if time is None:
        return np.datetime64("NaT", "us")
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")
