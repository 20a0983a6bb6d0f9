from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.fleet_data.records import Floats
from hdap.search.problem.evaluation import Scores
from hdap.search.problem.objectives import OBJECTIVES, parse_goals
from hdap.search.problem.search_problem import SearchProblem

Make = Callable[..., SearchProblem]


def test_the_default_floor_is_what_the_best_uniform_network_keeps(
    make_problem: Make,
) -> None:
    asked = make_problem()
    problem = SearchProblem.build(asked.space, asked.band, asked.latency, asked.fleet)
    found = problem.evaluate(problem.uniform[None])
    base_line = problem.importance.kept(problem.best_uniform.counts[None])[0]
    assert problem.floor == pytest.approx(min(base_line, found.kept_importance[0]))
    assert problem.floor > 0.9 * base_line
    assert found.feasible[0]


def test_a_part_of_that_is_the_floor_where_it_is_asked_for(make_problem: Make) -> None:
    asked = make_problem()
    parts = asked.space, asked.band, asked.latency, asked.fleet
    whole, most = SearchProblem.build(*parts), SearchProblem.build(*parts, floor_share=0.9)
    assert most.floor == pytest.approx(0.9 * whole.floor)
    assert SearchProblem.build(*parts, floor=0.3, floor_share=0.9).floor == 0.3


def test_a_grid_that_holds_the_base_line_begins_there(make_problem: Make) -> None:
    problem = make_problem(tolerance=None, step=8)
    best = problem.best_uniform
    assert best.step >= 8
    assert problem.uniform.tolist() == best.counts.tolist()
    assert problem.floor == pytest.approx(problem.importance.kept(best.counts[None])[0])


def test_within_a_latency_budget_the_base_line_keeps_most(make_problem: Make) -> None:
    limit = 1.1 * float(make_problem().ucb_ms(make_problem().uniform[None])[0])
    problem = replace(make_problem(tolerance=None), limit_ms=limit)
    counts = np.stack([network.counts for network in problem.uniform_networks])
    assert (problem.ucb_ms(counts) <= limit).all()
    best = problem.best_uniform.counts[None]
    assert problem.importance.kept(best)[0] == problem.importance.kept(counts).max()


def test_every_column_is_what_it_says(make_problem: Make, shares: Floats) -> None:
    problem = make_problem(risk=0.5)
    counts = problem.repair(problem.space.random(20, np.random.default_rng(0)))
    found = problem.evaluate(counts)
    ms = np.exp(problem.latency.predict(counts).log_ms)
    assert (found.flops == flops(problem.architecture, counts)).all()
    assert (found.parameters == parameters(problem.architecture, counts)).all()
    assert found.cluster_ms == pytest.approx(ms)
    assert found.fleet_mean_ms == pytest.approx(ms @ shares)
    assert found.worst_cluster_ms == pytest.approx(ms.max(axis=1))
    assert (found.worst_cluster == ms.argmax(axis=1)).all()
    assert found.fleet_mean_low_ms == pytest.approx(ms @ shares * np.exp(-1.6449 * 0.03), rel=1e-4)
    assert found.fleet_mean_high_ms == pytest.approx(ms @ shares * np.exp(1.6449 * 0.03), rel=1e-4)
    # The slowest cluster holds a tenth of the weight, so 95 % are reached inside it.
    assert found.fleet_p95_ms == pytest.approx(ms[:, 3])
    assert found.scores.value == pytest.approx(ms @ shares * np.exp(0.5 * 0.03))
    assert (found.feasible == (found.kept_importance >= problem.floor * (1 - 1e-9))).all()
    again = problem.scores(counts)
    assert again.value == pytest.approx(found.scores.value)
    assert again.violation == pytest.approx(found.scores.violation)


def test_a_configuration_outside_the_band_is_not_feasible(make_problem: Make) -> None:
    problem = make_problem()
    assert not problem.evaluate(problem.architecture.widths[None]).feasible[0]


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_grows_with_every_clusters_latency(make_problem: Make, name: str) -> None:
    fleet = make_problem().fleet
    ms = np.random.default_rng(0).uniform(5.0, 50.0, (50, 4))
    before = OBJECTIVES[name].of(fleet, ms)
    for cluster in range(4):
        grown = ms * np.where(np.arange(4) == cluster, 1.1, 1.0)
        assert (OBJECTIVES[name].of(fleet, grown) >= before - 1e-12).all()
    assert OBJECTIVES[name].of(fleet, 2.0 * ms) == pytest.approx(2.0 * before)


def test_risk_prefers_what_the_surrogates_know(make_problem: Make) -> None:
    bold, careful = make_problem(risk=0.0), make_problem(risk=2.0)
    counts = bold.uniform[None]
    ratio = careful.scores(counts).value / bold.scores(counts).value
    assert ratio == pytest.approx(np.exp(2.0 * 0.03))


def test_a_penalty_leaves_feasible_values_alone_and_raises_the_others() -> None:
    scores = Scores(np.array([10.0, 10.0]), np.array([0.0, 0.01]))
    assert scores.penalised == pytest.approx([10.0, 10.0 * np.exp(0.05)])
    assert scores.order.tolist() == [0, 1]


def test_no_floor_at_all_is_possible(make_problem: Make) -> None:
    problem = make_problem(floor=0.0)
    assert (problem.violation(problem.space.smallest[None]) == 0.0).all()


@pytest.mark.parametrize(
    "wrong", [{"floor": 1.1}, {"floor": -0.1}, {"risk": -1.0}, {"objective": "median"}]
)
def test_what_is_out_of_range_is_refused(make_problem: Make, wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        make_problem(**wrong)


def test_a_floor_above_the_widest_network_is_infeasible(make_problem: Make) -> None:
    with pytest.raises(InfeasibleError, match="free a fixed group"):
        make_problem(floor=0.99, fixed={"conv1": 8})


def test_a_cluster_alone_weighs_only_itself(make_problem: Make) -> None:
    problem = make_problem(risk=0.0)
    counts = problem.uniform[None]
    ms = np.exp(problem.latency.predict(counts).log_ms)
    assert problem.for_cluster(2).scores(counts).value == pytest.approx(ms[:, 2])
    assert replace(problem, goals=parse_goals("worst")).scores(counts).value == pytest.approx(
        ms.max(axis=1)
    )
