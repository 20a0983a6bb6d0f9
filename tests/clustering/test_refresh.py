from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from hdap.clustering.cluster_fleet import cluster
from hdap.clustering.refresh import refreshed
from hdap.fleet_data.records import ClusteringRecord, Devices, Floats, Measurements
from hdap.fleet_data.software import parse_software

ROWS, OLD = 24, 8


def rows(factor: Floats, n: int, seed: int) -> tuple[Floats, np.ndarray]:
    rng = np.random.default_rng(seed)
    device = np.repeat(np.arange(len(factor)), n)
    return 10.0 * factor[device] * np.exp(0.01 * rng.normal(size=len(device))), device


def measured(parts: list[tuple[Floats, np.ndarray]], devices: int) -> Measurements:
    latency = np.concatenate([ms for ms, _ in parts])
    device = np.concatenate([d for _, d in parts])
    nothing = np.zeros(len(device), np.int64)
    return Measurements(
        Devices(np.array([f"d{i}" for i in range(devices)], object), np.ones(devices)),
        ("net",),
        ("",),
        ("",),
        device,
        nothing,
        nothing,
        nothing + 1,
        latency,
        np.full(len(device), np.nan),
        np.ones(len(device)),
        np.arange(len(device), dtype=np.float64),
    )


@pytest.fixture(scope="module")
def factor() -> Floats:
    return np.append(np.linspace(0.97, 1.03, OLD), np.linspace(1.95, 2.05, OLD))


@pytest.fixture(scope="module")
def clustering(factor: Floats) -> ClusteringRecord:
    made = measured([rows(factor, ROWS, 0)], len(factor))
    return cluster(
        made,
        clusters=2,
        algorithm="kmeans",
        created_at=datetime.now(UTC),
        measurement_mark=0,
        resamples=0,
    )


def after(factor: Floats, clustering: ClusteringRecord, new: Floats) -> ClusteringRecord:
    parts = [rows(factor, ROWS, 0), rows(new, ROWS, 1)]
    everything = measured(parts, len(new))
    return refreshed(clustering, everything, len(parts[1][0]))


def test_a_factor_has_a_doubt_that_shrinks_with_rows(
    factor: Floats, clustering: ClusteringRecord
) -> None:
    assert (clustering.factor_sd < 0.01).all()
    few = cluster(
        measured([rows(factor, 2, 0)], len(factor)),
        clusters=2,
        algorithm="kmeans",
        created_at=datetime.now(UTC),
        measurement_mark=0,
        resamples=0,
    )
    assert np.median(few.factor_sd) > 2 * np.median(clustering.factor_sd)
    once = cluster(
        measured([rows(factor, 1, 0)], len(factor)),
        clusters=2,
        algorithm="kmeans",
        created_at=datetime.now(UTC),
        measurement_mark=0,
        resamples=0,
    )
    assert np.isnan(once.factor_sd).all()


def test_nothing_new_changes_nothing(factor: Floats, clustering: ClusteringRecord) -> None:
    same = refreshed(clustering, measured([rows(factor, ROWS, 0)], len(factor)), 0)
    assert same is clustering


def test_rows_like_before_refine_and_do_not_move(
    factor: Floats, clustering: ClusteringRecord
) -> None:
    found = after(factor, clustering, factor)
    assert np.abs(np.log(found.factor / clustering.factor)).max() < 0.01
    assert (found.factor_sd <= clustering.factor_sd + 1e-12).all()


def test_a_device_that_slowed_down_has_its_new_factor(
    factor: Floats, clustering: ClusteringRecord
) -> None:
    slower = factor.copy()
    slower[2] *= 1.3
    found = after(factor, clustering, slower)
    change = found.factor / clustering.factor
    assert change[2] == pytest.approx(1.3, abs=0.03)
    assert np.abs(np.delete(change, 2) - 1.0).max() < 0.02


def test_a_device_never_seen_joins_the_nearest_cluster(
    factor: Floats, clustering: ClusteringRecord
) -> None:
    found = after(factor, clustering, np.append(factor, [1.94, 1.06]))
    assert found.device_ids[-2:].tolist() == ["d16", "d17"]
    assert found.cluster[-2:].tolist() == [clustering.cluster[-1], clustering.cluster[0]]
    assert found.factor[-2:] == pytest.approx([0.97, 1.06], abs=0.03)
    assert len(found.fingerprint) == len(found.device_ids) == len(found.factor_sd)


def running(made: Measurements, runtimes: list[str]) -> Measurements:
    """Each row of a runtime; "" is unknown."""
    texts = ("", *dict.fromkeys(text for text in runtimes if text))
    return replace(made, runtimes=texts, runtime=np.array([texts.index(t) for t in runtimes]))


def test_a_new_device_joins_those_that_run_what_it_does() -> None:
    factor = np.array([1.0, 1.01, 0.99, 2.0, 2.01, 1.99])
    before = rows(factor, ROWS, 0)
    runs = [("onnxruntime-1", "ncnn-1")[device // 3] for device in before[1]]
    made = running(measured([before], 6), runs)
    record = cluster(made, created_at=datetime.now(UTC), measurement_mark=0, resamples=0)
    of_onnx, of_ncnn = record.cluster[0], record.cluster[3]
    assert of_onnx != of_ncnn
    # one that changed; new ones as fast as ONNX Runtime's: ncnn, unknown, one that nobody has
    now = {5: "onnxruntime-2", 6: "ncnn-2", 7: "", 8: "litert-1"}
    latency, device = rows(np.ones(4), ROWS, 1)
    later = (latency, device + 5)
    everything = running(measured([before, later], 9), [*runs, *(now[d] for d in later[1])])
    found = refreshed(record, everything, len(latency))
    assert found.cluster[6:].tolist() == [of_ncnn, of_onnx, of_onnx]
    assert found.factor[6] == pytest.approx(0.5, rel=0.05)
    told = [parse_software(text).get("runtime", "") for text in found.software[5:]]
    assert told == list(now.values())
