import json
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats, TrialBatch
from hdap.search.driver.run_search import ResumeState, SearchResult, run_search
from hdap.search.driver.trial_batches import taken
from hdap.search.problem.accuracy import AccuracyGuide, Judge, Judging
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.objectives import ACCURACY
from hdap.search.problem.search_problem import SearchProblem

Make = Callable[..., SearchProblem]


class LastGroups(Judge):
    """Accuracy that hangs on the last third of the groups alone, against kept importance."""

    def __init__(self, importance: Importance) -> None:
        self.importance = importance
        self.judged: list[Counts] = []

    def accuracy(self, counts: Counts) -> Floats:
        self.judged.append(counts)
        shares = self.importance.log_shares(counts)
        found: Floats = 0.9 + 0.3 * shares[:, -shares.shape[1] // 3 :].mean(axis=1)
        return np.clip(found, 0.0, 1.0)


@pytest.fixture
def problem(make_problem: Make) -> SearchProblem:
    return make_problem("mobilenetv1_100", "30%")


@pytest.fixture
def judge(problem: SearchProblem) -> LastGroups:
    return LastGroups(problem.importance)


def _trials(result: SearchResult) -> TrialBatch:
    assert result.trials is not None
    return result.trials


def _judging(problem: SearchProblem, judge: Judge, least: float | None) -> Judging:
    return Judging.of(judge, problem.importance, least)


def test_a_guide_learns_which_groups_accuracy_hangs_on(
    problem: SearchProblem, judge: LastGroups
) -> None:
    rng = np.random.default_rng(0)
    known, others = (problem.repair(problem.space.random(80, rng)) for _ in range(2))
    guide = AccuracyGuide(problem.importance, 0.7)
    assert guide.shortfall(others).tolist() == [0.0] * 80
    guide.learn(known[:40], judge.accuracy(known[:40]))
    guide.learn(known[40:], np.where(np.arange(40) < 3, np.nan, judge.accuracy(known[40:])))
    truth = judge.accuracy(others)
    error = np.abs(guide.predicted(others) - truth).mean()
    assert error < 0.3 * np.abs(truth - truth.mean()).mean()
    short = guide.shortfall(others)
    assert np.array_equal(short > 0.0, guide.predicted(others) < 0.7)


def test_one_judged_network_says_nothing_about_groups(
    problem: SearchProblem, judge: LastGroups
) -> None:
    guide = AccuracyGuide(problem.importance, 0.7)
    one = problem.uniform[None]
    guide.learn(one, judge.accuracy(one))
    assert guide.predicted(problem.space.widest[None]) == pytest.approx(judge.accuracy(one))


@pytest.mark.parametrize("sampler", ["fleet", "random"])
def test_a_trial_is_feasible_only_with_the_least_accuracy(
    problem: SearchProblem, judge: LastGroups, sampler: str
) -> None:
    least = float(judge.accuracy(problem.uniform[None])[0]) + 0.01
    trials = _trials(
        run_search(problem, sampler, trials=60, judging=_judging(problem, judge, least))
    )
    assert trials.accuracy is not None
    plain = problem.evaluate(trials.counts)
    assert np.array_equal(np.isfinite(trials.accuracy), plain.feasible)
    assert np.array_equal(trials.feasible, plain.feasible & (trials.accuracy >= least))
    assert not trials.feasible[(trials.counts == problem.uniform).all(axis=1)].any()


def test_the_search_is_guided_to_networks_that_are_accurate_enough(
    problem: SearchProblem, judge: LastGroups
) -> None:
    blind = _trials(run_search(problem, trials=100))
    least = float(np.quantile(judge.accuracy(blind.counts), 0.99)) + 0.01
    trials = _trials(run_search(problem, trials=100, judging=_judging(problem, judge, least)))
    assert (judge.accuracy(blind.counts) >= least).sum() == 0
    assert trials.feasible[50:].mean() > 0.3


def test_accuracy_as_an_objective_makes_a_front_of_what_was_judged(
    make_problem: Make, judge: LastGroups
) -> None:
    problem = make_problem("mobilenetv1_100", "30%", objective=f"mean,{ACCURACY}")
    trials = _trials(run_search(problem, trials=120, judging=_judging(problem, judge, None)))
    assert trials.values is not None
    assert trials.accuracy is not None
    known = np.isfinite(trials.accuracy)
    assert np.array_equal(known, trials.feasible)
    assert np.allclose(trials.values[known, 1], 1.0 - trials.accuracy[known])
    assert np.allclose(trials.values[:, 0], trials.ucb_ms)
    assert np.ptp(trials.accuracy[known]) > 0.02


def test_a_judged_search_cut_between_batches_resumes_to_the_trials_of_one_that_never_stopped(
    problem: SearchProblem, judge: LastGroups
) -> None:
    least = float(judge.accuracy(problem.uniform[None])[0]) + 0.01
    whole = _trials(run_search(problem, trials=80, judging=_judging(problem, judge, least)))
    first = run_search(problem, trials=40, judging=_judging(problem, judge, least))
    state = json.loads(json.dumps(dict(first.sampler_state)))
    resumed = _trials(
        run_search(
            problem,
            trials=80,
            resume=ResumeState(_trials(first), state),
            judging=_judging(problem, judge, least),
        )
    )
    assert np.array_equal(taken(resumed, np.arange(40)).counts, whole.counts[:40])
    names = [f.name for f in fields(TrialBatch) if f.name not in ("started_at", "finished_at")]
    same = replace(resumed, started_at=whole.started_at, finished_at=whole.finished_at)
    for name in names:
        one, other = getattr(same, name), getattr(whole, name)
        assert one is other is None or np.array_equal(one, other, equal_nan=True), name
