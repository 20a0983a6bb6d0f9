from collections.abc import Callable

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Floats
from hdap.search.problem.budget import FlopsBand, band
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import (
    COMPARABLE,
    GRIDS,
    hardest_to_beat,
    least_share,
    uniform,
    uniform_networks,
)

Read = Callable[[str], Architecture]


@pytest.mark.parametrize("step", [1, 8, 16])
@pytest.mark.parametrize("budget", [600_000_000, 1_000_000_000, 3_000_000_000])
def test_every_group_has_the_same_ratio_up_to_the_grid(
    architecture: Read, step: int, budget: int
) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=step)
    found = uniform(space, band(budget))
    least = (found - 1.5 * step - 1) / space.architecture.widths
    most = (found + 1.5 * step + 1) / space.architecture.widths
    assert least.max() <= most.min()
    assert band(budget).contains(flops(space.architecture, found[None]).astype(float)).all()


def test_it_spends_the_budget_it_is_given(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=1)
    spent = flops(space.architecture, uniform(space, band(10**9))[None])[0]
    assert 0.998e9 < spent <= 1e9


def test_a_band_that_rounding_jumps_over_is_still_met(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=32)
    narrow = FlopsBand(999_000_000, 1_000_000_000)
    assert narrow.contains(flops(space.architecture, uniform(space, narrow)[None]).astype(float))


def test_fixed_groups_stay_and_the_others_make_up_for_them(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8, fixed={"layer1.0.conv3": 256})
    found = uniform(space, band(10**9))
    assert found[space.architecture.index["layer1.0.conv3"]] == 256
    assert band(10**9).contains(flops(space.architecture, found[None]).astype(float))


@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
@pytest.mark.parametrize("part", [0.1, 0.25, 0.9])
def test_the_least_share_is_half_of_what_uniform_pruning_keeps_at_the_budget(
    architecture: Read, model: str, part: float
) -> None:
    described = architecture(model)
    dense = int(flops(described, described.widths[None])[0])
    budget = band(int(part * dense))
    kept = np.rint(2 * least_share(described, budget) * described.widths).astype(np.int64)
    assert 0.95 * budget.high <= flops(described, kept[None])[0] <= budget.high


def test_every_grid_has_its_widest_network_within_the_budget(architecture: Read) -> None:
    described = architecture("resnet50")
    space = SearchSpace.build(described, step=8)
    found = uniform_networks(space, 10**9)
    assert [network.step for network in found] == list(GRIDS)
    for network in found:
        on_grid = (network.counts % network.step == 0) | (network.counts == described.widths)
        assert on_grid.all()
        spent = int(flops(described, network.counts[None])[0])
        assert 0.85e9 < spent <= 1e9
        ratio = network.counts / described.widths
        assert ratio.max() - ratio.min() <= 2.0 * network.step / described.widths.min()


def test_networks_that_grids_share_are_shown_once_and_what_does_not_fit_not_at_all(
    architecture: Read,
) -> None:
    space = SearchSpace.build(architecture("resnet50"), fixed={"layer1.0.conv3": 256})
    dense = int(flops(space.architecture, space.architecture.widths[None])[0])
    assert len(uniform_networks(space, dense)) == 1  # the dense network, on every grid
    assert uniform_networks(space, 10**6) == ()
    none = uniform_networks(space, 10**9, lambda counts: counts[:, 0] > 10**6)
    assert none == ()
    kept = space.architecture.index["layer1.0.conv3"]
    assert {int(n.counts[kept]) for n in uniform_networks(space, 10**9)} == {256}


def log_share(space: SearchSpace) -> Callable[[Counts], Floats]:
    return lambda counts: np.asarray(np.log(counts / space.architecture.widths).mean(axis=1))


def on_blocks(space: SearchSpace, block: int) -> Callable[[Counts], Floats]:
    """Latency of a machine that computes whole blocks of channels."""
    return lambda counts: flops(space.architecture, -(-counts // block) * block).astype(np.float64)


@pytest.mark.parametrize("rewarded", [8, 16, 32])
def test_the_base_line_is_on_the_grid_that_the_machine_rewards(
    architecture: Read, rewarded: int
) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8)
    found = uniform_networks(space, 10**9)
    best = hardest_to_beat(found, space, 10**9, on_blocks(space, rewarded), log_share(space))
    assert best.step % rewarded == 0


def test_a_grid_too_coarse_for_the_budget_sets_no_floor(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8)
    kept = log_share(space)
    found = uniform_networks(space, 2 * 10**9)
    most = max(float(kept(n.counts[None])[0]) for n in found)
    best = hardest_to_beat(found, space, 2 * 10**9, on_blocks(space, 64), kept)
    assert float(kept(best.counts[None])[0]) > most + np.log(COMPARABLE)
    assert best.step != 64
