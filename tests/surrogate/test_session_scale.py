"""Sessions that were scaled to another dense latency than the one of everyday telemetry."""

import numpy as np
import pytest

from hdap.fleet_data.records import Devices, Floats, Measurements
from hdap.surrogate.training_data.session_scale import session_scale

DAY = 86_400.0


def rows(stretches: list[tuple[float, float, bool]], noise: float = 0.002) -> Measurements:
    """One device; of each stretch the start (s), what dense takes (ms), and whether pruned networks
    were measured: four rows of those at half of it, a minute apart, between two dense ones."""
    rng = np.random.default_rng(0)
    times, configuration, latency = [], [], []
    for start, dense_ms, measured in stretches:
        kinds = [0, 1, 1, 1, 1, 0] if measured else [0] * 6
        times += [start + 60.0 * i for i in range(6)]
        configuration += kinds
        latency += [dense_ms * (0.5 if kind else 1.0) for kind in kinds]
    n = len(times)
    ones = np.ones(n, dtype=np.int64)
    return Measurements(
        devices=Devices(np.array(["d"], dtype=object), np.ones(1)),
        models=("m", "m"),
        channels=("", "a=1"),
        runtimes=("",),
        device=0 * ones,
        configuration=np.array(configuration),
        runtime=0 * ones,
        batch_size=ones,
        latency_ms=np.array(latency) * np.exp(rng.normal(0, noise, n)),
        latency_p95_ms=np.full(n, np.nan),
        runs=ones.astype(np.float64),
        measured_at=np.array(times),
    )


def scale(measurements: Measurements) -> Floats:
    found = session_scale(measurements, np.arange(len(measurements)), [])
    return found.reshape(-1, 6)


def test_two_sessions_of_another_scale_become_that_of_everyday_telemetry() -> None:
    everyday = (0.0, 20.0, False)
    measured = rows([everyday, (DAY, 20.0, True), (2 * DAY, 17.6, True)])
    found = scale(measured)
    assert (found[:2] == 1.0).all()
    assert found[2] == pytest.approx(np.full(6, 0.88), rel=0.01)
    notes: list[str] = []
    session_scale(measured, np.arange(len(measured)), notes)
    assert notes == [
        "6 rows of 1 device brought to the scale of everyday telemetry, of which their dense "
        "network was 0.88x (d)"
    ]


def test_what_is_within_noise_stays() -> None:
    found = scale(rows([(0.0, 20.0, False), (DAY, 20.3, True), (2 * DAY, 19.8, True)]))
    assert (found == 1.0).all()
    noisy = rows([(0.0, 20.0, False), (DAY, 21.2, True)], noise=0.05)
    assert (scale(noisy) == 1.0).all()


def test_a_pause_of_minutes_parts_sessions_and_one_without_dense_rows_goes_on() -> None:
    first, second = (DAY, 20.0, True), (DAY + 900.0, 17.6, True)
    measured = rows([(0.0, 20.0, False), first, second])
    assert scale(measured)[2] == pytest.approx(np.full(6, 0.88), rel=0.01)
    assert (scale(measured)[1] == 1.0).all()
    kept = np.flatnonzero(~(measured.dense & (measured.measured_at >= second[0])))
    assert (session_scale(measured.at(kept), np.arange(len(kept)), []) == 1.0).all()


def test_without_everyday_rows_the_largest_session_sets_the_scale() -> None:
    first, second = rows([(0.0, 20.0, True)]), rows([(DAY, 22.0, True), (DAY + 400.0, 22.0, True)])
    both = rows([(0.0, 20.0, True), (DAY, 22.0, True), (DAY + 400.0, 22.0, True)])
    assert (scale(first) == 1.0).all()
    assert (scale(second) == 1.0).all()
    found = scale(both)
    assert found[0] == pytest.approx(np.full(6, 20 / 22), rel=0.01)
    assert (found[1:] == 1.0).all()


def test_rows_without_times_stay() -> None:
    timed = rows([(0.0, 20.0, False), (DAY, 10.0, True)])
    timed.measured_at[:] = np.nan
    assert (scale(timed) == 1.0).all()
