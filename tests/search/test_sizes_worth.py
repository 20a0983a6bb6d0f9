"""What several networks would be worth: a side line, which fails no search."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from hdap.fleet_data.architecture import Counts
from hdap.search.problem.search_problem import LatencyModel, SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import ladder
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.search.sizes.plan_sizes import line_up
from hdap.search.sizes.sizes_problem import LEAST_SHARE, SizesProblem
from hdap.search.sizes.sizes_worth import sizes_worth
from hdap.surrogate.models.base import Prediction


@dataclass(frozen=True)
class DoubtfulWhenNarrow:
    """Surrogates that are the less sure the narrower a network is, as where little was measured."""

    latency: LatencyModel
    doubtful: Counts

    def predict(self, counts: Counts) -> Prediction:
        seen = self.latency.predict(counts)
        narrow = (counts <= self.doubtful).all(axis=1, keepdims=True)
        return Prediction(seen.log_ms, seen.log_sd + 3.0 * narrow)


@pytest.fixture
def networks(fitted_problem: SearchProblem) -> SearchProblem:
    space = SearchSpace.build(fitted_problem.architecture, 16, min_share=LEAST_SHARE)
    return replace(fitted_problem, space=space, floor=0.0)


@pytest.fixture
def devices(networks: SearchProblem) -> DeviceSpeeds:
    rng, n = np.random.default_rng(0), 40
    return DeviceSpeeds(
        np.array([f"unit-{i}" for i in range(n)], dtype=object),
        rng.integers(0, len(networks.fleet.mean), n),
        np.full(n, 1.0 / n),
        0.05 * rng.normal(size=n),
        np.full(n, 0.01),
    )


def test_nothing_is_said_where_no_network_is_surely_faster_than_the_one_that_was_found(
    networks: SearchProblem, devices: DeviceSpeeds
) -> None:
    rows, n = ladder(networks.space), len(devices)
    alike = replace(devices, cluster=np.zeros(n, dtype=np.int64), log_factor=np.zeros(n))
    asked = SizesProblem(networks, alike, 1.0)
    seen = networks.latency.predict(rows)
    quickest = (seen.log_ms + asked.certain * seen.log_sd)[:, 0].argmin()
    assert sizes_worth(networks, alike, rows[quickest]) is None


def test_a_narrowest_network_in_doubt_does_not_hide_what_wider_ones_do_surely(
    networks: SearchProblem, devices: DeviceSpeeds
) -> None:
    rows = ladder(networks.space)
    doubtful = replace(networks, latency=DoubtfulWhenNarrow(networks.latency, rows[2]))
    found = sizes_worth(doubtful, devices, rows[len(rows) // 2])
    assert found is not None
    assert found.several >= found.one
    asked = SizesProblem(doubtful, devices, found.deadline_ms)
    assert line_up(asked).at_most.min() > 0.0


def test_what_a_person_fixed_stays_so(networks: SearchProblem, devices: DeviceSpeeds) -> None:
    half = ladder(networks.space)[len(ladder(networks.space)) // 2]
    groups = networks.architecture.groups
    fixed = {group.name: int(half[i]) for i, group in enumerate(groups) if i % 2}
    limits = {group.name: (1, int(half[i])) for i, group in enumerate(groups) if i % 2 == 0}
    space = SearchSpace.build(networks.architecture, 16, fixed=fixed).within(limits)
    free, bound = (
        sizes_worth(problem, devices, half)
        for problem in (networks, replace(networks, space=space))
    )
    assert free is not None
    assert bound is not None
    assert bound.one == free.one
    # nothing may be wider than what was found
    assert bound.several == pytest.approx(bound.one)
    assert free.several > free.one + 0.05
