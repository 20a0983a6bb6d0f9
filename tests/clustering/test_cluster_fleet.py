import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.records import ClusteringRecord, Devices, Measurements, TextColumn

Run = Callable[..., ClusteringRecord]
MODELS = ("resnet50", "mobilenetv1_100")


@pytest.fixture(scope="module")
def mobilenet(measured: Any) -> Measurements:
    rows: Measurements = measured("mobilenetv1_100")
    return rows


@pytest.fixture(scope="module")
def clustered(mobilenet: Measurements, run: Run) -> ClusteringRecord:
    return run(mobilenet)


def truth(record: ClusteringRecord, kinds: dict[str, str]) -> list[str]:
    return [kinds[name] for name in record.device_ids]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("algorithm", ["hdbscan", "kmeans", "gmm"])
def test_the_kinds_of_the_measured_fleets_are_found(
    run: Run, measured: Any, true_kinds: Any, model: str, algorithm: str
) -> None:
    record = run(measured(model), algorithm=algorithm)
    assert adjusted_rand_score(truth(record, true_kinds(model)), record.cluster) >= 0.95


@pytest.mark.parametrize("model", MODELS)
def test_everyday_rows_of_the_dense_network_are_enough(
    run: Run, only: Any, measured: Any, true_kinds: Any, model: str
) -> None:
    rows = measured(model)
    record = run(only(rows, rows.dense))
    assert adjusted_rand_score(truth(record, true_kinds(model)), record.cluster) >= 0.95


@pytest.mark.parametrize("model", MODELS)
def test_latency_alone_tells_apart_what_differs_in_latency(
    run: Run, measured: Any, true_kinds: Any, model: str
) -> None:
    record = run(dataclasses.replace(measured(model), context={}))
    alike = {"fresh": "full speed", "contended": "full speed"}
    kinds = [alike.get(kind, kind) for kind in truth(record, true_kinds(model))]
    assert adjusted_rand_score(kinds, record.cluster) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_five_kinds_of_a_simulated_fleet_are_found(
    run: Run, simulate: Any, kind: Any, seed: int
) -> None:
    kinds = [
        kind(60),
        kind(30, 0.1, load=90),
        kind(25, 0.4, clock=1700),
        kind(12, 0.8, clock=1200),
        kind(4, 1.3, clock=700),
    ]
    fleet = simulate(kinds, seed=seed)
    record = run(fleet.measurements, seed=seed)
    assert adjusted_rand_score(fleet.kind, record.cluster) > 0.98


@pytest.mark.parametrize("devices", [3, 16, 120])
@pytest.mark.parametrize("seed", range(3))
def test_a_fleet_of_one_kind_is_one_cluster(
    run: Run, simulate: Any, kind: Any, devices: int, seed: int
) -> None:
    record = run(simulate([kind(devices)], seed=seed).measurements, seed=seed)
    assert len(record.clusters) == 1
    assert record.outlier.mean() < 0.1
    assert record.clusters[0].relative_latency == pytest.approx(1.0, abs=0.01)
    assert record.clusters[0].description == "typical"


def test_devices_that_rank_networks_differently_are_told_apart(
    run: Run, simulate: Any, kind: Any
) -> None:
    fleet = simulate([kind(60), kind(40, slope=0.15)], dense=0.2, context=False)
    record = run(fleet.measurements)
    assert "slope" in record.features
    assert adjusted_rand_score(fleet.kind, record.cluster) > 0.95


def test_context_that_latency_does_not_follow_makes_no_clusters(
    run: Run, simulate: Any, kind: Any
) -> None:
    fleet = simulate([kind(120)], seed=4)
    halves = np.random.default_rng(0).integers(0, 2, 120) * 80.0 + 10.0
    rows = fleet.measurements
    context = {**rows.context, "battery_pct": halves[rows.device]}
    assert len(run(dataclasses.replace(rows, context=context)).clusters) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_firmware_that_changes_nothing_changes_no_cluster(
    run: Run, simulate: Any, kind: Any, seed: int
) -> None:
    kinds = [kind(30), kind(20, 0.4), kind(10, 0.4, slope=0.15)]
    rows = simulate(kinds, seed=seed, dense=0.4, context=False).measurements
    firmware = np.random.default_rng(seed).integers(1, 6, 60)[rows.device]
    told = {"firmware": TextColumn(firmware, ("", *"abcde"))}
    before, after = run(rows), run(dataclasses.replace(rows, software=told))
    np.testing.assert_array_equal(before.cluster, after.cluster)
    assert [c.description for c in before.clusters] == [c.description for c in after.clusters]


