from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats
from hdap.search.driver.run_search import run_search
from hdap.search.planning.tuning_plan import first_tunings, guided_tunings
from hdap.search.problem.learned_accuracy import LearnedAccuracy
from hdap.search.problem.search_problem import SearchProblem

Make = Callable[..., SearchProblem]


@pytest.fixture
def problem(make_problem: Make) -> SearchProblem:
    return make_problem("mobilenetv1_100", "30%")


def _truth(problem: SearchProblem, counts: Counts) -> Floats:
    """Accuracy that hangs on the last third of the groups alone, against kept importance."""
    shares = problem.importance.log_shares(counts)
    return np.asarray(0.9 + 0.1 * shares[:, -shares.shape[1] // 3 :].mean(axis=1))


def _learned(problem: SearchProblem, tunings: int = 30) -> LearnedAccuracy:
    counts = first_tunings(problem, tunings, seed=0)
    return LearnedAccuracy(problem.importance, counts, _truth(problem, counts), 0.9)


def _searched(problem: SearchProblem) -> Counts:
    trials = run_search(problem, trials=300).trials
    assert trials is not None
    best: Counts = trials.counts[np.where(trials.feasible, trials.ranking, np.inf).argmin()]
    return best


def test_what_is_tuned_first_meets_the_budget_and_begins_with_the_base_line(
    problem: SearchProblem,
) -> None:
    found = first_tunings(problem, 20, seed=0)
    assert len(np.unique(found, axis=0)) == len(found) == 20
    assert np.array_equal(found[0], problem.best_uniform.counts)
    assert problem.band.contains(problem.repair.flops(found)).all()
    assert np.array_equal(found, first_tunings(problem, 20, seed=0))
    assert not np.array_equal(found, first_tunings(problem, 20, seed=1))


def test_what_is_tuned_within_a_latency_meets_it(problem: SearchProblem) -> None:
    limit = float(problem.ucb_ms(problem.uniform[None])[0])
    within = replace(problem, limit_ms=limit, floor=0.0)
    found = first_tunings(within, 12, seed=0)
    assert (within.ucb_ms(found[1:]) <= limit).all()


def test_guided_tunings_are_the_best_of_a_search_and_new(problem: SearchProblem) -> None:
    known = first_tunings(problem, 10, seed=0)
    found = guided_tunings(problem, 5, known, seed=0)
    assert len(np.unique(found, axis=0)) == len(found) == 5
    assert not (found[:, None] == known[None]).all(axis=2).any()
    assert (problem.violation(found) == 0.0).all()
    assert (problem.ucb_ms(found) < problem.ucb_ms(problem.uniform[None])).all()


def test_the_logarithm_of_learned_importance_follows_the_expected_accuracy(
    problem: SearchProblem,
) -> None:
    learned = _learned(problem)
    importance = learned.weighed("taught")
    others = first_tunings(problem, 40, seed=1)
    assert importance.source == "taught"
    assert learned.worth.mean() == pytest.approx(1.0)
    assert learned.worth.min() >= 0.0
    ranks = np.corrcoef(importance.log_kept(others), _truth(problem, others))[0, 1]
    before = np.corrcoef(problem.importance.log_kept(others), _truth(problem, others))[0, 1]
    assert ranks > 0.9 > before
    dense = problem.architecture.widths[None]
    assert importance.kept(dense) == pytest.approx(1.0)


def test_a_floor_on_learned_importance_is_one_on_accuracy(problem: SearchProblem) -> None:
    counts = first_tunings(problem, 30, seed=0)
    shares = problem.importance.log_shares(counts)
    learned = LearnedAccuracy(problem.importance, counts, 0.9 + 0.1 * shares.mean(axis=1), 0.9)
    assert (learned.regression.slopes >= 0.0).all()
    kept = learned.weighed("taught").kept(counts)
    for row, accuracy in zip(kept, learned.expected(counts), strict=True):
        assert learned.kept_at(float(accuracy)) == pytest.approx(float(row))
    assert learned.kept_at(2.0) == 1.0


def test_a_search_with_what_was_learned_keeps_more_of_what_matters(problem: SearchProblem) -> None:
    learned = _learned(problem)
    taught = replace(problem, importance=learned.weighed("taught"))
    floor = float(taught.importance.kept(problem.uniform[None])[0])
    plain, found = _searched(problem), _searched(replace(taught, floor=floor))
    uniform = float(_truth(problem, problem.uniform[None])[0])
    assert _truth(problem, found[None])[0] >= uniform - 0.002
    assert problem.ucb_ms(found[None])[0] < problem.ucb_ms(plain[None])[0]


def test_differences_come_with_doubt_and_equal_networks_do_not_differ(
    problem: SearchProblem,
) -> None:
    learned = _learned(problem)
    uniform, dense = problem.uniform, problem.architecture.widths
    assert learned.over(uniform, uniform).sd == 0.0
    wider = learned.over(dense, uniform)
    assert wider.mean > 0.0
    assert wider.sd > 0.0
    assert learned.over(uniform, dense).mean == pytest.approx(-wider.mean)
    against = learned.over_dense(uniform)
    truth = float(_truth(problem, uniform[None])[0])
    assert against.mean == pytest.approx(truth - 0.9, abs=3.0 * against.sd)


def test_three_tunings_are_too_few(problem: SearchProblem) -> None:
    counts = first_tunings(problem, 3, seed=0)
    with pytest.raises(NotEnoughDataError, match="raise --tunings"):
        LearnedAccuracy(problem.importance, counts, np.ones(3), 1.0)
