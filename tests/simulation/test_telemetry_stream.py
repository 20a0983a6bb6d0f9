import numpy as np
import polars as pl
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.telemetry import BY_NAME, REQUIRED
from hdap.simulation.presets import PRESETS, preset
from hdap.simulation.simulated_fleet import SimulatedFleet, draw_fleet
from hdap.simulation.telemetry_stream import TelemetryPlan, simulate_telemetry
from hdap.simulation.workload import counts_of

PLAN = TelemetryPlan(rows_per_device=6, configurations=12, measuring_devices=15, measured_rows=9)


def _rows(
    fleet: SimulatedFleet, networks: list[Architecture], plan: TelemetryPlan = PLAN
) -> pl.DataFrame:
    return pl.concat(simulate_telemetry(fleet, networks, plan, seed=1))


@pytest.mark.parametrize("name", PRESETS)
def test_rows_keep_the_contract_and_say_that_they_are_simulated(
    name: str, resnet: Architecture, mobilenet: Architecture
) -> None:
    fleet = draw_fleet(preset(name, 100, seed=2))
    rows = _rows(fleet, [resnet, mobilenet])
    assert set(rows.columns) - set(BY_NAME) == {"simulated"}
    assert set(REQUIRED) <= set(rows.columns)
    assert len(rows) == 100 * 6 + 15 * 9
    assert rows["simulated"].unique().to_list() == ["true"]
    assert rows["runtime"].unique().to_list() == ["simulated"]
    for column in BY_NAME.values():
        if column.name in rows.columns and column.kind in {"number", "integer"}:
            values = rows[column.name].drop_nulls().to_numpy()
            assert np.isfinite(values).all()
            assert (values >= column.low).all()
            assert (values <= column.high).all()
            assert not column.above or (values > column.low).all()


@pytest.mark.parametrize("name", PRESETS)
def test_the_95th_percentile_is_never_below_the_median(name: str, mobilenet: Architecture) -> None:
    rows = _rows(draw_fleet(preset(name, 300, seed=7)), [mobilenet])
    ratio = (rows["latency_p95_ms"] / rows["latency_ms"]).to_numpy()
    assert ratio.min() >= 1
    assert np.quantile(ratio, 0.999) > 1.2  # tails are heavy


def test_the_seed_decides_every_row(cameras: SimulatedFleet, mobilenet: Architecture) -> None:
    assert _rows(cameras, [mobilenet]).equals(_rows(cameras, [mobilenet]))
    other = pl.concat(simulate_telemetry(cameras, [mobilenet], PLAN, seed=2))
    assert not _rows(cameras, [mobilenet]).equals(other)


def test_every_device_reports_and_some_measure_pruned_networks(
    cameras: SimulatedFleet, resnet: Architecture, mobilenet: Architecture
) -> None:
    rows = _rows(cameras, [resnet, mobilenet])
    dense = rows.filter(pl.col("channels") == "")
    assert set(dense["device_id"]) == set(cameras.ids)
    assert set(dense["model"]) == {"resnet50", "mobilenetv1_100"}
    pruned = rows.filter(pl.col("channels") != "")
    assert pruned["device_id"].n_unique() == 15
    for network in (resnet, mobilenet):
        texts = pruned.filter(pl.col("model") == network.model)["channels"].unique()
        assert 0 < len(texts) <= 12
        counts_of(network, tuple(texts.to_list()))
    assert not pruned.select("device_id", "model", "channels").is_duplicated().any()


def test_no_device_repeats_a_moment(cameras: SimulatedFleet, mobilenet: Architecture) -> None:
    assert not _rows(cameras, [mobilenet]).select("device_id", "timestamp").is_duplicated().any()


def test_some_sensor_values_are_lost_and_cameras_have_no_battery(
    cameras: SimulatedFleet, mobilenet: Architecture
) -> None:
    rows = _rows(cameras, [mobilenet], TelemetryPlan())
    assert 0.01 < rows["temperature_c"].null_count() / len(rows) < 0.04
    assert "battery_pct" not in rows.columns


def test_batches_bound_memory(cameras: SimulatedFleet, mobilenet: Architecture) -> None:
    plan = TelemetryPlan(rows_per_device=10, batch_rows=500)
    sizes = [len(batch) for batch in simulate_telemetry(cameras, [mobilenet], plan)]
    assert sizes == [500, 500, 500, 500]


def test_throttled_devices_show_a_lower_clock(mobilenet: Architecture) -> None:
    fleet = draw_fleet(preset("cameras", 400, seed=3))
    rows = _rows(fleet, [mobilenet], TelemetryPlan(rows_per_device=20))
    clock = rows.group_by("device_id", maintain_order=True).agg(pl.col("cpu_freq_mhz").median())
    names = np.array([k.name for k in fleet.spec.kinds])[fleet.kind]
    median = clock["cpu_freq_mhz"].to_numpy()
    assert np.median(median[names == "sun"]) < 0.9 * np.median(median[names == "shade"])


def test_impossible_plans_are_refused(cameras: SimulatedFleet) -> None:
    with pytest.raises(InputError, match="rows_per_device"):
        TelemetryPlan(rows_per_device=0)
    with pytest.raises(InputError, match="measured_rows"):
        TelemetryPlan(configurations=5)
    with pytest.raises(InputError, match="architecture"):
        next(simulate_telemetry(cameras, [], PLAN))
