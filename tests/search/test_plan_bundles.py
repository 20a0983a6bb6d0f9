from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import check_counts, flops
from hdap.fleet_data.errors import InfeasibleError, InputError, NotEnoughDataError
from hdap.fleet_data.records import ClusteringRecord, Measurements
from hdap.search.planning.candidate_pool import (
    anchors,
    around,
    bands_of,
    draw_pool,
    flops_range,
    shape_of,
)
from hdap.search.planning.plan_bundles import (
    Pool,
    assign_bundles,
    choose,
    interest,
    is_in,
    plan_bundles,
    size_of_batch,
)
from hdap.search.problem.search_space import SearchSpace

LOW, HIGH = 400_000_000, 2_400_000_000


def _clustering(members: list[int], representatives: list[int]) -> ClusteringRecord:
    """Clusters of `members` devices, of which the first `representatives` are such."""
    cluster_of = np.repeat(np.arange(len(members)), members)
    place = np.concatenate([np.arange(m) for m in members])
    n = len(cluster_of)
    return ClusteringRecord(
        algorithm="kmeans",
        parameters={},
        seed=0,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        measurement_mark=0,
        stability=1.0,
        device_ids=np.array([f"d{i}" for i in range(n)], dtype=object),
        cluster=cluster_of,
        outlier=np.zeros(n, dtype=np.bool_),
        representative=place < np.array(representatives)[cluster_of],
        factor=np.ones(n),
        features=(),
        fingerprint=np.empty((n, 0)),
        clusters=(None,) * len(members),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def resnet(architecture: Callable[[str], Architecture]) -> Architecture:
    return architecture("resnet50")


@pytest.fixture(scope="module")
def pool(resnet: Architecture) -> Pool:
    counts, stratum = draw_pool(resnet, LOW, HIGH, None, seed=1)
    return Pool(counts, stratum, np.ones(len(counts)), np.zeros(len(counts), dtype=np.bool_))


def _none(architecture: Architecture) -> Counts:
    return np.empty((0, len(architecture.groups)), dtype=np.int64)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), step=st.sampled_from([None, 1, 8, 16]))
def test_a_pool_is_valid_within_its_stratum_and_the_same_for_a_seed(
    resnet: Architecture, seed: int, step: int | None
) -> None:
    counts, stratum = draw_pool(resnet, LOW, HIGH, step, seed, size=64)
    again, _ = draw_pool(resnet, LOW, HIGH, step, seed, size=64)
    np.testing.assert_array_equal(counts, again)
    cost = flops(resnet, check_counts(resnet, counts))
    bands = bands_of(LOW, HIGH)
    assert all(bands[s].low <= c <= bands[s].high for s, c in zip(stratum, cost, strict=True))
    assert set(stratum.tolist()) == set(range(len(bands)))


def test_a_first_pool_mixes_grids_and_a_later_one_keeps_to_what_pays(resnet: Architecture) -> None:
    wide = resnet.widths >= 64
    first, _ = draw_pool(resnet, LOW, HIGH, None, seed=0)
    later, _ = draw_pool(resnet, LOW, HIGH, 16, seed=0)

    def aligned(counts: Counts, step: int) -> float:
        return float((counts[:, wide] % step == 0).all(axis=1).mean())

    assert 0.4 < aligned(first, 8) < 0.8
    assert aligned(first, 4) > aligned(first, 8) > aligned(first, 16) > 0.1
    assert aligned(later, 16) > 0.8


def test_flops_that_nothing_reaches_are_refused(resnet: Architecture) -> None:
    with pytest.raises(InfeasibleError, match="--flops-range"):
        draw_pool(resnet, 1000, 2000, None, seed=0)


def test_the_range_covers_what_searches_asked_for(resnet: Architecture) -> None:
    low, high = flops_range(resnet, [])
    assert low < 0.25 * 4.09e9 < high < 4.09e9
    assert flops_range(resnet, [(200_000_000, 3_000_000_000)]) == (200_000_000, 3_000_000_000)


def test_choices_are_further_apart_than_random_ones_and_spread_over_flops(
    resnet: Architecture, pool: Pool
) -> None:
    chosen = choose(resnet, pool, _none(resnet), 48)
    rng = np.random.default_rng(0)
    random = pool.counts[rng.choice(len(pool.counts), 48, replace=False)]

    def nearest(counts: Counts) -> float:
        points = shape_of(resnet, counts)
        gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        return float(gaps.min(axis=1).mean())

    assert nearest(chosen) > 1.1 * nearest(random)
    strata = pool.stratum[[int(np.flatnonzero(is_in(pool.counts, c[None]))[0]) for c in chosen]]
    assert np.bincount(strata).tolist() == [6] * 8


def test_interest_draws_the_choice(resnet: Architecture, pool: Pool) -> None:
    doubtful = np.zeros(len(pool.counts), dtype=np.bool_)
    doubtful[::4] = True
    keen = Pool(pool.counts, pool.stratum, np.where(doubtful, 5.0, 1.0), pool.near)
    chosen = choose(resnet, keen, _none(resnet), 24)
    assert is_in(chosen, pool.counts[doubtful]).mean() > 0.9


