from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from hdap.clustering.algorithms.base import ClusteringAlgorithm
from hdap.clustering.algorithms.registry import ALGORITHMS
from hdap.clustering.group_devices import choose_representatives
from hdap.clustering.stability import stability
from hdap.fleet_data.records import Floats, Ints


def test_kinds_far_apart_are_stable(run: Any, simulate: Any, kind: Any) -> None:
    fleet = simulate([kind(30), kind(20, 0.6, clock=1400)])
    record = run(fleet.measurements, resamples=6)
    assert record.stability == pytest.approx(1.0)
    assert [c.stability for c in record.clusters] == pytest.approx([1.0, 1.0])


def test_a_cut_through_one_kind_is_unstable() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (80, 2))
    cut = ALGORITHMS["kmeans"]().fit(points, 4, np.random.default_rng(1))
    found = stability(points, cut, ALGORITHMS["kmeans"](), 4, 8, np.random.default_rng(2))
    assert found.overall < 0.95
    assert found.clusters.shape == (4,)
    assert (found.clusters < 1.0).any()


class ByFirstCoordinate(ClusteringAlgorithm):
    """Groups points by what their first coordinate says."""

    name = "by-first-coordinate"

    def fit(self, points: Floats, clusters: int | None, rng: np.random.Generator) -> Ints:
        return points[:, 0].astype(np.int64)


def test_a_cluster_is_compared_with_the_one_that_shares_most_of_what_both_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hdap.clustering.stability.SHARE", 1.0)
    before = np.repeat([0, 0, 1, 2], [40, 30, 160, 100])
    again = np.repeat([0, 1, 0, 2], [40, 30, 160, 100])
    # most of the first cluster went into a crowd of 200, but a pure cluster of 30 is more like it
    points = again[:, None].astype(np.float64)
    rng = np.random.default_rng(0)
    found = stability(points, before, ByFirstCoordinate(), None, 2, rng)
    like = [adjusted_rand_score(before == k, again == m) for k, m in ((0, 1), (1, 0), (2, 2))]
    assert found.clusters == pytest.approx(like)
    assert like[0] > adjusted_rand_score(before == 0, again == 0)
    assert found.overall == pytest.approx(adjusted_rand_score(before, again))


def test_without_resamples_nothing_is_claimed(run: Any, measured: Any) -> None:
    record = run(measured("resnet50"), resamples=0)
    assert np.isnan(record.stability)
    assert all(np.isnan(c.stability) for c in record.clusters)


def test_representatives_are_central_and_never_outliers() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (40, 3))
    points[0] = 0.0
    outlier = np.zeros(40, dtype=bool)
    outlier[1] = True
    points[1] = 0.0
    zeros = np.zeros(40, dtype=np.int64)
    chosen = choose_representatives(points, np.full(40, 9.0), zeros, outlier, 3)
    assert chosen.sum() == 3
    assert chosen[0]
    assert not chosen[1]


def test_a_barely_measured_device_represents_only_where_no_other_can() -> None:
    points = np.zeros((4, 2))
    points[1:] = 5.0
    rows = np.array([1.0, 20.0, 20.0, 20.0])
    none = np.zeros(4, dtype=bool)
    cluster = np.zeros(4, dtype=np.int64)
    assert choose_representatives(points, rows, cluster, none, 3).tolist() == [
        False,
        True,
        True,
        True,
    ]
    assert choose_representatives(points, rows, cluster, none, 4).all()


def test_each_cluster_has_representatives(run: Any, measured: Any) -> None:
    record = run(measured("mobilenetv1_100"), representatives=3)
    counts = np.bincount(record.cluster[record.representative])
    assert counts.tolist() == [min(3, c.devices) for c in record.clusters]
