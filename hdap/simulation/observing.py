"""A fleet at work: temperature, clock, traffic and noise over time, seen through its sensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.records import Floats, Ints
from hdap.simulation.law import Profile, draw_median, draw_p95
from hdap.simulation.simulated_fleet import SENSORS, SimulatedFleet
from hdap.simulation.thermal import ThermalState
from hdap.simulation.workload import latency_ms

_DAY_S = 86_400.0
# From one moment to the next the load and the traffic of a device wander by this much.
_LOAD_WANDER, _TRAFFIC_WANDER = 0.05, 0.03


@dataclass(frozen=True, eq=False)
class Schedule:
    """When m devices run what, `m x steps` each, steps in order of time.

    `seconds` since 1970; `session` numbers the steps that share their drift (the same for all
    devices, `steps`); `load` 0..1 replaces the device's ordinary load where it is not NaN. A
    measurement spread over `slices` moments averages their scatter.
    """

    configuration: Ints
    seconds: Floats
    session: Ints
    runs: int
    load: float = float("nan")
    slices: int = 1


@dataclass(frozen=True, eq=False)
class Observation:
    """Simulated measurements, `m x steps` each. `context` holds the columns in `SENSORS`; NaN is a
    value that got lost or that the kind does not report."""

    latency_ms: Floats
    p95_ms: Floats
    context: dict[str, Floats]


def observe(
    fleet: SimulatedFleet, profiles: Sequence[Profile], schedule: Schedule, rng: np.random.Generator
) -> Observation:
    """Measure the m devices of `fleet` as `schedule` says; `profiles` of `fleet.spec.laws`.

    Devices are computed side by side, one step of time after the other.
    """
    m, steps = schedule.configuration.shape
    everyone = np.arange(m)
    fixed = np.isfinite(schedule.load)
    thermal = ThermalState.rested(fleet.thermal, fleet.load)
    columns = {name: np.empty((m, steps)) for name in ("level", "load", "traffic", "temperature")}
    truth = np.empty((m, steps))
    before = schedule.seconds[:, 0] - 3600.0
    for step in range(steps):
        now = schedule.seconds[:, step]
        wander = rng.standard_normal((2, m))
        load = np.clip(fleet.load + _LOAD_WANDER * wander[0], 0.02, 1.0)
        if fixed and step:  # until its first step a device did its ordinary work
            load = np.full(m, schedule.load)
        traffic = np.clip(fleet.traffic * (1 + _TRAFFIC_WANDER * wander[1]), 0.0, 1.0)
        thermal.advance(now - before, load, np.sin(2 * np.pi * (now / _DAY_S - 0.375)))
        before = now
        truth[:, step] = latency_ms(
            fleet, profiles, everyone, schedule.configuration[:, step], thermal.level, traffic
        )
        values = (thermal.level, load, traffic, thermal.temperature)
        for name, value in zip(columns, values, strict=True):
            columns[name][:, step] = value
    median, p95 = _noisy(fleet, truth, schedule, rng)
    return Observation(median, p95, _sensed(fleet, columns, median, rng))


def _noisy(
    fleet: SimulatedFleet, truth: Floats, schedule: Schedule, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    m, steps = truth.shape

    def each(name: str) -> Floats:
        return np.repeat(fleet.of_kind(lambda k: float(getattr(k.noise, name))), steps)

    sessions = rng.standard_normal((m, int(schedule.session.max()) + 1))
    drift = np.exp(fleet.of_kind(lambda k: k.noise.drift)[:, None] * sessions)
    scatter = each("scatter") / schedule.slices**0.5
    factor = draw_median(scatter, each("spike_rate"), each("spike"), rng)
    median = truth * drift[:, schedule.session] * factor.reshape(m, steps)
    p95 = draw_p95(each("tail"), each("spread"), rng).reshape(m, steps)
    return median, median * p95


def _sensed(
    fleet: SimulatedFleet, state: dict[str, Floats], latency: Floats, rng: np.random.Generator
) -> dict[str, Floats]:
    """The true state through sensors: rounded by the writer, sometimes lost, some never there."""
    shape = latency.shape
    level, load = state["level"], state["load"]
    power = fleet.thermal
    watts = np.stack([power.power(load[:, i], level[:, i]) for i in range(shape[1])], axis=1)
    nominal = fleet.of_kind(lambda k: k.nominal_mhz) * fleet.clock
    memory = fleet.of_kind(lambda k: k.memory_mb)[:, None] * (1 - 0.6 * load)
    busy = np.clip(100 * load + 50 * state["traffic"], 0.0, 100.0)
    charge = 100 * rng.beta(2.0, 1.5, size=shape)
    values = {
        "cpu_freq_mhz": nominal[:, None] * level,
        "temperature_c": state["temperature"] + 0.5 * rng.standard_normal(shape),
        "cpu_load_pct": busy,
        "mem_available_mb": memory * np.exp(0.05 * rng.standard_normal(shape)),
        "battery_pct": charge,
        "battery_health_pct": np.broadcast_to(fleet.battery_health_pct[:, None], shape),
        "power_w": watts,
        "energy_mj": watts * latency,
    }
    lost = fleet.of_kind(lambda k: k.missing)[:, None]
    result = {}
    for name in SENSORS:
        there = fleet.of_kind(lambda k, name=name: float(name in k.sensors)) > 0  # type: ignore[misc]
        gone = ~there[:, None] | (rng.random(shape) < lost)
        result[name] = np.where(gone, np.nan, values[name])
    return result