def test_half_of_a_batch_is_near_the_best_trials(resnet: Architecture, pool: Pool) -> None:
    near = np.zeros(len(pool.counts), dtype=np.bool_)
    near[:40] = True
    chosen = choose(resnet, Pool(pool.counts, pool.stratum, pool.interest, near), _none(resnet), 20)
    assert is_in(chosen, pool.counts[:40]).sum() == 10


def test_interest_is_doubt_and_disagreement() -> None:
    found = interest(np.array([[0.1, 0.1], [0.3, 0.3]]), np.array([[0.1, -0.1], [0.3, 0.3]]))
    np.testing.assert_allclose(found, [0.5, 1.5])


def test_every_cluster_sees_every_configuration_and_a_device_only_its_share(
    resnet: Architecture, pool: Pool
) -> None:
    clustering = _clustering([9, 5, 4], [3, 3, 1])
    bundles = plan_bundles(resnet, clustering, pool, _none(resnet), (LOW, HIGH), 30)
    assert [len(b.devices) for b in bundles] == [3, 3, 3]
    assert [len(b) for b in bundles] == [10, 10, 10]
    # Cluster 2 has one representative: all bundles go to it.
    assert all("d14" in b.devices for b in bundles)
    candidates = np.vstack([b.candidates for b in bundles])
    assert len(np.unique(candidates, axis=0)) == len(candidates) == 24
    for bundle in bundles:
        np.testing.assert_array_equal(bundle.anchors, bundles[0].anchors)
        assert len(bundle.anchors) == 2
        assert not is_in(bundle.candidates, bundle.anchors).any()
    assert sum(b.measurements for b in bundles) == 90


def test_what_was_measured_is_not_planned_again(resnet: Architecture, pool: Pool) -> None:
    clustering = _clustering([5, 5], [2, 2])
    first = plan_bundles(resnet, clustering, pool, _none(resnet), (LOW, HIGH), 20)
    done = np.vstack([c for b in first for c in (b.anchors, b.candidates)])
    second = plan_bundles(resnet, clustering, pool, done, (LOW, HIGH), 20)
    planned = np.vstack([c for b in second for c in (b.anchors, b.candidates)])
    assert not is_in(planned, done).any()
    assert sum(len(b) for b in second) == 20


def test_a_pool_that_is_used_up_is_said_so(resnet: Architecture, pool: Pool) -> None:
    with pytest.raises(NotEnoughDataError, match="--flops-range"):
        plan_bundles(resnet, _clustering([3], [1]), pool, pool.counts, (LOW, HIGH), 5)


def test_a_fleet_without_representatives_cannot_plan() -> None:
    with pytest.raises(NotEnoughDataError, match="hdap ingest"):
        assign_bundles(_clustering([4, 4], [0, 0]))


@pytest.mark.parametrize(
    ("clusters", "budget", "per_cluster", "expected"),
    [(4, None, None, 50), (4, None, 7, 7), (4, 40, None, 10), (4, 40, 5, 5), (4, 4, 50, 1)],
)
def test_the_size_of_a_batch(
    clusters: int, budget: int | None, per_cluster: int | None, expected: int
) -> None:
    assert size_of_batch(clusters, budget, per_cluster) == expected


@pytest.mark.parametrize(("budget", "per_cluster"), [(3, None), (0, None), (None, 0), (-5, 3)])
def test_a_budget_that_is_too_small_is_refused(budget: int | None, per_cluster: int | None) -> None:
    with pytest.raises(InputError, match=r"--budget|--per-cluster"):
        size_of_batch(4, budget, per_cluster)


def test_neighbours_of_a_trial_stay_in_its_band_and_near_it(resnet: Architecture) -> None:
    space = SearchSpace.build(resnet, 16)
    counts, stratum = draw_pool(resnet, LOW, HIGH, 16, seed=0)
    band = bands_of(LOW, HIGH)[3]
    centre = next(c for c in counts[stratum == 3] if (space.snap(c[None].astype(float)) == c).all())
    found = around(space, band, centre[None], 30, seed=0)
    cost = flops(resnet, found)
    assert len(found) >= 15
    assert ((cost >= band.low) & (cost <= band.high)).all()
    moved = np.linalg.norm(shape_of(resnet, found) - shape_of(resnet, centre[None]), axis=1)
    apart = np.linalg.norm(shape_of(resnet, counts) - shape_of(resnet, centre[None]), axis=1)
    assert np.median(moved) < 0.5 * np.median(apart)


def test_anchors_are_aligned_and_differ_in_flops(resnet: Architecture) -> None:
    found = anchors(resnet, LOW, HIGH, 2)
    assert (found % 8 == 0).all()
    large, small = flops(resnet, found).tolist()
    assert LOW < small < 0.7 * large < large < HIGH
    assert anchors(resnet, LOW, HIGH, 0).shape == (0, len(resnet.groups))


def test_a_real_clustering_is_planned_for(
    resnet: Architecture, pool: Pool, measured: Callable[[str], Measurements]
) -> None:
    found = cluster(
        measured("resnet50"), created_at=datetime.now(UTC), measurement_mark=0, resamples=0
    )
    bundles = plan_bundles(resnet, found, pool, _none(resnet), (LOW, HIGH), 50)
    devices = [d for b in bundles for d in b.devices]
    assert sorted(devices) == sorted(found.device_ids[found.representative].tolist())
