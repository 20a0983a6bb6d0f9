from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import ClusteringRecord, StudyRecord, VerificationRecord
from hdap.fleet_data.store import Store

NOW = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
RECORD = VerificationRecord(
    study_id=0,
    number=17,
    cluster=0,
    predicted_ms=10.0,
    predicted_low_ms=9.5,
    predicted_high_ms=10.5,
    measured_ms=10.1,
    measured_low_ms=9.9,
    measured_high_ms=10.3,
    devices=3,
    holds=True,
    trial_holds=True,
    simulated=False,
    created_at=NOW,
)


@pytest.fixture
def study(store: Store, architecture: Callable[[str], Architecture]) -> int:
    store.save_architecture(architecture("resnet50"))
    nobody = np.empty(0, dtype=np.int64)
    clustering = store.save_clustering(
        ClusteringRecord(
            algorithm="kmeans",
            parameters={},
            seed=0,
            created_at=NOW,
            measurement_mark=0,
            stability=1.0,
            device_ids=np.empty(0, dtype=object),
            cluster=nobody,
            outlier=nobody.astype(np.bool_),
            representative=nobody.astype(np.bool_),
            factor=nobody.astype(np.float64),
            features=(),
            fingerprint=np.empty((0, 0)),
            clusters=(),
        )
    )
    record = StudyRecord(
        name="first",
        model="resnet50",
        sampler="fleet",
        seed=0,
        objective="mean",
        flops_low=1,
        flops_high=2,
        kept_importance_floor=0.5,
        clustering_id=clustering,
        settings={},
        created_at=NOW,
    )
    return store.create_study(record)


def test_verifications_come_back_by_trial_and_cluster(store: Store, study: int) -> None:
    first = replace(RECORD, study_id=study)
    unmeasured = replace(
        first,
        cluster=1,
        measured_ms=float("nan"),
        measured_low_ms=float("nan"),
        measured_high_ms=float("nan"),
        devices=0,
        holds=False,
    )
    earlier = replace(first, number=3, simulated=True, trial_holds=False)
    store.save_verification([unmeasured, first])
    store.save_verification([earlier])
    found = store.verifications(study)
    assert [(r.number, r.cluster) for r in found] == [(3, 0), (17, 0), (17, 1)]
    assert found[:2] == (earlier, first)
    assert np.isnan(found[2].measured_ms)
    assert not found[2].holds


def test_the_newest_verification_of_a_trial_counts(store: Store, study: int) -> None:
    record = replace(RECORD, study_id=study)
    store.save_verification([record])
    store.save_verification([replace(record, measured_ms=12.0, holds=False)])
    (found,) = store.verifications(study)
    assert (found.measured_ms, found.holds) == (12.0, False)


def test_a_study_that_nothing_verified_has_none(store: Store, study: int) -> None:
    assert store.verifications(study) == ()
