import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.simulation.presets import preset
from hdap.simulation.simulated_fleet import draw_fleet
from hdap.simulation.thermal import ThermalArrays, ThermalState

FLEET = draw_fleet(preset("phones", 60, seed=2))


def _after(state: ThermalState, load: float, seconds: float, times: int) -> ThermalState:
    m = len(state.level)
    for _ in range(times):
        state.advance(np.full(m, seconds), np.full(m, load), np.zeros(m))
    return state


def test_work_heats_towards_its_steady_temperature_and_rest_cools() -> None:
    arrays = FLEET.thermal
    idle = ThermalState.rested(arrays, np.full(60, 0.05))
    start = idle.temperature.copy()
    warm = _after(idle, 0.2, 60.0, 2).temperature.copy()
    hot = _after(idle, 0.2, 60.0, 60).temperature.copy()
    cold = _after(idle, 0.05, 60.0, 200).temperature
    assert (start < warm).all()
    assert (warm < hot + 1e-9).all()
    assert np.allclose(cold, start, atol=0.5)


def test_a_hot_device_lowers_its_clock_step_by_step_and_not_below_the_lowest() -> None:
    arrays = FLEET.thermal
    state = ThermalState.rested(arrays, np.full(60, 0.05))
    levels = [state.level.copy()]
    for _ in range(100):
        levels.append(_after(state, 1.0, 10.0, 1).level.copy())
    falls = -np.diff(levels, axis=0)
    assert (np.array(levels)[-1] < 1).any()
    assert falls.max() <= arrays.clock_step.max() + 1e-9
    assert (np.array(levels) >= arrays.lowest_clock - 1e-9).all()


@settings(max_examples=30, deadline=None)
@given(load=st.floats(0.05, 1.0))
def test_the_steady_clock_is_cool_enough_and_the_next_higher_is_not(load: float) -> None:
    arrays: ThermalArrays = FLEET.thermal
    loads = np.full(60, load)
    level = arrays.steady_level(loads)

    def temperature(
        at: np.ndarray[tuple[int], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return arrays.ambient_c + arrays.resistance * arrays.power(loads, at)

    free = level > arrays.lowest_clock + 1e-9
    assert (temperature(level)[free] <= arrays.throttle_c[free] + 1e-6).all()
    slowed = level < 1 - 1e-9
    above = temperature(level + arrays.clock_step)
    assert (above[slowed] > arrays.throttle_c[slowed] - 1e-6).all()
