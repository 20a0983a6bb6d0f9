import json
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats, TrialBatch
from hdap.search.driver.run_search import ResumeState, SearchResult, run_search
from hdap.search.problem.accuracy import AccuracyGoal, AccuracyModel, Evaluator
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.objectives import ACCURACY
from hdap.search.problem.search_problem import SearchProblem

Make = Callable[..., SearchProblem]


class LastGroups(Evaluator):
    """Accuracy that hangs on the last third of the groups alone, against kept importance."""

    def __init__(self, importance: Importance) -> None:
        self.importance = importance
        self.evaluated: list[Counts] = []

    def accuracy(self, counts: Counts) -> Floats:
        self.evaluated.append(counts)
        shares = self.importance.log_shares(counts)
        found: Floats = 0.9 + 0.3 * shares[:, -shares.shape[1] // 3 :].mean(axis=1)
        return np.clip(found, 0.0, 1.0)


@pytest.fixture
def problem(make_problem: Make) -> SearchProblem:
    return make_problem("mobilenetv1_100", "30%")


@pytest.fixture
def evaluator(problem: SearchProblem) -> LastGroups:
    return LastGroups(problem.importance)


def _trials(result: SearchResult) -> TrialBatch:
    assert result.trials is not None
    return result.trials


def _goal(problem: SearchProblem, evaluator: Evaluator, least: float | None) -> AccuracyGoal:
    return AccuracyGoal.of(evaluator, problem.importance, least)


def test_a_guide_learns_which_groups_accuracy_hangs_on(
    problem: SearchProblem, evaluator: LastGroups
) -> None:
    rng = np.random.default_rng(0)
    known, others = (problem.repair(problem.space.random(80, rng)) for _ in range(2))
    model = AccuracyModel(problem.importance, 0.7)
    assert model.shortfall(others).tolist() == [0.0] * 80
    model.learn(known[:40], evaluator.accuracy(known[:40]))
    model.learn(known[40:], np.where(np.arange(40) < 3, np.nan, evaluator.accuracy(known[40:])))
    truth = evaluator.accuracy(others)
    error = np.abs(model.predicted(others) - truth).mean()
    assert error < 0.3 * np.abs(truth - truth.mean()).mean()
    short = model.shortfall(others)
    assert np.array_equal(short > 0.0, model.predicted(others) < 0.7)


def test_one_evaluated_network_says_nothing_about_groups(
    problem: SearchProblem, evaluator: LastGroups
) -> None:
    model = AccuracyModel(problem.importance, 0.7)
    one = problem.uniform[None]
    model.learn(one, evaluator.accuracy(one))
    assert model.predicted(problem.space.widest[None]) == pytest.approx(evaluator.accuracy(one))


@pytest.mark.parametrize("sampler", ["fleet", "random"])
def test_a_trial_is_feasible_only_with_the_least_accuracy(
    problem: SearchProblem, evaluator: LastGroups, sampler: str
) -> None:
    least = float(evaluator.accuracy(problem.uniform[None])[0]) + 0.01
    trials = _trials(
        run_search(problem, sampler, trials=60, accuracy=_goal(problem, evaluator, least))
    )
    assert trials.accuracy is not None
    plain = problem.evaluate(trials.counts)
    assert np.array_equal(np.isfinite(trials.accuracy), plain.feasible)
    assert np.array_equal(trials.feasible, plain.feasible & (trials.accuracy >= least))
    assert not trials.feasible[(trials.counts == problem.uniform).all(axis=1)].any()


def test_the_search_is_guided_to_networks_that_are_accurate_enough(
    problem: SearchProblem, evaluator: LastGroups
) -> None:
    blind = _trials(run_search(problem, trials=100))
    least = float(np.quantile(evaluator.accuracy(blind.counts), 0.99)) + 0.01
    trials = _trials(run_search(problem, trials=100, accuracy=_goal(problem, evaluator, least)))
    assert (evaluator.accuracy(blind.counts) >= least).sum() == 0
    assert trials.feasible[50:].mean() > 0.2


def test_accuracy_as_an_objective_makes_a_front_of_what_was_evaluated(
    make_problem: Make, evaluator: LastGroups
) -> None:
    problem = make_problem("mobilenetv1_100", "30%", objective=f"mean,{ACCURACY}")
    trials = _trials(run_search(problem, trials=120, accuracy=_goal(problem, evaluator, None)))
    assert trials.values is not None
    assert trials.accuracy is not None
    known = np.isfinite(trials.accuracy)
    assert np.array_equal(known, trials.feasible)
    assert np.allclose(trials.values[known, 1], 1.0 - trials.accuracy[known])
    assert np.allclose(trials.values[:, 0], trials.ucb_ms)
    assert np.ptp(trials.accuracy[known]) > 0.02


def test_a_search_with_accuracy_cut_between_batches_resumes_to_the_trials_of_one_that_never_stopped(
    problem: SearchProblem, evaluator: LastGroups
) -> None:
    least = float(evaluator.accuracy(problem.uniform[None])[0]) + 0.01
    whole = _trials(run_search(problem, trials=80, accuracy=_goal(problem, evaluator, least)))
    first = run_search(problem, trials=40, accuracy=_goal(problem, evaluator, least))
    state = json.loads(json.dumps(dict(first.sampler_state)))
    resumed = _trials(
        run_search(
            problem,
            trials=80,
            resume=ResumeState(_trials(first), state),
            accuracy=_goal(problem, evaluator, least),
        )
    )
    assert np.array_equal(resumed.take(np.arange(40)).counts, whole.counts[:40])
    names = [f.name for f in fields(TrialBatch) if f.name not in ("started_at", "finished_at")]
    same = replace(resumed, started_at=whole.started_at, finished_at=whole.finished_at)
    for name in names:
        one, other = getattr(same, name), getattr(whole, name)
        assert one is other is None or np.array_equal(one, other, equal_nan=True), name
