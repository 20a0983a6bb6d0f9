from collections.abc import Callable

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.costs import flops
from hdap.search.problem.budget import FlopsBand, band
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import least_share, uniform

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
