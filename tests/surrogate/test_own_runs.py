"""What a device measured itself goes before telemetry that says another dense latency."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import ClusteringRecord, Floats, Measurements
from hdap.surrogate.training_data.own_runs import contradicted, own_dense
from hdap.surrogate.training_data.training_cells import training_data
from hdap.workflows.plan_measurements import dense_baselines

MODEL = "resnet50"
DAY = 86_400.0


@pytest.fixture
def with_telemetry(measured: Callable[[str], Measurements]) -> Callable[[float], Measurements]:
    """The measured fleet with everyday telemetry of all devices beside it, off by a factor."""
    own = measured(MODEL)
    rows = np.flatnonzero(own.dense)

    def make(factor: float) -> Measurements:
        both = np.concatenate([rows, np.arange(len(own))])
        extra = np.arange(len(both)) < len(rows)

        def of(values: Floats, change: Floats | float = 0.0) -> Floats:
            return np.asarray(values[both] + np.where(extra, change, 0.0))

        return replace(
            own,
            device=own.device[both],
            configuration=own.configuration[both],
            runtime=own.runtime[both],
            batch_size=own.batch_size[both],
            latency_ms=own.latency_ms[both] * np.where(extra, factor, 1.0),
            latency_p95_ms=own.latency_p95_ms[both] * np.where(extra, factor, 1.0),
            runs=own.runs[both],
            measured_at=of(own.measured_at, -DAY),
            context={name: values[both] for name, values in own.context.items()},
        )

    return make


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_every_latency_is_on_the_scale_that_devices_measured(
    with_telemetry: Callable[[float], Measurements],
    architecture: Callable[[str], Architecture],
    true_clustering: Callable[[str], ClusteringRecord],
    factor: float,
) -> None:
    described, clustering = architecture(MODEL), true_clustering(MODEL)
    right = training_data(described, with_telemetry(1.0), clustering)
    found = training_data(described, with_telemetry(factor), clustering)
    (note,) = [n for n in found.notes if "everyday rows left out" in n]
    assert "24 devices measured another dense latency themselves" in note
    assert contradicted(*own_dense(with_telemetry(factor))).all()
    for data in (right, found):
        assert not np.isnan(data.log_ms).any()
    dense = [float(np.median(d.latency_ms[d.dense])) for d in (right, found)]
    assert dense[1] == pytest.approx(dense[0], rel=0.02)
    pruned = [float(np.median(d.log_ms[~d.dense])) for d in (right, found)]
    assert pruned[1] == pytest.approx(pruned[0], abs=0.02)
    devices = [str(d) for d in clustering.device_ids]
    expected = dense_baselines(with_telemetry(1.0), devices)
    assert dense_baselines(with_telemetry(factor), devices) == pytest.approx(expected, rel=0.05)


def test_a_warm_day_is_no_contradiction(
    with_telemetry: Callable[[float], Measurements],
    architecture: Callable[[str], Architecture],
    true_clustering: Callable[[str], ClusteringRecord],
) -> None:
    found = training_data(architecture(MODEL), with_telemetry(1.3), true_clustering(MODEL))
    assert not any("everyday rows" in note for note in found.notes)
    devices = [str(d) for d in true_clustering(MODEL).device_ids]
    usual = dense_baselines(with_telemetry(1.3), devices)
    own = dense_baselines(with_telemetry(1.0), devices)
    assert np.median([usual[d] / own[d] for d in devices]) == pytest.approx(1.3)
