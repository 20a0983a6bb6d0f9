from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import TrialBatch
from hdap.search.analysis.answer import answer, shortlist
from hdap.search.analysis.single_cluster_baseline import single_cluster_baseline
from hdap.search.driver.run_search import run_search
from hdap.search.problem.budget import band
from hdap.search.problem.evaluation import joined
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.search_problem import LatencyModel, SearchProblem
from hdap.search.problem.search_profile import profile
from hdap.search.problem.search_space import SearchSpace
from hdap.search.samplers.evolution import Evolution
from hdap.surrogate.models.base import Prediction

Make = Callable[..., SearchProblem]


@pytest.fixture(scope="module")
def problem(make_problem: Make) -> SearchProblem:
    return make_problem("resnet50", "1.0G")


@pytest.fixture(scope="module")
def trials(problem: SearchProblem) -> TrialBatch:
    found = run_search(problem, trials=400).trials
    assert found is not None
    return found


def test_the_table_compares_what_was_found_with_dense_and_uniform(
    problem: SearchProblem, trials: TrialBatch
) -> None:
    found = answer(problem, trials)
    names = [row.name for row in found.rows]
    assert (names[0], names[-1]) == ("dense", "found")
    assert set(names[1:-2]) == {network.name for network in problem.uniform_networks}
    assert names[-2].startswith("trial ")
    assert found.uniform.name == problem.best_uniform.name
    assert found.dense.kept_importance == pytest.approx(1.0)
    assert found.dense.over_dense == 1.0
    assert found.uniform.over_uniform == 1.0
    assert found.found.over_uniform > 1.0
    assert found.found.kept_importance >= problem.floor * (1 - 1e-9)
    assert found.skewed  # a few slow devices: the median of the fleet is another figure
    assert found.as_fast is not None
    assert found.as_fast.kept_importance > found.uniform.kept_importance
    assert found.as_fast.fleet_mean_ms <= 1.001 * found.uniform.fleet_mean_ms
    shown = [row.fleet_mean_ms for row in found.uniforms]
    assert shown == sorted(shown)
    for row in found.rows:
        assert row.skewed
        assert 0.5 * row.fleet_mean_ms < row.fleet_median_ms < 0.95 * row.fleet_mean_ms
        assert row.fleet_mean_low_ms < row.fleet_mean_ms < row.fleet_mean_high_ms
        expected = found.dense.fleet_mean_ms / row.fleet_mean_ms
        assert row.over_dense == pytest.approx(expected)


def test_what_is_stored_of_trials_ranks_them_and_nothing_computed_anew(
    problem: SearchProblem, trials: TrialBatch
) -> None:
    best = int(answer(problem, trials).numbers[0])
    twice = joined(trials, replace(trials, number=trials.number + len(trials)))
    rounded = twice.ucb_ms.copy()
    rounded[: len(trials)] = np.nextafter(rounded[: len(trials)], np.inf)
    found = answer(problem, replace(twice, ucb_ms=rounded)).numbers
    assert found[0] == best + len(trials)
    assert answer(problem, twice).numbers[0] == best


def test_the_short_list_is_feasible_diverse_and_best_first(
    problem: SearchProblem, trials: TrialBatch
) -> None:
    rows = shortlist(problem, trials, 8)
    assert len(rows) == 8
    assert trials.feasible[rows].all()
    values = problem.scores(trials.counts[rows]).value
    assert (np.diff(values) >= 0.0).all()
    feasible = trials.counts[trials.feasible]
    assert values[0] == problem.scores(feasible).value.min()
    chosen = trials.counts[rows]
    apart = (chosen[:, None] != chosen[None]).sum(axis=2) + 99 * np.eye(8, dtype=np.int64)
    assert apart.min() >= 2


def test_without_a_feasible_trial_the_remedy_is_named(
    problem: SearchProblem, trials: TrialBatch
) -> None:
    none = replace(trials, feasible=np.zeros(len(trials), dtype=np.bool_))
    with pytest.raises(InfeasibleError, match="lower the floor"):
        answer(problem, none)


