from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.simulation.calibrated import Calibration, calibrated
from hdap.simulation.calibration import calibrate, predicted_ms
from hdap.simulation.measured import KINDS, MeasuredFleet, read_measured
from hdap.simulation.presets import preset
from hdap.simulation.simulated_fleet import draw_fleet
from hdap.simulation.telemetry_stream import TelemetryPlan, simulate_telemetry

MODELS = ("resnet50", "mobilenetv1_100")


@pytest.fixture(scope="module")
def fleets(
    architecture: Callable[[str], Architecture], fleet_file: Callable[[str], Path]
) -> list[MeasuredFleet]:
    return [read_measured(fleet_file(m), architecture(m)) for m in MODELS]


@pytest.fixture(scope="module")
def fitted(fleets: list[MeasuredFleet]) -> Calibration:
    return calibrate(fleets, calibrated().held_out_share, calibrated().seed)


def test_held_out_configurations_are_predicted_better_than_by_flops(fitted: Calibration) -> None:
    assert len(fitted.fits) == len(MODELS) * len(KINDS)
    assert all(fit.rows > 10 and fit.error < fit.flops_error for fit in fitted.fits)
    resnet = [fit for fit in fitted.fits if fit.model == "resnet50"]
    assert max(fit.error for fit in resnet) < 0.05
    assert min(fit.spearman for fit in resnet) > 0.95


def test_the_shipped_constants_are_what_the_command_gives(
    fleets: list[MeasuredFleet], fitted: Calibration
) -> None:
    shipped = calibrated()
    for fleet in fleets:
        again, before = (predicted_ms(x.law, fleet) for x in (fitted, shipped))
        assert np.allclose(again, before, rtol=0.01)
    for kind, noise in fitted.noise.items():
        assert noise.scatter == pytest.approx(shipped.noise[kind].scatter, rel=1e-3)


def test_simulated_noise_is_as_wide_as_measured_noise(fleets: list[MeasuredFleet]) -> None:
    real = fleets[0]
    fleet = draw_fleet(preset("microfleet", 200))
    plan = TelemetryPlan(rows_per_device=20)
    rows = pl.concat(simulate_telemetry(fleet, [real.architecture], plan))
    simulated = np.log(rows["latency_ms"].to_numpy()).reshape(200, 20)
    simulated -= np.median(simulated, axis=1, keepdims=True)
    for number in range(len(KINDS)):
        mine = real.dense & (real.kinds == number)
        error = np.log(real.latency_ms)
        for device in np.unique(real.device[mine]):
            own = mine & (real.device == device)
            error[own] -= np.median(error[own])
        measured = np.median(np.abs(error[mine]))
        found = np.median(np.abs(simulated[fleet.kind == number]))
        assert 0.7 < found / measured < 1.4


def test_kinds_told_from_the_context_are_the_true_ones(
    fleet_file: Callable[[str], Path],
    fleets: list[MeasuredFleet],
    true_kinds: Callable[[str], dict[str, str]],
) -> None:
    for model, fleet in zip(MODELS, fleets, strict=True):
        counts = np.bincount([KINDS.index(k) for k in true_kinds(model).values()], minlength=4)
        found = [len(np.unique(fleet.device[fleet.kinds == k])) for k in range(len(KINDS))]
        assert found == counts.tolist()


def test_a_file_without_the_clock_is_refused(resnet: Architecture, tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("device_id,model,channels,latency_ms\na,resnet50,,5\n")
    with pytest.raises(InputError, match="cpu_freq_mhz"):
        read_measured(path, resnet)
