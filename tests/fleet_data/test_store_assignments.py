from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import AssignmentBatch, ClusteringRecord, StudyRecord
from hdap.fleet_data.store import Store

NOW = datetime(2026, 11, 28, 1, 2, 3, tzinfo=UTC)
BATCH = AssignmentBatch(
    device_ids=np.array(["a", "b", 'ü, "quoted"'], dtype=object),
    number=np.array([0, 2, 2]),
    number_before=np.array([0, 0, 2]),
    cluster=np.array([0, 1, 1]),
    factor=np.array([1.0, 1.1, 0.9]),
    factor_sd=np.array([0.01, 0.02, 0.03]),
    latency_ms=np.array([12.5, 19.0, 25.0]),
    probability_in_time=np.array([1.0, 0.96, 0.1]),
    in_time=np.array([True, True, False]),
    assigned_at=np.full(3, np.datetime64("2026-11-28T01:02:03.000004")),
)


@pytest.fixture
def study(store: Store, architecture: Callable[[str], Architecture]) -> int:
    store.save_architecture(architecture("resnet50"))
    two = np.arange(2)
    clustering = ClusteringRecord(
        algorithm="kmeans",
        parameters={},
        seed=0,
        created_at=NOW,
        measurement_mark=0,
        stability=1.0,
        device_ids=np.array(["a", "b"], dtype=object),
        cluster=two,
        outlier=two > 5,
        representative=two > 5,
        factor=np.array([1.0, 1.1]),
        factor_sd=np.array([0.01, np.nan]),
        features=(),
        fingerprint=np.empty((2, 0)),
        clusters=(),
    )
    key = store.save_clustering(clustering)
    assert store.clustering(key).factor_sd == pytest.approx([0.01, np.nan], nan_ok=True)
    record = StudyRecord(
        name="sizes",
        model="resnet50",
        sampler="fleet",
        seed=0,
        objective="mean,kept",
        flops_low=1,
        flops_high=2,
        kept_importance_floor=0.0,
        clustering_id=key,
        settings={},
        created_at=NOW,
    )
    return store.create_study(record)


def same(one: AssignmentBatch, other: AssignmentBatch) -> bool:
    return all((getattr(one, f.name) == getattr(other, f.name)).all() for f in fields(one))


def test_what_is_stored_is_read(store: Store, study: int) -> None:
    assert len(store.assignments(study)) == 0
    store.save_assignments(study, BATCH)
    assert same(store.assignments(study), BATCH)


def test_what_is_stored_later_takes_the_place(store: Store, study: int) -> None:
    store.save_assignments(study, BATCH)
    moved = replace(BATCH, number=np.array([2, 2, 0])).take(np.array([0, 1]))
    store.save_assignments(study, moved)
    assert same(store.assignments(study), moved)
    rows = store.query("SELECT device_id, number FROM assignments ORDER BY device_id").rows
    assert rows == (("a", 2), ("b", 2))
