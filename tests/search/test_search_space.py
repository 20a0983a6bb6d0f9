from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.repair import Repair
from hdap.search.problem.search_space import SearchSpace

Draw = Callable[[SearchSpace, int, int], Counts]
Read = Callable[[str], Architecture]


def test_levels_are_multiples_of_the_step_and_the_full_width(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=24)
    for levels, group in zip(space.levels, space.architecture.groups, strict=True):
        assert levels[-1] == group.width
        assert (levels[:-1] % 24 == 0).all()
        assert (np.diff(levels) > 0).all()
        assert levels[0] * 8 >= group.width


def test_a_group_that_demands_a_multiple_gets_both(architecture: Read) -> None:
    model = architecture("mobilenetv1_100")
    first = replace(model.groups[0], multiple=4)
    space = SearchSpace.build(replace(model, groups=(first, *model.groups[1:])), step=6)
    assert space.levels[0].tolist() == [12, 24, 32]


def test_min_width_bounds_every_count_that_can(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8, min_width=100)
    assert (space.smallest >= np.minimum(100, space.architecture.widths)).all()
    assert space.smallest.max() == 104


def test_without_alignment_every_count_is_allowed_and_fixed_ones_stay(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=16, fixed={"conv1": 50}).on_grid(1)
    assert space.levels[0].tolist() == [50]
    assert space.levels[1].tolist() == list(range(1, 65))


def test_a_fixed_group_is_named_by_any_of_its_layers(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8, fixed={"layer1.2.conv3": 99})
    group = space.architecture.index["layer1.0.conv3"]
    assert space.levels[group].tolist() == [99]
    assert group not in space.free


def test_a_misspelt_group_is_answered_with_near_names(architecture: Read) -> None:
    with pytest.raises(NotFoundError, match=r"layer1\.0\.conv1"):
        SearchSpace.build(architecture("resnet50"), fixed={"layer1.0.conv1x": 8})


@pytest.mark.parametrize("count", [0, -1, 65])
def test_a_fixed_count_out_of_range_is_refused(architecture: Read, count: int) -> None:
    with pytest.raises(InputError, match=r"1\.\.64"):
        SearchSpace.build(architecture("resnet50"), fixed={"conv1": count})


@pytest.mark.parametrize("name", ["step", "min_width"])
def test_a_step_or_a_width_below_one_is_refused(architecture: Read, name: str) -> None:
    with pytest.raises(InputError, match=name):
        SearchSpace.build(
            architecture("resnet50"),
            step=0 if name == "step" else 1,
            min_width=0 if name == "min_width" else None,
        )


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), step=st.integers(1, 40))
def test_positions_and_counts_are_each_others_inverse(
    architecture: Read, random_counts: Draw, seed: int, step: int
) -> None:
    space = SearchSpace.build(architecture("mobilenetv1_100"), step=step)
    counts = random_counts(space, 20, seed)
    assert (space.counts(space.index(counts)) == counts).all()
    assert (space.snap(counts.astype(np.float64)) == counts).all()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), step=st.integers(1, 40))
def test_snapping_takes_the_nearest_level(architecture: Read, seed: int, step: int) -> None:
    space = SearchSpace.build(architecture("mobilenetv1_100"), step=step)
    wanted = np.random.default_rng(seed).integers(-50, 1200, size=(20, len(space.levels)))
    inside = np.clip(wanted, 0, space.architecture.widths)
    for group, levels in enumerate(space.levels):
        best = np.abs(levels[None] - inside[:, [group]]).min(axis=1)
        found = space.snap(wanted.astype(np.float64))[:, group]
        assert (np.abs(found - inside[:, group]) == best).all()
        assert np.isin(found, levels).all()


def test_a_count_off_the_grid_has_no_position(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8)
    with pytest.raises(InputError, match="conv1=63"):
        space.index((space.widest - np.eye(37, dtype=np.int64)[0])[None])


def test_the_size_of_the_space_is_counted(architecture: Read) -> None:
    space = SearchSpace.build(architecture("mobilenetv1_100"), step=32)
    assert space.log10_size == pytest.approx(sum(np.log10(len(x)) for x in space.levels))


def test_limits_bound_what_a_group_may_have(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8, fixed={"layer1.0.conv2": 40})
    limited = space.within(
        {"conv1": (30, 50), "layer1.0.conv1": (63, 64), "layer1.0.conv2": (8, 16)}
    )
    named = dict(zip([g.name for g in space.architecture.groups], limited.levels, strict=True))
    assert named["conv1"].tolist() == [32, 40, 48, 50]
    # A group can always go one level down.
    assert named["layer1.0.conv1"].tolist() == [56, 64]
    assert named["layer1.0.conv2"].tolist() == [40]
    assert all((a == b).all() for a, b in zip(limited.levels[4:], space.levels[4:], strict=True))
    assert limited.on_grid(1).widest[0] == 50


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.4, 0.95))
def test_repaired_configurations_keep_to_limits(
    architecture: Read, seed: int, share: float
) -> None:
    whole = SearchSpace.build(architecture("resnet50"), step=8)
    rng = np.random.default_rng(seed)
    now = whole.snap(rng.uniform(0.7, 1.0, (1, 37)) * whole.widest)[0]
    limits = {
        g.name: (max(1, int(0.5 * n)), int(n))
        for g, n in zip(whole.architecture.groups, now, strict=True)
    }
    space = whole.within(limits)
    ends = flops(whole.architecture, np.stack([space.smallest, now]))
    budget = int(ends[0] + share * (ends[1] - ends[0]))
    repair = Repair(space, FlopsBand(int(0.97 * budget), budget))
    found = repair(space.random(50, rng))
    assert (found <= now).all()
    cost = repair.flops(found)
    assert ((cost >= 0.97 * budget - 1) & (cost <= budget)).all()


@pytest.mark.parametrize("limits", [(0, 8), (9, 8), (1, 65)])
def test_limits_out_of_range_are_refused(architecture: Read, limits: tuple[int, int]) -> None:
    space = SearchSpace.build(architecture("resnet50"))
    with pytest.raises(InputError, match="limits of conv1"):
        space.within({"conv1": limits})
    with pytest.raises(NotFoundError, match="conv9"):
        space.within({"conv9": (1, 2)})
