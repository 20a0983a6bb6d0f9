"""Where the trials of a search come from: the interface, and a sampler in this process."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.unseen import Unseen
from hdap.search.problem.accuracy import AccuracyGoal
from hdap.search.problem.evaluation import Evaluation
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.registry import SAMPLERS, make_sampler
from hdap.surrogate.learning.blas_threads import one_blas_thread

State = Mapping[str, Any]
EVALUATED_AT_ONCE = 10
DRY = 8
"""Batches without anything new after which a sampler is taken to have no more to propose."""
LOOK_AHEAD = 4
"""Generations between two batches: accuracy is dear, so only their best is evaluated."""


class ProposalSource(ABC):
    """Proposes configurations of `problem` and evaluates them; a driver numbers what comes of it.

    The driver calls `start` once, unless its study is complete, then `advance` again and again,
    `hear` of all that was entered since, the source's own trials included, and `stop` at the end,
    whatever happened. A source keeps nothing that the driver could lose: what it has given away
    counts, what it has not is forgotten when it stops.
    """

    problem: SearchProblem

    @abstractmethod
    def start(self, known: TrialBatch | None, state: State, at_once: int) -> None:
        """Get ready to go on after the trials that the study has, the sampler's state being
        `state`; no batch may have more than `at_once` trials."""

    @abstractmethod
    def advance(self, wanted: int) -> Iterator[TrialBatch]:
        """Some of the `wanted` trials that the study lacks, at least after a moment's wait none.

        Their numbers mean nothing. The driver may leave the iterator early.
        """

    @abstractmethod
    def hear(self, new: TrialBatch) -> None:
        """Trials that the study has got, whoever found them; returns at once."""

    @property
    @abstractmethod
    def scored(self) -> int:
        """Configurations that the surrogates were asked about so far."""

    @property
    @abstractmethod
    def exhausted(self) -> bool:
        """Whether nothing is left to propose that the study does not have."""

    @property
    def resumable(self) -> bool:
        """Whether a study that was stopped goes on to the trials of one that never was."""
        return False

    def state(self) -> State:
        """What the next proposals depend on, ready for JSON; empty where it cannot be said."""
        return {}

    def stop(self) -> None:  # noqa: B027
        """Let go of all that `start` took."""


class InProcess(ProposalSource):
    """One sampler, asked in this process; where others search the study too it learns of theirs.

    What the study has already is not proposed again, whatever the sampler does: another near it
    takes its place. With `accuracy` the sampler looks ahead, so that the few it proposes are worth
    evaluating.
    """

    def __init__(
        self,
        problem: SearchProblem,
        sampler: str = "fleet",
        seed: int = 0,
        accuracy: AccuracyGoal | None = None,
    ) -> None:
        self.problem, self.accuracy = problem, accuracy
        kind = SAMPLERS[sampler]
        guided = replace(problem, accuracy_model=accuracy.model) if accuracy else problem
        self.sampler = make_sampler(guided, kind, seed)
        self._batch = min(kind.batch, EVALUATED_AT_ONCE) if accuracy else kind.batch
        self._heard: list[TrialBatch] = []
        self._own: set[bytes] = set()
        self._unseen = Unseen(problem, seed)
        self._evaluated = self._dry = 0

    @property
    def scored(self) -> int:
        return self._evaluated + self.sampler.scored

    @property
    def exhausted(self) -> bool:
        return self._unseen.left == 0 or self._dry >= DRY

    @property
    def resumable(self) -> bool:
        return self.sampler.resumable

    def start(self, known: TrialBatch | None, state: State, at_once: int) -> None:
        self._batch = min(self._batch, at_once)
        if known is not None:
            self.sampler.restore(state, known.counts)
            self._unseen.note(known.counts)
            self._learn(known)

    def advance(self, wanted: int) -> Iterator[TrialBatch]:
        for others in self._heard:
            self.sampler.inject(others.counts)
            self._unseen.note(others.counts)
            self._learn(others)
        self._heard = []
        n, started = min(self._batch, wanted, self._unseen.left or wanted), _now()
        if self.accuracy:
            for _ in range(LOOK_AHEAD):
                if not self.sampler.refine(n):
                    break
        proposed = self.sampler.propose_many(n)
        order, instead = self._unseen.replaced(proposed)
        self.sampler.note(instead)
        found = _evaluated(self.problem, np.vstack([proposed, instead]))
        if self.accuracy:
            found = self.accuracy.evaluated(self.problem.goals, found)
        self.sampler.tell(found.scores.at(np.arange(len(proposed))))
        self._evaluated += len(found.counts)
        self._dry = 0 if len(order) else self._dry + 1
        if len(order):
            trials = _timed(found, started).take(order)
            self._learn(trials)
            self._own |= {row.tobytes() for row in trials.counts}
            yield trials

    def hear(self, new: TrialBatch) -> None:
        others = np.array([row.tobytes() not in self._own for row in new.counts], dtype=np.bool_)
        if others.any():
            self._heard.append(new.take(others))

    def state(self) -> State:
        return self.sampler.state()

    def _learn(self, trials: TrialBatch) -> None:
        model = self.accuracy.model if self.accuracy else None
        if model is not None and trials.accuracy is not None:
            model.learn(trials.counts, trials.accuracy)
            self.sampler.invalidate()


def trials_of(problem: SearchProblem, counts: Counts) -> TrialBatch:
    """Configurations (`n x groups`), evaluated, as trials 0, 1, ..."""
    started = _now()
    return _timed(_evaluated(problem, counts), started)


def _evaluated(problem: SearchProblem, counts: Counts) -> Evaluation:
    with one_blas_thread():
        return problem.evaluate(counts)


def _timed(found: Evaluation, started: np.datetime64) -> TrialBatch:
    n = len(found.counts)
    return found.trials(np.arange(n), np.full(n, started), np.full(n, _now()))


def _now() -> np.datetime64:
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")
