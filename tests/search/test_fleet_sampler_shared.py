"""What the `fleet` sampler does beside proposing: hear of others, look ahead, score anew."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdap.search.driver.run_search import run_search
from hdap.search.problem.accuracy import AccuracyModel
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.fleet_sampler import LOOKED_AHEAD, FleetSampler


@pytest.fixture
def problem(make_problem: Callable[..., SearchProblem]) -> SearchProblem:
    return make_problem("mobilenetv1_100", "30%")


@pytest.mark.parametrize("proposed", [0, 60])
def test_a_sampler_goes_on_from_the_best_that_it_hears_of(
    problem: SearchProblem, proposed: int
) -> None:
    found = run_search(problem, trials=400, seed=9).trials
    assert found is not None
    best = found.counts[[np.where(found.feasible, found.ucb_ms, np.inf).argmin()]]
    sampler = FleetSampler(problem, 0)
    for _ in range(proposed):
        sampler.propose()
    sampler.inject(best)
    after = np.stack([sampler.propose() for _ in range(150)])
    assert problem.ucb_ms(sampler.evolution.best[None]) <= problem.ucb_ms(best)
    assert not (after == best).all(axis=1).any()


def test_looking_ahead_ends_and_the_best_is_proposed_next(problem: SearchProblem) -> None:
    hasty, patient = FleetSampler(problem, 0), FleetSampler(problem, 0)
    for sampler in (hasty, patient):
        sampler.propose()
    looked = sum(1 for _ in iter(lambda: patient.refine(10), False))
    assert looked == LOOKED_AHEAD
    one, other = (
        problem.scores(np.stack([s.propose() for _ in range(10)])) for s in (hasty, patient)
    )
    assert other.violation.max() <= one.violation.max()
    held = (scores.value[scores.violation == 0.0].min() for scores in (other, one))
    assert next(held) < next(held)


def test_a_problem_that_scores_otherwise_is_heard(problem: SearchProblem) -> None:
    model = AccuracyModel(problem.importance, 0.8)
    sampler = FleetSampler(replace(problem, accuracy_model=model), 0)
    counts = np.stack([sampler.propose() for _ in range(60)])
    shares = problem.importance.log_shares(counts)
    before = sampler.evolution.best
    model.learn(counts, 0.9 + shares[:, 0] - shares[:, 1])
    model.least = float(model.predicted(before[None])[0]) + 0.02
    sampler.invalidate()
    state = sampler.evolution.state()
    assert (model.shortfall(np.array(state["members"])) <= np.array(state["violations"])).all()
    for _ in range(120):
        sampler.propose()
    assert model.predicted(sampler.evolution.best[None]) > model.predicted(before[None])