class Alike:
    """Clusters that differ by a factor only, as cluster 0 of another model."""

    def __init__(self, model: LatencyModel) -> None:
        self.model = model

    def predict(self, counts: Counts) -> Prediction:
        one = self.model.predict(counts)
        return Prediction(one.log_ms[:, :1] + np.arange(4) / 3.0, one.log_sd)


def test_clusters_that_rank_alike_need_but_one_device(
    problem: SearchProblem, trials: TrialBatch
) -> None:
    alike = replace(problem, latency=Alike(problem.latency))
    single = Evolution(alike, 0)
    for _ in range(4):
        single.step()
    told = single_cluster_baseline(alike, single.best, generations=4)
    assert told.largest == 0
    assert told.lowest_rank == pytest.approx(1.0)
    assert told.gain == pytest.approx(0.0, abs=1e-6)
    assert told.words.endswith("one device would have done")


def test_one_cluster_alone_needs_no_comparison(problem: SearchProblem, trials: TrialBatch) -> None:
    whole = FleetWeights(np.ones(1), np.ones((1, 1)), np.ones((1, 1)))
    one = replace(problem, fleet=whole, latency=One(problem.latency))
    told = single_cluster_baseline(one, trials.counts[0])
    assert told.ranks.tolist() == [[1.0]]
    assert told.words == "the fleet is one cluster: one device would have done"


class One:
    """Cluster 0 of another model, alone."""

    def __init__(self, model: LatencyModel) -> None:
        self.model = model

    def predict(self, counts: Counts) -> Prediction:
        found = self.model.predict(counts)
        return Prediction(found.log_ms[:, :1], found.log_sd[:, :1])


def test_a_fleet_whose_kinds_differ_gains_from_being_known(make_problem: Make) -> None:
    problem = make_problem("mobilenetv1_100", "25%")
    shares = np.array([0.0, 0.45, 0.0, 0.55])
    differing = replace(problem, fleet=FleetWeights(shares, np.ones((4, 1)), shares[:, None]))
    trials = run_search(differing, trials=600).trials
    assert trials is not None
    found = trials.counts[shortlist(differing, trials)[0]]
    told = single_cluster_baseline(differing, found, generations=10)
    assert told.gain > -0.02
    assert np.diag(told.ranks) == pytest.approx(1.0)
    assert f"cluster {told.largest}" in told.words
    assert ("one device would have done" in told.words) == told.one_device_would_do


def test_a_profile_shows_the_ends_of_the_space(problem: SearchProblem) -> None:
    found = profile(problem.space, problem.band)
    assert [row.name for row in found.rows] == ["minimum", "uniform", "dense"]
    assert found.reachable
    assert found.groups == 37
    assert [row.flops for row in found.rows] == sorted(row.flops for row in found.rows)
    assert found.rows[2].flops == pytest.approx(4.09e9, rel=0.001)
    assert found.rows[2].parameters == pytest.approx(25.6e6, rel=0.01)


def test_a_profile_of_a_budget_out_of_reach_says_why(problem: SearchProblem) -> None:
    found = profile(SearchSpace.build(problem.architecture), band(10**6))
    assert not found.reachable
    assert "narrowest" in found.obstacle
    assert [row.name for row in found.rows] == ["minimum", "dense"]


def test_speed_ups_are_over_the_measured_dense_model_where_there_is_one(
    problem: SearchProblem, trials: TrialBatch
) -> None:
    predicted = answer(problem, trials)
    clusters = len(problem.fleet.mean)
    dense_ms = np.linspace(50.0, 100.0, clusters)
    measured = answer(problem, trials, dense_ms)
    mean = float(dense_ms @ problem.fleet.mean)
    assert measured.dense.measured
    assert measured.dense.fleet_mean_ms == pytest.approx(mean)
    assert measured.found.over_dense == pytest.approx(mean / measured.found.fleet_mean_ms)
    assert measured.found.fleet_mean_ms == predicted.found.fleet_mean_ms
    unknown = answer(problem, trials, np.append(dense_ms[1:], np.nan))
    assert not unknown.dense.measured
    assert unknown.dense.fleet_mean_ms == predicted.dense.fleet_mean_ms
