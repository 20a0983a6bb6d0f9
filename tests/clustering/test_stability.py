from typing import Any

import numpy as np
import pytest

from hdap.clustering.algorithms.registry import make_algorithm
from hdap.clustering.representatives import representatives
from hdap.clustering.stability import stability


def test_kinds_far_apart_are_stable(run: Any, simulate: Any, kind: Any) -> None:
    fleet = simulate([kind(30), kind(20, 0.6, clock=1400)])
    record = run(fleet.measurements, resamples=6)
    assert record.stability == pytest.approx(1.0)
    assert [c.stability for c in record.clusters] == pytest.approx([1.0, 1.0])


def test_a_cut_through_one_kind_is_unstable() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (80, 2))
    cut = make_algorithm("kmeans").fit(points, 4, np.random.default_rng(1))
    found = stability(points, cut, make_algorithm("kmeans"), 4, 8, np.random.default_rng(2))
    assert found.overall < 0.95
    assert found.clusters.shape == (4,)
    assert (found.clusters < 1.0).any()


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
    chosen = representatives(points, np.full(40, 9.0), zeros, outlier, 3)
    assert chosen.sum() == 3
    assert chosen[0]
    assert not chosen[1]


def test_a_barely_measured_device_represents_only_where_no_other_can() -> None:
    points = np.zeros((4, 2))
    points[1:] = 5.0
    rows = np.array([1.0, 20.0, 20.0, 20.0])
    none = np.zeros(4, dtype=bool)
    cluster = np.zeros(4, dtype=np.int64)
    assert representatives(points, rows, cluster, none, 3).tolist() == [False, True, True, True]
    assert representatives(points, rows, cluster, none, 4).all()


def test_each_cluster_has_representatives(run: Any, measured: Any) -> None:
    record = run(measured("mobilenetv1_100"), representatives=3)
    counts = np.bincount(record.cluster[record.representative])
    assert counts.tolist() == [min(3, c.devices) for c in record.clusters]
