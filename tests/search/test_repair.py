from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.search.problem.budget import FlopsBand, band
from hdap.search.problem.repair import Repair
from hdap.search.problem.search_space import SearchSpace

Draw = Callable[[SearchSpace, int, int], Counts]
Read = Callable[[str], Architecture]
MODELS = ["resnet50", "mobilenetv1_100"]


def _dense(model: Architecture) -> int:
    return int(flops(model, model.widths[None])[0])


@settings(deadline=None, max_examples=60)
@given(
    model=st.sampled_from(MODELS),
    seed=st.integers(0, 2**32 - 1),
    step=st.sampled_from([1, 4, 8, 12, 16]),
    share=st.floats(0.1, 0.9),
    tolerance=st.sampled_from([0.1, 0.03, 0.01]),
)
def test_every_proposal_ends_in_the_band_and_on_the_grid(
    architecture: Read,
    random_counts: Draw,
    model: str,
    seed: int,
    step: int,
    share: float,
    tolerance: float,
) -> None:
    described = architecture(model)
    space = SearchSpace.build(described, step=step, min_width=1)
    wanted = band(round(share * _dense(described)), tolerance)
    found = Repair(space, wanted)(random_counts(space, 50, seed))
    space.index(found)
    assert wanted.contains(flops(described, found).astype(np.float64)).all()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_repairing_twice_changes_nothing(
    architecture: Read, random_counts: Draw, seed: int
) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8)
    repair = Repair(space, band(10**9))
    once = repair(random_counts(space, 50, seed))
    assert (repair(once) == once).all()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_row_is_repaired_alike_alone_and_among_others(
    architecture: Read, random_counts: Draw, seed: int
) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8)
    repair = Repair(space, band(10**9))
    rows = random_counts(space, 12, seed)
    assert (repair(rows) == np.vstack([repair(r[None]) for r in rows])).all()


def test_fixed_groups_are_never_moved(architecture: Read, random_counts: Draw) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8, fixed={"conv1": 61})
    assert (Repair(space, band(10**9))(random_counts(space, 100, 0))[:, 0] == 61).all()


def test_a_small_excess_costs_one_group_a_small_move(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=8)
    repair = Repair(space, band(10**9))
    inside = repair(space.random(200, np.random.default_rng(0)))
    bumped = space.index(inside)
    bumped[:, 5] = np.minimum(bumped[:, 5] + 1, space.sizes[5] - 1)
    moved = space.counts(bumped)
    assert ((repair(moved) != moved).sum(axis=1) <= 1).mean() > 0.95


def test_reluctance_steers_which_group_pays(architecture: Read) -> None:
    space = SearchSpace.build(architecture("resnet50"), step=1)
    repair = Repair(space, band(10**9, 0.001))
    inside = repair(space.random(50, np.random.default_rng(0)))
    wider = inside.copy()
    wider[:, 3] = np.minimum(wider[:, 3] + 6, 256)
    reluctance = np.full(wider.shape, 1e3)
    reluctance[:, 20] = 1e-3
    pays = repair(wider, reluctance)[:, 20] != wider[:, 20]
    assert pays.mean() > 0.8


def test_pairs_of_groups_hit_a_band_that_single_groups_miss(architecture: Read) -> None:
    model = architecture("resnet50")
    space = SearchSpace.build(model, step=32)
    narrow = band(10**9, 1e-4)
    moved, outside = Repair(space, narrow)._attempt(space.random(100, np.random.default_rng(0)))
    assert outside.mean() < 0.2
    assert narrow.contains(flops(model, moved[~outside]).astype(np.float64)).all()


def test_flops_of_pairs_are_exact(architecture: Read, random_counts: Draw) -> None:
    model = architecture("mobilenetv1_100")
    space = SearchSpace.build(model, step=8)
    center = random_counts(space, 1, 3)[0]
    group = np.arange(len(center))
    change = np.where(center > 16, -8, 8)
    first, second = np.nonzero(group[:, None] < group[None, :])
    moved = np.repeat(center[None], len(first), axis=0)
    moved[np.arange(len(first)), first] += change[first]
    moved[np.arange(len(first)), second] += change[second]
    found = Repair(space, band(150_000_000)).pair_flops(center, group, change, first, second)
    assert (found == flops(model, moved)).all()


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(1, 10**6, "narrowest"), (4 * 10**9, 5 * 10**9, "widest")],
)
def test_a_budget_out_of_reach_names_the_end_and_the_remedy(
    architecture: Read, low: int, high: int, words: str
) -> None:
    space = SearchSpace.build(architecture("resnet50"), fixed={"conv1": 8})
    with pytest.raises(InfeasibleError, match=words):
        Repair(space, FlopsBand(low, high))


def test_a_band_between_grid_points_says_what_to_widen(architecture: Read) -> None:
    space = SearchSpace.build(architecture("mobilenetv1_100"), step=512)
    with pytest.raises(InfeasibleError, match="--flops-tol"):
        Repair(space, FlopsBand(_dense(space.architecture) - 2, _dense(space.architecture) - 1))
