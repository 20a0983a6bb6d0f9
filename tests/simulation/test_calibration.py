from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.simulation.calibrated import Calibration, calibrated
from hdap.simulation.calibration import calibrate, predicted_ms
from hdap.simulation.measured import KINDS, MeasuredFleet, read_measured

MODELS = ("resnet50", "mobilenetv1_100")


@pytest.fixture(scope="module")
def fleets(
    architecture: Callable[[str], Architecture], fleet_file: Callable[[str], Path]
) -> list[MeasuredFleet]:
    return [read_measured(fleet_file(m), architecture(m)) for m in MODELS]


@pytest.fixture(scope="module")
def fitted(fleets: list[MeasuredFleet]) -> Calibration:
    return calibrate(fleets, held_out_share=0.5, seed=3)


def test_held_out_configurations_are_predicted_better_than_by_flops(fitted: Calibration) -> None:
    assert len(fitted.fits) == len(MODELS) * len(KINDS)
    assert all(fit.rows > 10 and fit.error < fit.flops_error for fit in fitted.fits)
    resnet = [fit for fit in fitted.fits if fit.model == "resnet50"]
    assert max(fit.error for fit in resnet) < 0.055
    assert min(fit.spearman for fit in resnet) > 0.95


def test_the_shipped_constants_are_what_the_command_gives(fleets: list[MeasuredFleet]) -> None:
    shipped = calibrated()
    again = calibrate(fleets, shipped.held_out_share, shipped.seed)
    for fleet in fleets:
        assert np.allclose(
            predicted_ms(again.law, fleet), predicted_ms(shipped.law, fleet), rtol=0.01
        )
    for kind, noise in again.noise.items():
        assert noise.scatter == pytest.approx(shipped.noise[kind].scatter, rel=1e-3)


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
