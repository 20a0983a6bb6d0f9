from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import ClusteringRecord, ClusterRecord, Devices, Floats, Ints
from hdap.search.problem.fleet_weights import POINTS, FleetWeights


def _clustering(cluster: Ints, factor: Floats, clusters: int) -> ClusteringRecord:
    n = len(cluster)
    return ClusteringRecord(
        algorithm="by hand",
        parameters={},
        seed=0,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        measurement_mark=0,
        stability=1.0,
        device_ids=np.array([f"d{i}" for i in range(n)], dtype=object),
        cluster=cluster,
        outlier=np.zeros(n, dtype=np.bool_),
        representative=np.zeros(n, dtype=np.bool_),
        factor=factor,
        features=(),
        fingerprint=np.empty((n, 0)),
        clusters=tuple(ClusterRecord(k, 1, 0.1, 1.0, 0.1, 1.0, "") for k in range(clusters)),
    )


def _fleet(seed: int, n: int, clusters: int) -> tuple[Ints, Floats, Floats]:
    rng = np.random.default_rng(seed)
    cluster = np.concatenate([np.arange(clusters), rng.integers(0, clusters, n - clusters)])
    return cluster, rng.lognormal(0.0, 0.2, n), rng.lognormal(0.0, 1.0, n)


def _brute_percentile(latency: Floats, weights: Floats, share: float) -> float:
    order = latency.argsort()
    reached = np.cumsum(weights[order]) >= share * weights.sum() * (1.0 - 1e-12)
    return float(latency[order][reached.argmax()])


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(4, 400),
    clusters=st.integers(1, 4),
    share=st.sampled_from([0.5, 0.9, 0.95, 1.0]),
)
def test_mean_percentile_and_worst_are_those_of_the_devices(
    seed: int, n: int, clusters: int, share: float
) -> None:
    cluster, factor, weights = _fleet(seed, n, clusters)
    shuffled = np.random.default_rng(seed).permutation(n)
    ids = np.array([f"d{i}" for i in shuffled], dtype=object)
    fleet = FleetWeights.of(_clustering(cluster, factor, clusters), Devices(ids, weights[shuffled]))
    ms = np.random.default_rng(seed + 1).uniform(5.0, 50.0, (6, clusters))
    each = ms[:, cluster] * factor
    assert fleet.fleet_mean(ms) == pytest.approx(each @ weights / weights.sum())
    if np.bincount(cluster).max() <= POINTS:
        expected = [_brute_percentile(row, weights, share) for row in each]
        assert fleet.percentile(ms, share) == pytest.approx(expected)
    worst, which = fleet.worst(ms)
    assert worst == pytest.approx(ms.max(axis=1))
    assert (which == ms.argmax(axis=1)).all()


def test_a_large_fleet_is_compressed_and_its_percentile_stays() -> None:
    cluster, factor, weights = _fleet(0, 200_000, 3)
    devices = Devices(np.array([f"d{i}" for i in range(200_000)], dtype=object), weights)
    fleet = FleetWeights.of(_clustering(cluster, factor, 3), devices)
    assert fleet.factors.shape == (3, POINTS)
    assert fleet.shares.sum() == pytest.approx(1.0)
    ms = np.array([[10.0, 20.0, 15.0]])
    exact = _brute_percentile(ms[0, cluster] * factor, weights, 0.95)
    assert fleet.percentile(ms)[0] == pytest.approx(exact, rel=0.005)


def test_a_device_that_left_the_fleet_counts_no_more() -> None:
    clustering = _clustering(np.array([0, 1]), np.array([1.0, 1.0]), 2)
    fleet = FleetWeights.of(clustering, Devices(np.array(["d1"], dtype=object), np.array([3.0])))
    assert fleet.fleet_mean(np.array([[10.0, 20.0]])) == pytest.approx([20.0])
    assert fleet.worst(np.array([[30.0, 20.0]]))[0] == pytest.approx([20.0])


def test_a_fleet_without_any_clustered_device_is_refused() -> None:
    clustering = _clustering(np.array([0]), np.array([1.0]), 1)
    with pytest.raises(InputError, match="hdap cluster"):
        FleetWeights.of(clustering, Devices(np.array(["x"], dtype=object), np.array([1.0])))


def test_one_cluster_alone_is_a_fleet_of_its_own() -> None:
    cluster, factor, weights = _fleet(5, 60, 3)
    devices = Devices(np.array([f"d{i}" for i in range(60)], dtype=object), weights)
    whole = FleetWeights.of(_clustering(cluster, factor, 3), devices)
    alone = whole.only(whole.largest)
    mine = cluster == whole.largest
    ms = np.array([[10.0, 10.0, 10.0]])
    expected = 10.0 * (factor * weights)[mine].sum() / weights[mine].sum()
    assert alone.fleet_mean(ms) == pytest.approx([expected])
    assert weights[mine].sum() == max(weights[cluster == k].sum() for k in range(3))
