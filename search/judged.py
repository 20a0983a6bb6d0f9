"""Evaluations that know the accuracy of their networks."""

from dataclasses import replace

import numpy as np

from hdap.fleet_data.records import Floats
from hdap.search.accuracy import Judging
from hdap.search.evaluation import Evaluation
from hdap.search.objectives import ACCURACY
from hdap.search.problem import SearchProblem


def judged(problem: SearchProblem, found: Evaluation, judging: Judging) -> Evaluation:
    """The same networks with their accuracy; those that were out anyway are not judged (NaN)."""
    accuracy = np.full(len(found.counts), np.nan)
    rows = np.flatnonzero(found.feasible)
    if len(rows):
        accuracy[rows] = judging.judge.accuracy(found.counts[rows])
    if judging.least is None:
        return _as_objective(problem, found, accuracy)
    lacking = np.nan_to_num(np.maximum(judging.least - accuracy, 0.0))
    scores = replace(found.scores, violation=found.scores.violation + lacking)
    feasible = found.feasible & (accuracy >= judging.least)
    return replace(found, accuracy=accuracy, feasible=feasible, scores=scores)


def _as_objective(problem: SearchProblem, found: Evaluation, accuracy: Floats) -> Evaluation:
    assert found.values is not None
    column = problem.goals.names.index(ACCURACY)
    values = found.values.copy()
    values[:, column] = np.where(np.isfinite(accuracy), 1.0 - accuracy, values[:, column])
    scores = replace(found.scores, values=values)
    return replace(found, accuracy=accuracy, values=values, scores=scores)
