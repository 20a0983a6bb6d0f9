"""Units are told from the fleet and what an architecture can run; slow devices are none."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Measurements
from hdap.fleet_data.units.judge import judge
from hdap.fleet_data.units.latency_levels import LatencyLevels, ModelFacts, dense_equivalent
from hdap.fleet_data.units.latency_unit import LatencyUnits, parse_units, unit_ms, unit_text
from hdap.simulation.presets import PRESETS, preset
from hdap.simulation.simulated_fleet import draw_fleet
from hdap.simulation.telemetry_stream import TelemetryPlan, simulate_telemetry

FACTORS = (60.0, 1e3, 1e6, 6e4)
BOTH_WAYS = tuple(sorted([*FACTORS, *(1.0 / f for f in FACTORS)]))

Seen = tuple[LatencyLevels, ModelFacts]


def levels_of(
    latency_ms: np.ndarray,
    device: np.ndarray,
    macs: float | np.ndarray = np.nan,
    dense: float = np.nan,
    clock: np.ndarray | float = np.nan,
) -> LatencyLevels:
    """Every row as a level of its own, of one model in one runtime."""
    n = len(latency_ms)
    batch = np.ones(n)
    work = np.broadcast_to(np.asarray(macs, dtype=np.float64), (n,))
    zeros = np.zeros(n, dtype=np.int64)
    return LatencyLevels(
        device,
        zeros,
        zeros,
        dense_equivalent(latency_ms, batch, work, np.full(n, dense)),
        np.ones(n),
        batch,
        np.broadcast_to(np.asarray(clock, dtype=np.float64), (n,)),
        zeros > 0,
        zeros > 0,
        zeros > 0,
    )


def facts_of(dense: float = np.nan, size: float = np.nan) -> ModelFacts:
    return ModelFacts(np.array([dense]), np.array([size]), np.array([False]))


def facts_and_levels(architecture: Architecture, rows: pl.DataFrame) -> Seen:
    counts = parse_channels(architecture, rows["channels"].to_list()).counts
    widths = architecture.widths[None]
    dense, size = float(flops(architecture, widths)[0]), float(parameters(architecture, widths)[0])
    clock = rows["cpu_freq_mhz"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    device = rows["device_id"].rank("dense").cast(pl.Int64).to_numpy()
    macs = flops(architecture, counts).astype(np.float64)
    latency = rows["latency_ms"].to_numpy()
    return levels_of(latency, device, macs, dense, clock), facts_of(dense, size)


@pytest.fixture(scope="module")
def simulated(architecture: Callable[[str], Architecture]) -> Callable[[str, str, int], Seen]:
    """A simulated fleet that throttles, ages and hiccups; pruned rows too."""

    def make(name: str, model: str, seed: int) -> Seen:
        plan = TelemetryPlan(10, configurations=20, measuring_devices=10, measured_rows=10)
        fleet = draw_fleet(preset(name, 200, seed))
        rows = pl.concat(simulate_telemetry(fleet, [architecture(model)], plan, seed))
        return facts_and_levels(architecture(model), rows)

    return make


@pytest.fixture(scope="module")
def bundled(
    measured: Callable[[str], Measurements], architecture: Callable[[str], Architecture]
) -> Callable[[str], Seen]:
    def make(model: str) -> Seen:
        found = measured(model)
        rows = pl.DataFrame(
            {
                "device_id": found.device,
                "channels": [found.channels[i] for i in found.configuration],
                "latency_ms": found.latency_ms,
                "cpu_freq_mhz": found.context["cpu_freq_mhz"],
            }
        )
        return facts_and_levels(architecture(model), rows)

    return make


def scaled(levels: LatencyLevels, rows: np.ndarray, factor: float) -> LatencyLevels:
    log_ms = np.where(rows, levels.log_ms + np.log(factor), levels.log_ms)
    return LatencyLevels(**(vars(levels) | {"log_ms": log_ms}))


@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
def test_in_measured_fleets_every_factor_of_any_device_is_found_and_no_real_slowness(
    bundled: Callable[[str], Seen], model: str
) -> None:
    levels, facts = bundled(model)
    assert (judge(levels, facts).factor == 1.0).all()
    for device in np.unique(levels.device):
        mine = levels.device == device
        for slow in (0.3, 3.0, 10.0):
            assert (judge(scaled(levels, mine, slow), facts).factor == 1.0).all()
        for factor in BOTH_WAYS:
            found = judge(scaled(levels, mine, factor), facts).factor
            np.testing.assert_allclose(found, np.where(mine, factor, 1.0))


@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
@pytest.mark.parametrize("factor", [1e3, 1e-3, 1e6])
def test_a_whole_fleet_in_another_unit_is_told_by_what_devices_can_run(
    bundled: Callable[[str], Seen], model: str, factor: float
) -> None:
    levels, facts = bundled(model)
    found = judge(scaled(levels, levels.log_ms < np.inf, factor), facts)
    np.testing.assert_allclose(found.factor, factor)
    assert found.architecture.all()


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
def test_simulated_fleets_raise_no_alarm_and_devices_in_another_unit_are_found(
    simulated: Callable[[str, str, int], Seen], name: str, model: str
) -> None:
    for seed in range(3):
        levels, facts = simulated(name, model, seed)
        assert (judge(levels, facts).factor == 1.0).all()
        mine = levels.device % 10 == seed
        for factor in BOTH_WAYS:
            found = judge(scaled(levels, mine, factor), facts).factor
            np.testing.assert_allclose(found[~mine], 1.0)
            # a lone hiccup of a device may be no unit of 60
            assert np.isclose(found[mine], factor).mean() > 0.99


@settings(max_examples=60)
@given(st.data())
def test_devices_up_to_ten_times_as_slow_are_never_set_aside(data: st.DataObject) -> None:
    devices, rows = data.draw(st.integers(3, 40)), data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    usual = data.draw(st.floats(0.5, 2000.0))
    speed = np.exp(rng.normal(0.0, 0.15, devices))
    slow = rng.random(devices) < data.draw(st.floats(0.0, 0.4))
    slow[0] = True
    speed[slow] = rng.choice([3.0, 10.0], int(slow.sum()))
    noise = np.exp(rng.normal(0.0, 0.1, devices * rows))
    device = np.repeat(np.arange(devices), rows)
    levels = levels_of(usual * speed[device] * noise, device)
    assert (judge(levels, facts_of()).factor == 1.0).all()


@settings(max_examples=60)
@given(st.data())
def test_a_factor_of_units_is_found_in_any_fleet(data: st.DataObject) -> None:
    devices, rows = data.draw(st.integers(3, 40)), data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    usual = data.draw(st.floats(1.0, 500.0))
    device = np.repeat(np.arange(devices), rows)
    speed = np.exp(rng.normal(0.0, 0.2, devices))
    latency = usual * speed[device] * np.exp(rng.normal(0.0, 0.1, len(device)))
    factor = data.draw(st.sampled_from(BOTH_WAYS))
    wrong = device < data.draw(st.integers(1, max(1, (devices - 1) // 3)))
    found = judge(levels_of(latency * np.where(wrong, factor, 1.0), device), facts_of()).factor
    np.testing.assert_allclose(found, np.where(wrong, factor, 1.0))


def test_a_device_that_changes_its_unit_loses_only_the_rows_in_the_other_one() -> None:
    device = np.repeat(np.arange(8), 10)
    wrong = (device == 3) & (np.arange(80) % 2 == 0)
    found = judge(levels_of(np.where(wrong, 7e4, 70.0), device), facts_of()).factor
    np.testing.assert_allclose(found, np.where(wrong, 1e3, 1.0))


def test_one_hiccup_of_a_minute_is_no_unit() -> None:
    device = np.repeat(np.arange(8), 10)
    latency = np.full(80, 70.0)
    latency[17] = 60 * 70.0
    assert (judge(levels_of(latency, device), facts_of()).factor == 1.0).all()


def test_a_baseline_that_no_device_has_is_told_without_a_fleet() -> None:
    dense = facts_of(4.09e9, 25.6e6)
    for latency in (0.00007, 0.07, 70_000.0):
        found = judge(levels_of(np.full(3, latency), np.zeros(3, np.int64), 4.09e9, 4.09e9), dense)
        assert (found.factor != 1.0).all()
        assert found.architecture.all()
    for latency in (0.3, 1.0, 70.0, 2_000.0, 20_000.0):
        found = judge(levels_of(np.full(3, latency), np.zeros(3, np.int64), 4.09e9, 4.09e9), dense)
        assert (found.factor == 1.0).all()


def test_units_are_read_as_people_write_them() -> None:
    assert parse_units(["us", "cam=7=s"]) == LatencyUnits(1e-3, {"cam=7": 1e3})
    assert unit_ms("60ms") == 60.0
    assert unit_ms(" µs") == 1e-3
    assert [unit_text(ms) for ms in (1e-6, 1e-3, 1.0, 1e3, 6e4, 60.0)] == [
        *("ns", "us", "ms", "s", "min"),
        "60ms",
    ]
    assert unit_ms(unit_text(1 / 60)) == pytest.approx(1 / 60, rel=1e-5)


@pytest.mark.parametrize("text", ["", "hours", "0ms", "-1ms", "cam=", "1e400s", "us,ms"])
def test_what_is_no_unit_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(InputError, match="ns, us, ms, s, min"):
        parse_units([text])


def test_two_units_for_the_same_are_refused_and_sure_needs_one() -> None:
    with pytest.raises(InputError, match="said once"):
        parse_units(["us", "ms"])
    with pytest.raises(InputError, match="--unit ms"):
        parse_units([], sure=True)
