"""What a FLOPs band holds, against looking at every configuration of the grid."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.search.problem.budget import FlopsBand, band
from hdap.search.problem.enumeration import configurations_within, fullest, reached
from hdap.search.problem.repair import Repair
from hdap.search.problem.search_space import SearchSpace


def _small(architecture: Architecture, step: int, free: list[int]) -> SearchSpace:
    fixed = {g.name: g.width for i, g in enumerate(architecture.groups) if i not in free}
    return SearchSpace.build(architecture, step=step, fixed=fixed)


def _every(space: SearchSpace) -> Counts:
    return np.array(list(product(*space.levels)), dtype=np.int64)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), share=st.floats(0.8, 1.0), tolerance=st.floats(0.0, 0.1))
def test_a_small_band_is_known_exactly(
    architecture: Callable[[str], Architecture], seed: int, share: float, tolerance: float
) -> None:
    described = architecture("resnet50")
    rng = np.random.default_rng(seed)
    free = rng.choice(len(described.groups), size=3, replace=False).tolist()
    space = _small(described, 32, free)
    every = _every(space)
    costs = flops(described, every).astype(np.float64)
    budget = int(costs.min() + share * (costs.max() - costs.min()))
    asked = band(budget, tolerance)
    inside = every[asked.contains(costs)]
    found = configurations_within(space, asked)
    assert found is not None
    assert found.tolist() == sorted(inside.tolist())
    below = int(costs[costs <= budget].max())
    assert flops(described, fullest(space, budget)[None]).tolist() == [below]
    widened = reached(space, asked)
    assert widened == FlopsBand(min(asked.low, below), budget)
    assert Repair(space, widened).anchor.tolist() in every.tolist()


def test_what_holds_too_many_is_not_counted(architecture: Callable[[str], Architecture]) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8)
    assert configurations_within(space, band(10**9)) is None
    assert reached(space, band(10**9)) == band(10**9)
    few = configurations_within(_small(space.architecture, 8, [0, 1]), FlopsBand(1, 5 * 10**9), 5)
    assert few is None


def test_a_band_without_a_configuration_is_widened_downwards_alone(
    architecture: Callable[[str], Architecture],
) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=64)
    exact = reached(space, FlopsBand(10**9, 10**9))
    assert exact.high == 10**9
    assert 0.999 * 10**9 < exact.low <= 10**9
    with pytest.raises(InfeasibleError, match="at least the"):
        reached(space, band(10**6))
    fixed = {g.name: 16 for g in space.architecture.groups[:20]}
    narrow = SearchSpace.build(space.architecture, step=64, fixed=fixed)
    most = int(flops(space.architecture, narrow.widest[None])[0])
    assert reached(narrow, band(4 * 10**9, 0.03)) == FlopsBand(most, 4 * 10**9)


def test_a_space_that_cannot_move_holds_one(architecture: Callable[[str], Architecture]) -> None:
    space = _small(architecture("resnet50"), 8, [])
    dense = int(flops(space.architecture, space.widest[None])[0])
    found = configurations_within(space, band(dense))
    assert found is not None
    assert found.tolist() == [space.widest.tolist()]
    assert configurations_within(space, band(dense // 2)).tolist() == []  # type: ignore[union-attr]
