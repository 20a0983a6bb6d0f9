from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.simulation.law import Noise
from hdap.simulation.presets import PRESETS, preset
from hdap.simulation.simulated_fleet import SimulatedFleet, draw_fleet
from hdap.simulation.telemetry_stream import TelemetryPlan, simulate_telemetry
from hdap.simulation.workload import (
    Workload,
    latency_ms,
    random_counts,
    true_fleet_mean,
    true_kind_latency,
    true_latency,
)


@pytest.mark.parametrize("name", PRESETS)
def test_means_without_a_grid_are_the_means_of_the_grid(name: str, mobilenet: Architecture) -> None:
    fleet = draw_fleet(preset(name, 150, seed=3))
    counts = random_counts(mobilenet, 8, np.random.default_rng(0))
    grid = true_latency(fleet, mobilenet, counts)
    assert grid.shape == (8, 150)
    mean = grid @ fleet.weight / fleet.weight.sum()
    assert np.allclose(true_fleet_mean(fleet, mobilenet, counts), mean)
    by_kind = true_kind_latency(fleet, mobilenet, counts)
    for kind in range(by_kind.shape[1]):
        mine = fleet.kind == kind
        expected = grid[:, mine] @ fleet.weight[mine] / fleet.weight[mine].sum()
        assert np.allclose(by_kind[:, kind], expected)


def test_a_kind_that_no_device_has_is_unknown_and_moves_no_mean(mobilenet: Architecture) -> None:
    fleet = draw_fleet(preset("cameras", 1, seed=0))
    dense = mobilenet.widths[None, :]
    assert np.isnan(true_kind_latency(fleet, mobilenet, dense)).sum() == 3
    assert np.isfinite(true_fleet_mean(fleet, mobilenet, dense)).all()


def test_the_grid_is_what_each_device_takes_in_its_steady_state(
    cameras: SimulatedFleet, resnet: Architecture
) -> None:
    counts = random_counts(resnet, 3, np.random.default_rng(1))
    profiles = Workload.of([(resnet, counts)]).profiles(cameras.spec.laws)
    level = cameras.thermal.steady_level(cameras.load)
    everyone = np.arange(len(cameras))
    for row, times in enumerate(true_latency(cameras, resnet, counts)):
        found = latency_ms(cameras, profiles, everyone, 0 * everyone + row, level, cameras.traffic)
        assert np.allclose(found, times)


def test_telemetry_without_noise_is_the_truth(mobilenet: Architecture) -> None:
    silent = Noise(scatter=0, drift=0, spike_rate=0, tail=0)
    spec = preset("microfleet", 80, seed=2)
    kinds = tuple(replace(k, noise=silent) for k in spec.kinds)
    fleet = draw_fleet(replace(spec, kinds=kinds))
    (rows,) = simulate_telemetry(fleet, [mobilenet], TelemetryPlan(rows_per_device=1))
    expected = true_latency(fleet, mobilenet, mobilenet.widths[None, :])[0]
    # Traffic wanders by 3 % around what the device is known for.
    assert np.allclose(rows["latency_ms"].to_numpy(), expected, rtol=0.02)
    assert np.allclose(rows["latency_ms"].to_numpy(), rows["latency_p95_ms"].to_numpy())


def test_contention_slows_what_moves_memory_more_than_what_computes(resnet: Architecture) -> None:
    spec = preset("cameras", 2, seed=0)
    calm = replace(spec.kinds[0], traffic=0.0, traffic_spread=0.0)
    busy = replace(calm, name="busy", traffic=1.0)
    fleet = draw_fleet(replace(spec, kinds=(calm, busy)))
    counts = random_counts(resnet, 100, np.random.default_rng(4))
    ratio = np.divide(*true_kind_latency(fleet, resnet, counts).T[::-1])
    profile = calm.law.profile(resnet, counts)
    assert (ratio > 1).all()
    assert np.corrcoef(ratio, profile.memory_ms / profile.quiet_ms)[0, 1] > 0.7
