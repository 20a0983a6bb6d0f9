from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from benchmarks.fleet.measured_fleets import read_fleet, with_software
from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.records import ClusteringRecord, Measurements
from hdap.surrogate.training_data.training_cells import TrainingData, training_data

MODEL = "mobilenetv1_100"
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def test_every_measured_row_is_there_with_its_counts(
    learned_from: Callable[[str], TrainingData], measured: Callable[[str], Measurements]
) -> None:
    data, rows = learned_from("resnet50"), measured("resnet50")
    assert len(data) == len(rows)
    assert (data.latency_ms == rows.latency_ms).all()
    assert data.counts.shape == (1440, 37)
    assert data.dense.sum() == 480
    assert data.notes == ()
    assert set(data.context) == {"cpu_freq_mhz", "cpu_load_pct"}


def test_device_factors_and_drift_bring_rows_of_a_configuration_together(
    learned_from: Callable[[str], TrainingData],
) -> None:
    data = learned_from("resnet50")

    def spread(log_ms: np.ndarray) -> float:
        residual = log_ms[data.dense]
        cluster = data.cluster[data.dense]
        middles = np.array([np.median(residual[cluster == k]) for k in range(4)])
        return float(np.median(np.abs(residual - middles[cluster])))

    assert spread(data.log_ms) < 0.9 * spread(np.log(data.latency_ms))


def test_cells_hold_the_median_of_each_cluster_and_configuration(
    learned_from: Callable[[str], TrainingData],
) -> None:
    data = learned_from(MODEL)
    cells = data.cells
    assert cells.rows.sum() == len(data)
    for i in (0, len(cells) // 2, len(cells) - 1):
        mine = (data.cluster == cells.cluster[i]) & (data.configuration == cells.configuration[i])
        assert cells.log_ms[i] == pytest.approx(np.median(data.log_ms[mine]))
        assert (cells.counts[i] == data.designs[cells.configuration[i]]).all()


def test_a_device_that_is_slower_by_a_factor_teaches_the_same(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
    learned_from: Callable[[str], TrainingData],
) -> None:
    rows, clustering = measured(MODEL), true_clustering(MODEL)
    slow = np.where(rows.device == 5, 1.3, 1.0)
    factor = np.where(np.arange(len(clustering.factor)) == 5, 1.3, 1.0) * clustering.factor
    changed = training_data(
        architecture(MODEL),
        replace(rows, latency_ms=rows.latency_ms * slow),
        replace(clustering, factor=factor),
    )
    np.testing.assert_allclose(changed.log_ms, learned_from(MODEL).log_ms, atol=1e-9)


@pytest.mark.parametrize("larger", [4, 2])
def test_batches_never_teach_what_runs_one_by_one(
    larger: int,
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> None:
    rows = measured(MODEL)
    other = np.arange(len(rows)) % 4 < larger  # of all or of half of the rows
    data = training_data(
        architecture(MODEL), replace(rows, batch_size=1 + 7 * other), true_clustering(MODEL)
    )
    if larger == 4:
        assert data.notes == ("latencies are of batches of 8: no other was measured as much",)
    else:
        left = f"{other.sum()} rows of other batch sizes left out (kept: batch size 1)"
        assert data.notes == (left,)


def test_only_one_batch_size_of_pruned_rows_is_kept_and_that_is_said(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> None:
    rows = measured(MODEL)
    other = np.arange(len(rows)) % 4 == 0
    mixed = replace(
        rows, runtimes=("", "gpu"), runtime=np.where(other, 1, 0), batch_size=1 + 7 * other
    )
    data = training_data(architecture(MODEL), mixed, true_clustering(MODEL))
    assert len(data) == (~other).sum()
    assert data.notes == (f"{other.sum()} rows of other batch sizes left out (kept: batch size 1)",)


def test_outliers_and_devices_newer_than_the_clustering_are_left_out(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> None:
    rows, whole = measured(MODEL), true_clustering(MODEL)
    keep = np.arange(1, len(whole.device_ids))
    clustering = replace(
        whole,
        device_ids=whole.device_ids[keep],
        cluster=whole.cluster[keep],
        factor=whole.factor[keep],
        outlier=keep == 3,
    )
    data = training_data(architecture(MODEL), rows, clustering)
    assert not set(data.device) & {0, 3}
    assert [note.split(" ", 1)[1] for note in data.notes] == [
        "rows of devices newer than the clustering left out",
        "rows of outlier devices left out",
    ]


def test_many_rows_of_one_configuration_are_thinned_evenly(
    monkeypatch: pytest.MonkeyPatch,
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> None:
    monkeypatch.setattr("hdap.surrogate.training_data.row_selection.ROWS_PER_CELL", 10)
    data = training_data(architecture(MODEL), measured(MODEL), true_clustering(MODEL))
    assert data.cells.rows.max() <= 10
    for number in range(4):
        dense = data.dense & (data.cluster == number)
        assert np.ptp(data.measured_at[dense]) > 0.8 * np.ptp(data.measured_at)


def test_a_model_without_rows_is_refused_with_the_remedy(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> None:
    with pytest.raises(NotEnoughDataError, match="none is left; load some: hdap ingest"):
        training_data(architecture("resnet50"), measured(MODEL), true_clustering(MODEL))


def test_channels_of_another_architecture_are_refused(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> None:
    rows = measured(MODEL)
    wrong = replace(rows, models=("resnet50",) * len(rows.models))
    with pytest.raises(InputError, match="stored channels must fit resnet50"):
        training_data(architecture("resnet50"), wrong, true_clustering(MODEL))


def test_each_device_is_learned_from_in_what_it_runs(
    architecture: Callable[[str], Architecture],
) -> None:
    rows, kinds = read_fleet("rollout")
    told = with_software(rows, kinds)
    clustering = cluster(told, resamples=0, created_at=NOW, measurement_mark=0)
    data = training_data(architecture("resnet50"), told, clustering)
    assert len(data) == len(rows)
    assert data.notes == ()
    # A device changes its runtime: what it measured before counts no more.
    older = replace(told, runtime=np.where(told.device == 0, 1, told.runtime))
    ran = int(told.runtime[told.device == 0][0])
    assert ran != 1
    data = training_data(architecture("resnet50"), older, clustering)
    gone = int((told.device == 0).sum())
    assert len(data) == len(rows) - gone
    assert data.notes == (f"{gone} rows of other software left out",)


def test_where_bundles_bring_their_own_runtime_that_is_learned_from_and_said(
    architecture: Callable[[str], Architecture],
    measured: Callable[[str], Measurements],
    true_clustering: Callable[[str], ClusteringRecord],
) -> None:
    rows = measured(MODEL)
    clustering = replace(
        true_clustering(MODEL),
        software=np.full(len(rows.devices.ids), '{"runtime": "litert"}', dtype=object),
    )
    served = np.flatnonzero(rows.dense)[::2]
    runtime = np.ones(len(rows), dtype=np.int64)
    runtime[served] = 2
    mixed = replace(rows, runtimes=("", "onnxruntime 1.32", "litert"), runtime=runtime)
    data = training_data(architecture(MODEL), mixed, clustering)
    assert len(data) == len(rows) - len(served)
    assert data.notes == (
        "no device measured a pruned network in what it runs: learning from onnxruntime 1.32",
        f"{len(served)} rows of other software left out",
    )
