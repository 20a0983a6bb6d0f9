from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture, Channels, Counts, Layer, WidthGroup
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Measurements
from hdap.search.driver.run_search import run_search
from hdap.search.exact.lower_bound import lower_bound
from hdap.search.exact.relaxation import Relaxation
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.objectives import parse_goals
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.surrogate.learning.fleet_learning import FleetParameters
from hdap.surrogate.learning.physics import TERMS, Physics
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.training_data.training_cells import training_data

CLUSTERS = 3


def _group(number: int) -> Channels:
    return Channels(terms=((number, 1),))


def _layer(name: str, inputs: Channels, outputs: Channels, kernel: int = 1) -> Layer:
    return Layer(name, "conv", inputs, outputs, (8, 8), (8, 8), (kernel, kernel))


# A stem, a residual block whose ends share the stem's width, a head; nothing moves the last layer.
RESIDUAL = Architecture(
    model="residual",
    input_shape=(3, 8, 8),
    groups=(
        WidthGroup("stem", 12, ("stem", "close")),
        WidthGroup("open", 10, ("open",)),
        WidthGroup("inner", 8, ("inner",)),
        WidthGroup("head", 6, ("head",)),
    ),
    layers=(
        _layer("stem", Channels(3), _group(0), 3),
        _layer("open", _group(0), _group(1)),
        _layer("inner", _group(1), _group(2), 3),
        _layer("close", _group(2), _group(0)),
        _layer("head", _group(0), _group(3)),
        _layer("out", _group(3), Channels(10)),
        _layer("aside", Channels(3), Channels(10)),
    ),
)


def _surrogate(seed: int, strength: float) -> FleetModel:
    """A surrogate with random prices and corrections of about this relative size."""
    rng = np.random.default_rng(seed)
    physics = Physics(RESIDUAL)
    terms = len(physics.class_names) * len(TERMS)
    features = terms + len(physics.layers)
    costs = rng.exponential(size=terms) * (rng.random(terms) < 0.5)
    costs[0] = 1.0
    return FleetModel(
        RESIDUAL,
        FleetParameters(
            costs=costs,
            importance=rng.uniform(0.02, 1.0, terms),
            centre=rng.uniform(0.0, 0.3, features),
            level=rng.normal(size=CLUSTERS),
            weights=strength * rng.normal(size=(CLUSTERS, features + 1)),
            root=(strength * rng.normal(size=(CLUSTERS, features + 1, 4))).astype(np.float32),
            noise_sd=np.full(CLUSTERS, 0.02),
            factor=rng.uniform(0.5, 2.0, CLUSTERS),
        ),
        (1,) * CLUSTERS,
        1,
    )


def _problem(surrogate: FleetModel, risk: float, objective: str, floor: float) -> SearchProblem:
    space = SearchSpace.build(RESIDUAL, 1)
    dense = int(flops(RESIDUAL, RESIDUAL.widths[None])[0])
    shares = np.array([0.5, 0.3, 0.2])
    return SearchProblem.build(
        space,
        FlopsBand(round(0.35 * dense), round(0.4 * dense)),
        surrogate,
        FleetWeights(shares, np.ones((CLUSTERS, 1)), shares[:, None]),
        floor=floor,
        risk=risk,
        goals=parse_goals(objective),
    )


def _allowed(problem: SearchProblem) -> Counts:
    every = np.array(list(product(*problem.space.levels)), dtype=np.int64)
    inside = problem.band.contains(problem.repair.flops(every))
    allowed: Counts = every[inside & (problem.violation(every) == 0.0)]
    return allowed


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    strength=st.sampled_from([0.0, 0.05, 0.3]),
    risk=st.sampled_from([0.0, 1.0, 3.0]),
    objective=st.sampled_from(["mean", "p95", "worst"]),
    floor=st.sampled_from([0.0, 0.5, 0.6]),
)
def test_no_allowed_configuration_is_below_the_bound(
    seed: int, strength: float, risk: float, objective: str, floor: float
) -> None:
    problem = _problem(_surrogate(seed, strength), risk, objective, floor)
    bound = lower_bound(problem)
    assert bound is not None
    least = problem.ucb_ms(_allowed(problem)).min()
    assert 0.0 < bound.value_ms <= least


