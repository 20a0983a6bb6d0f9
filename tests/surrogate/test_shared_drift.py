import numpy as np
import pytest

from hdap.surrogate.training_data.shared_drift import shared_drift


@pytest.fixture
def moments() -> np.ndarray:
    return np.sort(np.random.default_rng(0).uniform(0.0, 2000.0, 1500))


def test_a_slow_wave_that_all_devices_share_is_taken_out(moments: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    wave = 0.04 * np.sin(moments / 60.0)
    residual = wave + rng.normal(0.0, 0.02, len(moments))
    residual[rng.random(len(moments)) < 0.5] = np.nan
    left = wave - np.log(shared_drift(moments, residual))
    assert left.std() < 0.4 * wave.std()


def test_noise_without_drift_is_left_alone(moments: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        residual = rng.normal(0.0, 0.02, len(moments))
        residual[::3] = np.nan
        assert (shared_drift(moments, residual) == 1.0).all()


def test_moments_that_nobody_knows_are_left_alone(moments: np.ndarray) -> None:
    residual = 0.04 * np.sin(moments / 60.0)
    residual[::2] = np.nan
    unknown = np.where(np.arange(len(moments)) % 5 == 0, np.nan, moments)
    drift = shared_drift(unknown, residual)
    assert (drift[::5] == 1.0).all()
    assert (drift[1::5] != 1.0).all()


def test_no_dense_rows_no_times_and_no_rows_mean_no_correction() -> None:
    nothing = np.full(50, np.nan)
    assert (shared_drift(np.arange(50.0), nothing) == 1.0).all()
    assert (shared_drift(nothing, np.zeros(50)) == 1.0).all()
    assert shared_drift(np.empty(0), np.empty(0)).shape == (0,)


def test_one_broken_row_does_not_pass_for_drift(moments: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    residual = rng.normal(0.0, 0.01, len(moments))
    residual[700] = 3.0
    residual[1::2] = np.nan
    assert np.abs(np.log(shared_drift(moments, residual))).max() < 0.02
