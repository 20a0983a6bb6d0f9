from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.search.nested.nested_chain import Chain, NestedRequest, require_nested
from hdap.search.nested.nested_levels import nested
from hdap.search.nested.operating_points import OperatingPoints
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.search_problem import LatencyModel, SearchProblem
from hdap.surrogate.context.context_effect import Context
from hdap.surrogate.models.base import FleetSurrogate, Prediction

MakeProblem = Callable[..., SearchProblem]


@dataclass(frozen=True)
class Clocked:
    """The simulated fleet, of whose time a fixed share does not follow the clock."""

    architecture: Architecture
    latency: LatencyModel
    clusters: int

    def predict(self, counts: Counts, context: Context | None = None) -> Prediction:
        found = self.latency.predict(counts)
        clock = 1.0 if context is None else context.clock_scale
        return Prediction(found.log_ms + np.log(0.1 + 0.9 / clock), found.log_sd)


@pytest.fixture(scope="module")
def request_for(make_problem: MakeProblem) -> Callable[..., NestedRequest]:
    problem = make_problem("mobilenetv1_100")
    architecture = problem.architecture
    dense = int(flops(architecture, architecture.widths[None])[0])
    fleet = Clocked(architecture, problem.latency, 4)
    slowest = float(fleet.predict(architecture.widths[None]).ms.max())
    shares = np.array([0.4, 0.3, 0.2, 0.1])

    def make(target: float = 1.0, **asked: object) -> NestedRequest:
        points = OperatingPoints.every(cast(FleetSurrogate, fleet), [0.5, 1.0], shares)
        band = FlopsBand(1, dense)
        importance = Importance.by_channels(architecture)
        plain = NestedRequest(points, target * slowest, importance, band, max_levels=3, step=32)
        return replace(plain, **asked)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def chains(request_for: Callable[..., NestedRequest]) -> tuple[Chain, ...]:
    return nested(request_for(0.6)).chains


def test_every_level_is_a_prefix_of_the_next(chains: tuple[Chain, ...]) -> None:
    assert [len(chain) for chain in chains] == [1, 2, 3]
    for chain in chains:
        assert (np.diff(chain.counts, axis=0) >= 0).all()


def test_every_point_is_served_within_the_target_by_the_level_that_keeps_most(
    chains: tuple[Chain, ...], request_for: Callable[..., NestedRequest]
) -> None:
    request = request_for(0.6)
    for chain in chains:
        ms = request.ucb_ms(chain.counts)
        fits = ms <= request.target_ms * (1 + 1e-9)
        assert fits[chain.level, np.arange(len(chain.level))].all()
        best = np.where(fits, chain.kept[:, None], 0.0).max(axis=0)
        assert chain.kept[chain.level] == pytest.approx(best)
        assert chain.worst_kept == pytest.approx(best.min())
        assert chain.mean_kept == pytest.approx(best @ request.points.weight)


def test_more_levels_keep_more_on_average(chains: tuple[Chain, ...]) -> None:
    means = [chain.mean_kept for chain in chains]
    assert means == sorted(means)
    assert means[1] > means[0] + 0.02


def test_the_number_that_is_advised_follows_from_the_threshold(
    request_for: Callable[..., NestedRequest],
) -> None:
    found = nested(request_for(0.6, threshold=0.5))
    assert found.advised == 1
    assert "1 level worth having" in found.words
    assert nested(request_for(0.6, threshold=0.001)).advised > 1


def test_the_same_seed_gives_the_same_chain(
    chains: tuple[Chain, ...], request_for: Callable[..., NestedRequest]
) -> None:
    again = nested(request_for(0.6)).chains
    assert all((a.counts == b.counts).all() for a, b in zip(chains, again, strict=True))


def test_at_least_so_many_levels_are_made_even_where_few_would_do(
    request_for: Callable[..., NestedRequest],
) -> None:
    found = nested(request_for(3.0, min_levels=3))
    assert found.advised == 3
    assert (np.diff(found.chosen.counts, axis=0) >= 0).all()
    assert found.chosen.worst_kept == 1.0


def test_flops_of_all_levels_stay_within_the_band(
    request_for: Callable[..., NestedRequest],
) -> None:
    dense = request_for().band.high
    band = FlopsBand(dense // 5, dense // 2)
    found = nested(request_for(3.0, band=band, min_levels=2))
    cost = flops(request_for().points.surrogate.architecture, found.chosen.counts)
    assert (cost >= band.low).all()
    assert (cost <= band.high).all()


def test_a_target_that_no_level_meets_names_the_cluster_and_the_nearest(
    request_for: Callable[..., NestedRequest],
) -> None:
    with pytest.raises(InfeasibleError, match=r"cluster \d at 50 % of its clock takes at least"):
        nested(request_for(0.001))


def test_levels_that_are_no_prefix_are_refused_with_the_group() -> None:
    with pytest.raises(InputError, match="b has 8 channels at level 0 and 4 at level 1"):
        require_nested(np.array([[4, 8], [8, 4]]), ("a", "b"))
    with pytest.raises(InputError, match="levels 0 and 1 are the same"):
        require_nested(np.array([[4, 8], [4, 8]]), ("a", "b"))


@pytest.mark.parametrize("clocks", [[], [0.0], [0.5, 0.5], [float("nan")], [9.0]])
def test_clocks_that_make_no_sense_are_refused(
    clocks: list[float], request_for: Callable[..., NestedRequest]
) -> None:
    points = request_for().points
    with pytest.raises(InputError, match="clocks must be"):
        OperatingPoints.every(points.surrogate, clocks, np.ones(4) / 4)


def test_numbers_of_levels_that_contradict_each_other_are_refused(
    request_for: Callable[..., NestedRequest],
) -> None:
    with pytest.raises(InputError, match="min-levels <= max-levels"):
        request_for(min_levels=4)