@pytest.mark.parametrize("seed", range(5))
def test_with_few_groups_the_bound_is_within_a_tenth_of_the_best(seed: int) -> None:
    problem = _problem(_surrogate(seed, 0.05), 1.0, "mean", 0.55)
    bound = lower_bound(problem)
    assert bound is not None
    assert bound.gap(problem.ucb_ms(_allowed(problem)).min()) < 0.1


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), strength=st.sampled_from([0.05, 0.3, 1.0]))
def test_a_tangent_touches_the_objective_and_is_nowhere_above(seed: int, strength: float) -> None:
    surrogate, rng = _surrogate(seed, strength), np.random.default_rng(seed)
    problem = _problem(surrogate, 1.5, "mean", 0.0)
    counts = problem.space.random(64, rng)
    features = surrogate.priced(counts)[1]
    prices = surrogate.tangent(features[0], problem.fleet.mean, 1.5)
    told = np.einsum("tnl,tl->n", surrogate.physics.terms(counts).values, prices)
    true = problem.ucb_ms(counts)
    assert np.isclose(told[0], true[0], rtol=1e-5)
    assert (told <= true * (1.0 + 1e-5)).all()


def test_tables_say_what_the_tangent_says() -> None:
    surrogate = _surrogate(0, 0.05)
    problem = _problem(surrogate, 1.0, "mean", 0.0)
    relaxation = Relaxation.of(problem)
    assert relaxation is not None
    counts = problem.space.random(20, np.random.default_rng(0))
    prices = surrogate.tangent(surrogate.priced(counts[:1])[1][0], problem.fleet.mean, 1.0)
    tables = relaxation.tables(prices)
    told = np.einsum("tnl,tl->n", surrogate.physics.terms(counts).values, prices)
    assert np.allclose([relaxation.latency_of(tables, c) for c in counts], told)


def test_only_one_latency_in_milliseconds_of_surrogates_with_layers_has_a_bound(
    make_problem: Callable[..., SearchProblem],
) -> None:
    assert lower_bound(make_problem("mobilenetv1_100", "30%")) is None
    problem = _problem(_surrogate(0, 0.05), 1.0, "mean", 0.0)
    assert lower_bound(replace(problem, goals=parse_goals("mean,kept"))) is None
    assert lower_bound(replace(problem, goals=parse_goals("deadline:30ms"))) is None
    assert lower_bound(replace(problem, limit_ms=30.0)) is None


def test_too_fine_a_grid_has_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdap.search.exact.relaxation.MOST_ENTRIES", 100)
    assert lower_bound(_problem(_surrogate(0, 0.05), 1.0, "mean", 0.0)) is None


def test_the_default_search_comes_within_a_percent_of_the_best_possible(
    architecture: Callable[[str], Architecture], measured: Callable[[str], Measurements]
) -> None:
    rows = measured("mobilenetv1_100")
    clustering = cluster(
        rows, created_at=datetime(2026, 11, 21, tzinfo=UTC), measurement_mark=0, resamples=2
    )
    data = training_data(architecture("mobilenetv1_100"), rows, clustering)
    surrogate = FleetModel.fit(data)
    budget = FlopsBand(291_000_000, 300_000_000)
    weights = FleetWeights(data.shares, np.ones((data.clusters, 1)), data.shares[:, None])
    space = SearchSpace.build(data.architecture, 8)
    problem = SearchProblem.build(space, budget, surrogate, weights)
    trials = run_search(problem, trials=300).trials
    bound = lower_bound(problem)
    assert trials is not None
    assert bound is not None
    assert bound.gap(trials.ucb_ms[trials.feasible].min()) < 0.01