def test_clusters_are_numbered_from_the_fastest(run: Run, measured: Any) -> None:
    record = run(measured("resnet50"))
    latencies = [c.relative_latency for c in record.clusters]
    assert latencies == sorted(latencies)
    assert [c.cluster for c in record.clusters] == [0, 1, 2, 3]
    assert [c.devices for c in record.clusters] == [10, 6, 4, 4]
    assert sum(c.weight_share for c in record.clusters) == pytest.approx(1.0)


def test_the_factor_is_latency_over_the_clusters_median(run: Run, measured: Any) -> None:
    record = run(measured("resnet50"))
    for number in range(4):
        assert np.median(record.factor[record.cluster == number]) == pytest.approx(1.0, abs=0.01)
    assert 0.9 < record.factor.min() < record.factor.max() < 1.1


def test_a_sick_device_is_named_and_keeps_the_nearest_cluster(
    run: Run, simulate: Any, kind: Any
) -> None:
    fleet = simulate([kind(30), kind(20, 0.5, clock=1500), kind(1, 2.0, clock=1500)], seed=2)
    record = run(fleet.measurements)
    assert np.flatnonzero(record.outlier).tolist() == np.flatnonzero(fleet.kind == 2).tolist()
    assert record.cluster[record.outlier].tolist() == [1]
    assert record.factor[record.outlier][0] > 3
    assert not (record.outlier & record.representative).any()


def test_a_single_device_is_a_cluster(run: Run, simulate: Any, kind: Any) -> None:
    record = run(simulate([kind(1)]).measurements, resamples=3)
    assert record.cluster.tolist() == [0]
    assert record.factor.tolist() == [1.0]
    assert record.representative.tolist() == [True]
    assert np.isnan(record.stability)


def test_two_devices_and_one_row_each_are_enough(run: Run, simulate: Any, kind: Any) -> None:
    record = run(simulate([kind(2)], rows=1, dense=1.0).measurements)
    assert record.cluster.tolist() == [0, 0]


@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan", "kmeans", "gmm"])
def test_identical_devices_are_one_cluster(
    run: Run, simulate: Any, kind: Any, algorithm: str
) -> None:
    fleet = simulate([kind(9)], within=0.0, noise=0.0, context=False, dense=1.0)
    even = dataclasses.replace(fleet.measurements, latency_p95_ms=fleet.measurements.latency_ms)
    record = run(even, algorithm=algorithm)
    assert record.cluster.tolist() == [0] * 9
    assert not record.outlier.any()


def test_where_no_two_devices_are_alike_the_fleet_is_one_cluster(
    run: Run, simulate: Any, kind: Any
) -> None:
    fleet = simulate([kind(1, 0.7 * 1.9**i) for i in range(7)], context=False)
    record = run(fleet.measurements, algorithm="dbscan")
    assert record.cluster.tolist() == [0] * 7
    assert not record.outlier.any()


def test_standing_devices_represent_first_unless_they_are_outliers_or_hardly_measured(
    run: Run, simulate: Any, kind: Any, only: Any
) -> None:
    rows = simulate([kind(20)], within=0.05).measurements
    before = run(rows)
    standing = ~before.representative & ~before.outlier
    standing &= np.cumsum(standing) <= 2
    kept = np.flatnonzero(standing)
    after = run(rows, standing=standing)
    assert after.representative[kept].all()
    assert after.representative.sum() == before.representative.sum()
    np.testing.assert_array_equal(after.cluster, before.cluster)
    few = only(rows, (rows.device != kept[0]) | (np.arange(len(rows)) % 20 < 2))
    assert not run(few, standing=standing).representative[kept[0]]


def test_a_device_without_rows_joins_the_largest_cluster(
    run: Run, simulate: Any, kind: Any, only: Any
) -> None:
    fleet = simulate([kind(12), kind(6, 0.6)], context=False)
    silent = int(np.flatnonzero(fleet.kind == 1)[0])
    record = run(only(fleet.measurements, fleet.measurements.device != silent))
    assert record.cluster[silent] == 0
    assert record.factor[silent] == 1.0
    assert not record.representative[silent]
    assert not record.outlier[silent]
    assert np.isfinite(record.fingerprint).all()


