"""Plans and drift on the measured fleet, without exporting networks."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import Result

from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.store import Store
from hdap.requests.plan_request import PlanRequest
from hdap.workflows.build_problem import stored_problem
from hdap.workflows.detect_drift import findings
from hdap.workflows.plan_measurements import (
    PlannedBatch,
    dense_baselines,
    device_seconds,
    make_plan,
)

Hdap = Callable[..., Result]


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    with Store.open(str(database)) as opened:
        yield opened


def _silent(_: str) -> None:
    pass


def _texts(batch: PlannedBatch) -> list[str]:
    counts = [c for b in batch.bundles for c in (b.anchors, b.candidates)]
    return format_channels(batch.architecture, np.vstack(counts))


def test_a_later_batch_is_guided_new_and_on_the_grid_that_pays(store: Store) -> None:
    batch = make_plan(store, PlanRequest("resnet50", per_cluster=24), _silent)
    assert batch.guided
    assert batch.step is not None
    assert batch.known == 160
    assert not set(_texts(batch)) & set(store.measurements("resnet50").channels)
    aligned = [(c % batch.step == 0).mean() for b in batch.bundles for c in b.candidates]
    assert np.median(aligned) > 0.9
    assert batch.curve.source == "this fleet's own data"
    assert 0.01 < batch.expected_error < 0.05
    assert batch.measurements == 24 * 4


def test_the_budget_counts_measurements_of_all_clusters(store: Store) -> None:
    batch = make_plan(store, PlanRequest("resnet50", budget=40), _silent)
    assert batch.measurements == 40


def test_half_of_a_batch_from_a_study_lies_in_its_band_and_holds_its_best(store: Store) -> None:
    study = store.study()
    request = PlanRequest("resnet50", per_cluster=30, from_study=study.name)
    batch = make_plan(store, request, _silent)
    candidates = np.vstack([b.candidates for b in batch.bundles])
    cost = flops(batch.architecture, candidates)
    inside = (cost >= study.flops_low) & (cost <= study.flops_high)
    assert inside.mean() >= 0.5
    trials = store.trials(study.id)
    kept = {row.tobytes() for row in trials.counts[trials.feasible]}
    assert sum(row.tobytes() in kept for row in candidates) >= 5


def test_a_batch_from_a_study_holds_the_uniform_network_that_it_is_promised_against(
    store: Store,
) -> None:
    study = store.study()
    batch = make_plan(store, PlanRequest("resnet50", per_cluster=4, from_study=study.name), _silent)
    planned = np.vstack([b.candidates for b in batch.bundles])
    uniform = stored_problem(store, study)[0].best_uniform.counts
    assert (planned == uniform).all(axis=1).any()


def test_a_range_that_was_asked_for_is_kept(store: Store) -> None:
    batch = make_plan(store, PlanRequest("resnet50", per_cluster=8, flops_range="1G-50%"), _silent)
    cost = flops(batch.architecture, np.vstack([b.candidates for b in batch.bundles]))
    assert batch.low == 1_000_000_000
    assert ((cost >= batch.low) & (cost <= batch.high)).all()


def test_the_seed_decides_the_plan(store: Store) -> None:
    first, same, other = (
        _texts(make_plan(store, PlanRequest("resnet50", per_cluster=12, seed=s), _silent))
        for s in (1, 1, 2)
    )
    assert first == same
    assert first != other


def test_a_study_of_another_model_is_refused(store: Store, hdap: Hdap) -> None:
    request = PlanRequest("resnet18", from_study=store.study().name, per_cluster=3)
    with pytest.raises(InputError, match="--from-study"):
        make_plan(store, request, _silent)


def test_bundles_carry_the_everyday_dense_latency_of_their_devices(store: Store) -> None:
    measurements = store.measurements("resnet50")
    device = str(measurements.devices.ids[3])
    expected = np.median(measurements.latency_ms[measurements.dense & (measurements.device == 3)])
    found = dense_baselines(measurements, [device, "nobody"])
    assert found == {device: pytest.approx(expected)}


def test_slow_devices_take_longer_than_the_least() -> None:
    assert device_seconds(0.0, 10) == 100.0
    assert device_seconds(500.0, 10) > 100.0


def _later(fleet: Path, target: Path, factor: float, pruned: bool) -> Path:
    """The fleet's dense (or pruned) rows again, a month later and slower."""
    rows = pl.read_csv(gzip.decompress(fleet.read_bytes()), infer_schema=False)
    chosen = (pl.col("channels").fill_null("") != "") == pruned
    slower = pl.col("latency_ms").cast(pl.Float64) * factor
    path = target / "later.csv"
    rows.filter(chosen).with_columns(
        slower.cast(pl.String).alias("latency_ms"),
        pl.col("timestamp").str.replace("2026-11", "2026-12"),
    ).write_csv(path, quote_style="never")
    return path


def _found(database: Path) -> dict[str, set[str]]:
    with Store.open(str(database)) as store:
        found = findings(store, store.clustering(), ("resnet50",))
    return {f.kind: {g.action for g in found if g.kind == f.kind} for f in found}


def test_telemetry_like_before_asks_for_nothing(
    hdap: Hdap, database: Path, tmp_path: Path, fleet_file: Callable[[str], Path]
) -> None:
    assert _found(database) == {}
    path = _later(fleet_file("resnet50"), tmp_path, 1.0, pruned=False)
    assert hdap("ingest", str(path), db=database).exit_code == 0
    found = _found(database)
    assert set(found) == {"moved devices", "changed clusters"}
    assert set().union(*found.values()) == {"nothing"}


def test_slower_telemetry_asks_to_measure_again(
    hdap: Hdap, database: Path, tmp_path: Path, fleet_file: Callable[[str], Path]
) -> None:
    path = _later(fleet_file("resnet50"), tmp_path, 1.15, pruned=False)
    assert hdap("ingest", str(path), db=database).exit_code == 0
    assert _found(database)["changed clusters"] == {"measure again"}
    assert _found(database)["moved devices"] == {"nothing"}


def test_pruned_rows_outside_their_interval_ask_to_search_again(
    hdap: Hdap, database: Path, tmp_path: Path, fleet_file: Callable[[str], Path]
) -> None:
    path = _later(fleet_file("resnet50"), tmp_path, 1.2, pruned=True)
    assert hdap("ingest", str(path), db=database).exit_code == 0
    assert _found(database)["surrogates"] == {"search again"}
    printed = hdap("status", db=database).stdout
    assert "20." in printed
    assert "slower than predicted: search again (hdap search --model resnet50" in printed
    document = json.loads(hdap("status", "--json", db=database).stdout)
    assert {f["kind"] for f in document["drift"]} == {"surrogates"}


def test_new_devices_ask_to_cluster_again(hdap: Hdap, database: Path, tmp_path: Path) -> None:
    rows = [f"stranger-{i},resnet50,50,2026-12-01T00:0{i}:00Z" for i in range(3)]
    path = tmp_path / "new.csv"
    path.write_text("\n".join(["device_id,model,latency_ms,timestamp", *rows]) + "\n")
    assert hdap("ingest", str(path), db=database).exit_code == 0
    assert _found(database)["new devices"] == {"cluster again"}
