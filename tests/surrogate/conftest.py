"""A clustering by the devices' true kinds, and what surrogates learn from with it."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import ClusteringRecord, ClusterRecord, Measurements
from hdap.surrogate.training_data.training_cells import TrainingData, training_data


@pytest.fixture(scope="session")
def true_clustering(
    true_kinds: Callable[[str], dict[str, str]], measured: Callable[[str], Measurements]
) -> Callable[[str], ClusteringRecord]:
    return lambda model: _by_kind(measured(model), true_kinds(model))


@pytest.fixture(scope="session")
def learned_from(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> Callable[[str], TrainingData]:
    @lru_cache
    def data(model: str) -> TrainingData:
        return training_data(architecture(model), measured(model), true_clustering(model))

    return data


def _by_kind(measurements: Measurements, kinds: dict[str, str]) -> ClusteringRecord:
    names = sorted(set(kinds.values()))
    cluster = np.array([names.index(kinds[i]) for i in measurements.devices.ids], dtype=np.int64)
    dense = np.array([not text for text in measurements.channels])[measurements.configuration]
    median = np.array(
        [
            np.median(measurements.latency_ms[dense & (measurements.device == d)])
            for d in range(len(cluster))
        ]
    )
    typical = np.array([np.median(median[cluster == k]) for k in range(len(names))])
    records = tuple(
        ClusterRecord(
            cluster=k,
            devices=int((cluster == k).sum()),
            weight_share=float((cluster == k).mean()),
            relative_latency=float(typical[k] / np.median(median)),
            spread=0.02,
            stability=1.0,
            description=name,
        )
        for k, name in enumerate(names)
    )
    return ClusteringRecord(
        algorithm="truth",
        parameters={},
        seed=0,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        measurement_mark=0,
        stability=1.0,
        device_ids=measurements.devices.ids,
        cluster=cluster,
        outlier=np.zeros(len(cluster), dtype=np.bool_),
        representative=np.zeros(len(cluster), dtype=np.bool_),
        factor=median / typical[cluster],
        features=(),
        fingerprint=np.zeros((len(cluster), 0)),
        clusters=records,
    )