def test_missing_p95_and_scattered_context_do_no_harm(run: Run, simulate: Any, kind: Any) -> None:
    fleet = simulate([kind(20), kind(10, 0.5, clock=1500)])
    rows = fleet.measurements
    rng = np.random.default_rng(0)
    clock = np.where(rng.random(len(rows)) < 0.95, np.nan, rows.context["cpu_freq_mhz"])
    holes = dataclasses.replace(
        rows, latency_p95_ms=np.full(len(rows), np.nan), context={"cpu_freq_mhz": clock}
    )
    record = run(holes)
    assert "tail" not in record.features
    assert np.isfinite(record.fingerprint).all()
    assert adjusted_rand_score(fleet.kind, record.cluster) == 1.0


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_and_devices_does_not_matter(
    run: Run, mobilenet: Measurements, clustered: ClusteringRecord, only: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows, before = mobilenet, clustered
    order = rng.permutation(len(rows.devices.ids))
    place = np.argsort(order)
    mixed = only(rows, rng.permutation(len(rows)))
    mixed = dataclasses.replace(
        mixed,
        device=place[mixed.device],
        devices=Devices(rows.devices.ids[order], rows.devices.weights[order]),
    )
    after = run(mixed)
    np.testing.assert_array_equal(before.cluster[order], after.cluster)
    np.testing.assert_array_equal(before.representative[order], after.representative)
    np.testing.assert_allclose(before.factor[order], after.factor, atol=1e-6)


@settings(max_examples=6, deadline=None)
@given(st.floats(0.01, 100.0))
def test_a_network_that_takes_longer_everywhere_changes_nothing(
    run: Run, mobilenet: Measurements, clustered: ClusteringRecord, times: float
) -> None:
    rows, before = mobilenet, clustered
    scale = np.where(rows.configuration == 0, times, 1.0)
    changed = dataclasses.replace(
        rows, latency_ms=rows.latency_ms * scale, latency_p95_ms=rows.latency_p95_ms * scale
    )
    after = run(changed)
    np.testing.assert_array_equal(before.cluster, after.cluster)
    np.testing.assert_allclose(before.factor, after.factor, atol=1e-6)


def test_equal_seeds_give_equal_records(run: Run, measured: Any) -> None:
    first, second = (run(measured("resnet50"), seed=3, resamples=3) for _ in range(2))
    assert first.clusters == second.clusters
    assert first.stability == second.stability
    np.testing.assert_array_equal(first.fingerprint, second.fingerprint)
    np.testing.assert_array_equal(first.representative, second.representative)


def test_a_large_fleet_is_fitted_on_a_sample_and_assigned_whole(
    run: Run, simulate: Any, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdap.clustering.group_devices.FITTED_DEVICES", 400)
    kinds = [kind(1500), kind(450, 0.5, clock=1500), kind(50, 1.2, clock=700)]
    fleet = simulate(kinds, rows=8)
    record = run(fleet.measurements)
    assert adjusted_rand_score(fleet.kind, record.cluster) > 0.99
    assert record.outlier.mean() < 0.01


def test_the_number_of_clusters_can_be_asked_for(run: Run, measured: Any) -> None:
    record = run(measured("resnet50"), clusters=2)
    assert [c.devices for c in record.clusters] == [16, 8]


def test_the_record_carries_what_it_was_made_from(run: Run, measured: Any) -> None:
    record = run(measured("resnet50"), seed=5)
    assert (record.algorithm, record.seed, record.measurement_mark) == ("hdbscan", 5, 7)
    assert record.fingerprint.shape == (24, len(record.features))
    assert record.features[0] == "offset"
    assert record.clusters[0].context["cpu_freq_mhz"] == pytest.approx(2600.0)


def test_progress_is_told_after_every_resample(run: Run, measured: Any) -> None:
    told: list[tuple[int, int]] = []
    run(measured("resnet50"), resamples=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_no_measurements_are_refused_with_the_remedy(run: Run, simulate: Any, kind: Any) -> None:
    rows = simulate([kind(3)]).measurements
    empty = dataclasses.replace(
        rows,
        context={},
        **{f: getattr(rows, f)[:0] for f in ("device", "configuration", "runtime", "batch_size")},
        **{
            f: getattr(rows, f)[:0] for f in ("latency_ms", "latency_p95_ms", "runs", "measured_at")
        },
    )
    with pytest.raises(NotEnoughDataError, match="hdap ingest"):
        run(empty)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"algorithm": "ward"}, InputError),
        ({"clusters": 0}, InputError),
        ({"clusters": 25}, NotEnoughDataError),
        ({"representatives": 0}, InputError),
        ({"resamples": -1}, InputError),
        ({"memory_boundness": np.zeros(3)}, InputError),
    ],
)
def test_impossible_wishes_are_refused(
    run: Run, measured: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="`"):
        run(measured("resnet50"), **options)


def test_the_arguments_are_named(measured: Any) -> None:
    with pytest.raises(TypeError):
        cluster(measured("resnet50"), "kmeans")  # type: ignore[call-arg]
