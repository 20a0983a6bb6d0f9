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
from hdap.search.driver.ledger import Ledger
from hdap.search.driver.unseen import ConfigurationSet
from hdap.search.problem.accuracy import AccuracyGoal
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
    storage is done, whatever happens to the process that found it. Where two processes enter one
    configuration at the same moment, the trial of the lower number counts and the other one is none
    of the study's, for whoever reads it.

    With `accuracy` that of a trial travels with it: as a user attribute, and as one of its values
    or a constraint. Nobody evaluates it again.

    `before` are the trials of the study that hdap's own tables hold; the storage must know them.

    Raises:
        InputError: the study there searches another problem, or lacks trials that hdap knows.
    """

    at_once = 10
    shared = True

    def __init__(
        self,
        storage: BaseStorage,
        study: str,
        problem: SearchProblem,
        limit: int,
        before: TrialBatch | None = None,
        accuracy: AccuracyGoal | None = None,
    ) -> None:
        super().__init__(limit, before)
        self.problem, self.accuracy, self._storage = problem, accuracy, storage
        self._space = distributions(problem.space)
        directions = [StudyDirection.MINIMIZE] * len(problem.goals.names)
        self.study = optuna.create_study(
            storage=storage, study_name=study, directions=directions, load_if_exists=True
        )
        self._id = storage.get_study_id_from_name(study)
        self._known: set[int] = set() if before is None else set(before.number.tolist())
        self._heard = ConfigurationSet(None if before is None else before.counts)
        _check_problem(self.study, problem, accuracy)
        finished = self._finished()
        if len(finished) < len(self._known):
            raise InputError(
                f"the storage must hold all {len(self._known):,} trials that study {study} has, "
                f"but holds {len(finished):,}: it was searched without this storage; go on without "
                f"--storage and --workers, or start a new study"
            )
        self.host = uuid.uuid4().int & 0xFFFFFFFF
        self.study.set_user_attr(f"{JOINED} {self.host:08x}", datetime.now(UTC).isoformat())

    @property
    def done(self) -> int:
        return min(len(self.configurations), self.limit)

    def add(self, trials: TrialBatch) -> None:
        places = np.flatnonzero(self.configurations.lacks(trials.counts))
        fresh = trials.take(places[: self.limit - self.done])
        for trial in self._told(fresh) if len(fresh) else []:
            self._storage.create_new_trial(self._id, trial)
        self.configurations.add(fresh.counts)

    def news(self) -> TrialBatch | None:
        fresh = [t for t in self._finished() if t.number not in self._known]
        if not fresh:
            return None
        self._known |= {t.number for t in fresh}
        counts = np.stack([counts_of(self.problem.space, t.params) for t in fresh])
        self.configurations.add(counts)
        room = self.limit - len(self._heard)
        places = np.flatnonzero(self._heard.add(counts))[: max(room, 0)]
        if not len(places):
            return None
        fresh, counts = [fresh[place] for place in places], counts[places]
        with one_blas_thread():
            found = self.problem.evaluate(counts)
        if self.accuracy is not None:
            accuracy = np.array([t.user_attrs.get(ACCURACY, np.nan) for t in fresh])
            found = self.accuracy.applied(self.problem.goals, found, accuracy)
            self.accuracy.evaluator.tell(found.counts, accuracy)
        numbers = np.array([t.number for t in fresh], dtype=np.int64)
        times = np.array([[_utc(t.datetime_start), _utc(t.datetime_complete)] for t in fresh])
        return found.trials(numbers, times[:, 0], times[:, 1])

    def _finished(self) -> list[FrozenTrial]:
        """Trials of this problem, by number; others' own experiments are left."""
        every = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        mine = self._space.keys()
        return [t for t in every if mine <= t.params.keys()]

    def _told(self, trials: TrialBatch) -> list[FrozenTrial]:
        with one_blas_thread():
            found = self.problem.evaluate(trials.counts)
        constraints = {FLOOR: found.scores.violation}
        if self.accuracy is not None and trials.accuracy is not None:
            found = self.accuracy.applied(self.problem.goals, found, trials.accuracy)
            if self.accuracy.least is not None:
                constraints[ACCURACY] = self.accuracy.shortfall(trials.accuracy)
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
    storage: BaseStorage, study: str | None, problem: SearchProblem, accuracy: AccuracyGoal | None
) -> list[str]:
    """The names of the storage's studies; changes nothing, so it can be asked beforehand.

    Raises InputError where it has a study of that name that searches another problem.
    """
    names = optuna.get_all_study_names(storage)
    if study in names:
        found = optuna.load_study(study_name=study, storage=storage)
        _compare(found, _signs(problem, accuracy))
    return names


def _check_problem(study: Study, problem: SearchProblem, accuracy: AccuracyGoal | None) -> None:
    own = _signs(problem, accuracy)
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


def _signs(problem: SearchProblem, accuracy: AccuracyGoal | None) -> dict[str, Any]:
    found = problem.evaluate(problem.space.widest[None])
    signs: dict[str, Any] = {
        "architecture": problem.architecture.digest,
        "grid": problem.space.sizes.tolist(),
        "FLOPs budget": [float(problem.band.low), float(problem.band.high)],
        "objective": problem.goals.text,
        "floor": problem.floor,
        "risk": problem.risk,
        "surrogates": found.cluster_ms[0].tolist(),
        "fleet": [float(found.fleet_mean_ms[0])],
    }
    if accuracy is not None:
        signs["data or weights to judge accuracy on"] = accuracy.evaluator.judged_on
        if accuracy.least is not None:
            signs["least accuracy"] = accuracy.least
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
