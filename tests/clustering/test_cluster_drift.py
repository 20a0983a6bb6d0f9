from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.clustering.cluster_drift import Drift, drift
from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.records import ClusteringRecord, Devices, Floats, Measurements

DEVICES, OLD, NEW = 60, 20, 10
DAY_S = 86_400.0
KIND = np.arange(DEVICES) % 3
LEVEL = np.array([1.0, 1.6, 2.5])


def _fleet(change: Floats, strangers: int = 0, busy: bool = False, seed: int = 3) -> Measurements:
    """Dense rows of all devices, then new ones with each device's `change` (D); noise 2 %.

    With `busy` the new rows are references beside pruned rows of the same hour.
    """
    rng = np.random.default_rng(seed)
    total = DEVICES + strangers
    level = LEVEL[np.arange(total) % 3]
    after = np.concatenate([change, np.ones(strangers)])
    old = np.repeat(np.arange(DEVICES), OLD)
    new = np.repeat(np.arange(total), NEW)
    device = np.concatenate([old, new, new if busy else new[:0]])
    ms = 20.0 * level[device] * np.exp(0.02 * rng.normal(size=len(device)))
    ms[len(old) :] *= after[device[len(old) :]]
    day = np.concatenate([np.tile(np.arange(OLD), DEVICES), np.tile(100 + np.arange(NEW), total)])
    day = np.concatenate([day, day[len(old) :]]) if busy else day
    configuration = np.zeros(len(device), dtype=np.int64)
    configuration[len(old) + len(new) :] = 1
    n = len(device)
    return Measurements(
        devices=Devices(
            np.array([f"d{i:03d}" for i in range(total)], dtype=object), np.ones(total)
        ),
        models=("resnet50", "resnet50"),
        channels=("", "conv1=32"),
        runtimes=("",),
        device=device,
        configuration=configuration,
        runtime=np.zeros(n, dtype=np.int64),
        batch_size=np.ones(n, dtype=np.int64),
        latency_ms=ms,
        latency_p95_ms=np.full(n, np.nan),
        runs=np.full(n, 8.0),
        measured_at=day * DAY_S + 60.0 * configuration,
    )


@pytest.fixture(scope="module")
def clustering() -> ClusteringRecord:
    before = _at(_fleet(np.ones(DEVICES)), DEVICES * OLD)
    found = cluster(before, created_at=datetime.now(UTC), measurement_mark=0, resamples=0)
    assert len(found.clusters) == 3
    return found


def _at(measurements: Measurements, rows: int) -> Measurements:
    columns = ("device", "configuration", "runtime", "batch_size", "latency_ms")
    more = ("latency_p95_ms", "runs", "measured_at")
    return replace(measurements, **{c: getattr(measurements, c)[:rows] for c in (*columns, *more)})


def _drift(measurements: Measurements, clustering: ClusteringRecord) -> Drift:
    return drift(measurements, len(measurements) - DEVICES * OLD, clustering)


def test_a_fleet_that_stayed_the_same_shows_nothing(clustering: ClusteringRecord) -> None:
    seen = _drift(_fleet(np.ones(DEVICES)), clustering)
    assert seen.rows == DEVICES * NEW
    assert seen.devices == DEVICES
    assert len(seen.moved) == len(seen.unknown) == len(seen.changed) == 0
    assert len(seen.clusters) == 3


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_is_no_drift(clustering: ClusteringRecord, seed: int) -> None:
    seen = _drift(_fleet(np.ones(DEVICES), seed=seed + 10), clustering)
    assert len(seen.moved) == len(seen.changed) == 0


def test_a_cluster_that_grew_slower_is_found_and_its_devices_did_not_move(
    clustering: ClusteringRecord,
) -> None:
    seen = _drift(_fleet(np.where(KIND == 1, 1.1, 1.0)), clustering)
    (changed,) = seen.changed
    assert changed.cluster == 1
    assert changed.change == pytest.approx(0.1, abs=0.02)
    assert changed.devices == DEVICES // 3
    assert len(seen.moved) == 0


def test_a_whole_fleet_that_grew_slower_is_found(clustering: ClusteringRecord) -> None:
    seen = _drift(_fleet(np.full(DEVICES, 1.08)), clustering)
    assert [c.cluster for c in seen.changed] == [0, 1, 2]
    assert len(seen.moved) == 0


def test_devices_that_moved_are_named_with_where_to(clustering: ClusteringRecord) -> None:
    change = np.ones(DEVICES)
    change[[0, 3]] = LEVEL[2]
    change[4] = LEVEL[0] / LEVEL[1]
    seen = _drift(_fleet(change), clustering)
    assert seen.moved.tolist() == ["d000", "d003", "d004"]
    assert seen.moved_from.tolist() == [0, 0, 1]
    assert seen.moved_to.tolist() == [2, 2, 0]
    assert len(seen.changed) == 0


def test_new_devices_are_in_no_cluster(clustering: ClusteringRecord) -> None:
    seen = _drift(_fleet(np.ones(DEVICES), strangers=4), clustering)
    assert seen.unknown.tolist() == ["d060", "d061", "d062", "d063"]
    assert seen.devices == DEVICES


def test_a_device_that_measures_is_busy_not_drifting(clustering: ClusteringRecord) -> None:
    seen = _drift(_fleet(np.full(DEVICES, 1.3), busy=True), clustering)
    assert seen.rows == 0
    assert len(seen.moved) == len(seen.clusters) == 0


def test_a_cluster_of_which_few_report_is_not_judged(clustering: ClusteringRecord) -> None:
    whole = _fleet(np.full(DEVICES, 1.2))
    seen = _drift(_at(whole, DEVICES * OLD + 4 * NEW), clustering)
    assert seen.devices == 4
    assert seen.clusters == ()


def test_rows_of_a_model_that_was_not_seen_before_say_nothing(
    clustering: ClusteringRecord,
) -> None:
    whole = _fleet(np.full(DEVICES, 1.2))
    configuration = whole.configuration.copy()
    configuration[DEVICES * OLD :] = 1
    other = replace(
        whole, models=("resnet50", "resnet18"), channels=("", ""), configuration=configuration
    )
    seen = _drift(other, clustering)
    assert seen.rows == 0
    assert seen.clusters == ()


def test_a_roll_out_shows_as_devices_that_moved(clustering: ClusteringRecord) -> None:
    change = np.ones(DEVICES)
    change[[0, 3]] = LEVEL[2]
    rows = _fleet(change)
    newer = np.isin(rows.device, [0, 3]) & (np.arange(len(rows)) >= DEVICES * OLD)
    rolled = replace(rows, runtimes=("", "ort 1", "ort 2"), runtime=1 + newer.astype(np.int64))
    seen = _drift(rolled, clustering)
    assert seen.moved.tolist() == ["d000", "d003"]
    assert seen.moved_to.tolist() == [2, 2]
