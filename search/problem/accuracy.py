"""Accuracy as a constraint or an objective: who evaluates networks, and what is learned from it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats
from hdap.search.problem.bayesian_regression import BayesianRegression
from hdap.search.problem.evaluation import Evaluation
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.objectives import ACCURACY, Goals


class Evaluator(ABC):
    """Evaluates pruned networks on data; the same configuration always gets the same accuracy.

    `judged_on` names the data and the weights: evaluators of that name say the same everywhere.
    """

    judged_on: str

    @abstractmethod
    def accuracy(self, counts: Counts) -> Floats:
        """The share of images that each network gets right: `n x groups` -> `n`, in 0..1."""

    def tell(self, counts: Counts, accuracy: Floats) -> None:  # noqa: B027
        """What others found for the same (`n x groups`, `n`; NaN: not evaluated), to be kept by an
        evaluator that remembers."""


class AccuracyModel:
    """What accuracy a configuration will have, as far as the evaluated ones tell.

    Bayesian regression of accuracy on the logarithm of what each group keeps, weighted as its proxy
    does: with few evaluated networks kept importance decides, with more the groups that matter
    most. It only steers the search; a trial counts by its own accuracy.
    """

    def __init__(self, importance: Importance, least: float) -> None:
        self.importance, self.least = importance, least
        self._shares = np.empty((0, len(importance.curves)))
        self._accuracy = np.empty(0)
        self._regression: BayesianRegression | None = None

    def learn(self, counts: Counts, accuracy: Floats) -> None:
        """Take in evaluated configurations (`n x groups`, `n`; NaN: was not evaluated)."""
        known = np.isfinite(accuracy)
        if not known.any():
            return
        self._shares = np.vstack([self._shares, self.importance.log_shares(counts[known])])
        self._accuracy = np.concatenate([self._accuracy, accuracy[known]])
        self._regression = BayesianRegression.of(self._shares, self._accuracy)

    def predicted(self, counts: Counts) -> Floats:
        """Expected accuracy, `n x groups` -> `n`; 1 as long as nothing was evaluated."""
        if self._regression is None:
            return np.ones(len(counts))
        return self._regression.expected(self.importance.log_shares(counts))

    def shortfall(self, counts: Counts) -> Floats:
        """How far the expected accuracy is below the least allowed: `n`, 0 where it is not."""
        return np.maximum(self.least - self.predicted(counts), 0.0)


@dataclass(frozen=True)
class AccuracyGoal:
    """How a search takes accuracy into account.

    With `least` it is a constraint, and `model` says beforehand who will keep it; without, what a
    network lacks of 1 is the objective `accuracy` of the problem.
    """

    evaluator: Evaluator
    least: float | None = None
    model: AccuracyModel | None = None

    @classmethod
    def of(
        cls, evaluator: Evaluator, importance: Importance, least: float | None
    ) -> "AccuracyGoal":
        """With a model where there is a least accuracy to be guided to."""
        return cls(evaluator, least, None if least is None else AccuracyModel(importance, least))

    def evaluated(self, goals: Goals, found: Evaluation) -> Evaluation:
        """The same networks with their accuracy; NaN for those that are out anyway."""
        accuracy = np.full(len(found.counts), np.nan)
        rows = np.flatnonzero(found.feasible)
        if len(rows):
            accuracy[rows] = self.evaluator.accuracy(found.counts[rows])
        return self.applied(goals, found, accuracy)

    def applied(self, goals: Goals, found: Evaluation, accuracy: Floats) -> Evaluation:
        """The same networks with an accuracy that is known (`n`, NaN: not evaluated)."""
        if self.least is not None:
            violation = found.scores.violation + self.shortfall(accuracy)
            scores = replace(found.scores, violation=violation)
            feasible = found.feasible & (accuracy >= self.least)
            return replace(found, accuracy=accuracy, feasible=feasible, scores=scores)
        assert found.values is not None
        column, values = goals.names.index(ACCURACY), found.values.copy()
        values[:, column] = np.where(np.isfinite(accuracy), 1.0 - accuracy, values[:, column])
        scores = replace(found.scores, values=values)
        return replace(found, accuracy=accuracy, values=values, scores=scores)

    def shortfall(self, accuracy: Floats) -> Floats:
        """What each network lacks of the least accuracy: `n`; 0 where it was not evaluated."""
        short: Floats = np.nan_to_num(np.maximum((self.least or 0.0) - accuracy, 0.0))
        return short
