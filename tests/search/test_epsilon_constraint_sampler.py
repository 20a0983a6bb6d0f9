import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.search.analysis.answer import answer
from hdap.search.analysis.single_cluster_baseline import single_cluster_baseline
from hdap.search.driver.run_search import ResumeState, run_search
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.objectives import parse_goals
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.registry import SAMPLERS

Make = Callable[..., SearchProblem]


@pytest.fixture
def problem(make_problem: Make) -> SearchProblem:
    """Keep the most of a MobileNet with a p95 of at most 60 % of the dense model's."""
    plain = make_problem("mobilenetv1_100", "30%", objective="p95")
    dense = plain.architecture.widths[None]
    ends = plain.repair.flops(np.vstack([plain.space.smallest, dense[0]]))
    return SearchProblem.build(
        plain.space,
        FlopsBand(int(ends[0]), int(ends[1])),
        plain.latency,
        plain.fleet,
        goals=parse_goals("p95"),
        limit_ms=0.6 * float(plain.ucb_ms(dense)[0]),
    )


def test_the_uniform_network_is_the_widest_within_the_latency(problem: SearchProblem) -> None:
    limit = problem.limit_ms or 0.0
    own = float(problem.ucb_ms(problem.uniform[None])[0])
    assert 0.9 * limit < own <= limit
    assert problem.evaluate(problem.uniform[None]).feasible[0]
    assert problem.floor == 0.0


def test_a_latency_budget_is_met_and_more_is_kept_than_by_uniform_pruning(
    problem: SearchProblem,
) -> None:
    trials = run_search(problem, trials=250).trials
    assert trials is not None
    found = answer(problem, trials).found
    limit = problem.limit_ms or 0.0
    cautious = float(problem.ucb_ms(found.counts[None])[0])
    assert 0.99 * limit < cautious <= limit * (1 + 1e-9)
    uniform = float(problem.importance.kept(problem.uniform[None])[0])
    assert found.kept_importance > 1.005 * uniform
    assert (trials.feasible == (trials.ucb_ms <= limit * (1 + 1e-9))).all()
    assert trials.values is not None
    assert trials.values[:, 0] == pytest.approx(1.0 - trials.kept_importance)
    best = trials.ranking[trials.feasible].argmin()
    assert trials.kept_importance[trials.feasible][best] == pytest.approx(found.kept_importance)


def test_nothing_that_a_plain_search_finds_at_that_floor_is_much_faster(
    problem: SearchProblem,
) -> None:
    trials = run_search(problem, trials=250).trials
    assert trials is not None
    found = answer(problem, trials).found
    plain = replace(problem, limit_ms=None, floor=found.kept_importance, start=found.counts)
    again = run_search(plain, trials=300, seed=1).trials
    assert again is not None
    assert again.ucb_ms[again.feasible].min() > 0.99 * (problem.limit_ms or 0.0)


@pytest.mark.parametrize("cut", [110, 310])
def test_a_search_within_a_latency_goes_on_as_if_it_never_stopped(
    problem: SearchProblem, cut: int
) -> None:
    whole = run_search(problem, trials=500, seed=2).trials
    first = run_search(problem, trials=cut, seed=2)
    assert whole is not None
    assert first.trials is not None
    state = json.loads(json.dumps(dict(first.sampler_state)))
    more = run_search(problem, trials=500, seed=2, resume=ResumeState(first.trials, state)).trials
    assert more is not None
    assert np.array_equal(more.counts, whole.counts)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_can_be_asked_for_a_latency_budget(
    problem: SearchProblem, sampler: str
) -> None:
    trials = run_search(problem, sampler, trials=12).trials
    assert trials is not None
    assert trials.feasible[0]
    assert (problem.band.low <= trials.flops).all()


def test_a_latency_that_nothing_reaches_names_the_fastest(problem: SearchProblem) -> None:
    fastest = float(problem.ucb_ms(problem.space.smallest[None])[0])
    with pytest.raises(InfeasibleError, match=f"{fastest:.4g} ms") as raised:
        _ = replace(problem, limit_ms=0.9 * fastest).uniform
    assert "\n" not in str(raised.value)


def test_a_floor_that_the_latency_does_not_allow_names_the_most_kept(
    problem: SearchProblem,
) -> None:
    high = replace(problem, floor=0.99)
    trials = run_search(high, trials=30).trials
    assert trials is not None
    with pytest.raises(InfeasibleError, match="most kept there is 0"):
        answer(high, trials)


@pytest.mark.parametrize("objective", ["mean,kept", "deadline:20ms"])
def test_a_latency_budget_limits_one_latency(problem: SearchProblem, objective: str) -> None:
    with pytest.raises(InputError, match="limit one latency"):
        SearchProblem.build(
            *(problem.space, problem.band, problem.latency, problem.fleet),
            goals=parse_goals(objective),
            limit_ms=10.0,
        )


def test_awareness_compares_at_no_less_importance_and_no_more_flops(
    problem: SearchProblem,
) -> None:
    told = single_cluster_baseline(problem, problem.uniform, generations=3)
    seen = problem.evaluate(np.stack([told.single, problem.uniform]))
    assert seen.kept_importance[0] >= seen.kept_importance[1] * (1 - 1e-9)
    assert seen.flops[0] <= seen.flops[1]
