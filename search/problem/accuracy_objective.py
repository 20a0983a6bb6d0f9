"""Evaluations that know the accuracy of their networks."""

from dataclasses import replace

import numpy as np

from hdap.fleet_data.records import Floats
from hdap.search.problem.accuracy import Judging
from hdap.search.problem.evaluation import Evaluation
from hdap.search.problem.objectives import ACCURACY
from hdap.search.problem.search_problem import SearchProblem


def judged(problem: SearchProblem, found: Evaluation, judging: Judging) -> Evaluation:
    """The same networks with their accuracy; those that were out anyway are not judged (NaN)."""
    accuracy = np.full(len(found.counts), np.nan)
    rows = np.flatnonzero(found.feasible)
    if len(rows):
        accuracy[rows] = judging.judge.accuracy(found.counts[rows])
    return with_accuracy(problem, found, accuracy, judging.least)


def with_accuracy(
    problem: SearchProblem, found: Evaluation, accuracy: Floats, least: float | None
) -> Evaluation:
    """The same networks with an accuracy that was judged (`n`, NaN: was not), as an objective or
    with `least` as a constraint."""
    if least is None:
        return _as_objective(problem, found, accuracy)
    violation = found.scores.violation + lacking(accuracy, least)
    scores = replace(found.scores, violation=violation)
    feasible = found.feasible & (accuracy >= least)
    return replace(found, accuracy=accuracy, feasible=feasible, scores=scores)


def lacking(accuracy: Floats, least: float) -> Floats:
    """How much each network lacks of the least accuracy: `n`; 0 where it was not judged."""
    short: Floats = np.nan_to_num(np.maximum(least - accuracy, 0.0))
    return short


def _as_objective(problem: SearchProblem, found: Evaluation, accuracy: Floats) -> Evaluation:
    assert found.values is not None
    column = problem.goals.names.index(ACCURACY)
    values = found.values.copy()
    values[:, column] = np.where(np.isfinite(accuracy), 1.0 - accuracy, values[:, column])
    scores = replace(found.scores, values=values)
    return replace(found, accuracy=accuracy, values=values, scores=scores)
