"""Telemetry of a simulated fleet, in the contract of `hdap.fleet_data.telemetry`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats
from hdap.fleet_data.telemetry import SIMULATED
from hdap.simulation.observing import Observation, Schedule, observe
from hdap.simulation.simulated_fleet import SENSORS, SimulatedFleet
from hdap.simulation.workload import Workload, random_counts

RUNTIME = SIMULATED
"""Runtime of every simulated row."""

MARK = "simulated"
"""Column that is `true` in every simulated row."""

_STEP_S = 30.0  # between two rows of a session
_DAY_S = 86_400.0
_RUNS = 8  # as in the measured fleets
_WHOLE = ("cpu_freq_mhz", "cpu_load_pct", "mem_available_mb")


@dataclass(frozen=True, slots=True)
class TelemetryPlan:
    """What the fleet is asked to report.

    Every device sends `rows_per_device` rows of the dense models, a session of `session_rows` each
    day. `configurations` random pruned ones of each model are tried by `measuring_devices` devices,
    each trying `measured_rows` of them (0: none). `broken_share` of all rows are broken on
    purpose by the writer. `batch_rows` bounds memory.
    """

    rows_per_device: int = 20
    configurations: int = 0
    measuring_devices: int = 0
    measured_rows: int = 0
    broken_share: float = 0.0
    session_rows: int = 5
    start: datetime = datetime(2026, 11, 1, 6, tzinfo=UTC)
    batch_rows: int = 200_000

    def __post_init__(self) -> None:
        if self.rows_per_device < 1 or self.session_rows < 1 or not 0 <= self.broken_share < 1:
            raise InputError(
                "a plan needs `rows_per_device` and `session_rows` of at least 1 and a "
                f"`broken_share` in 0..1 (1 excluded), but got {self=}"
            )
        asked = (self.configurations, self.measuring_devices, self.measured_rows)
        if min(asked) < 0 or (max(asked) > 0 and min(asked) == 0):
            raise InputError(
                "`configurations`, `measuring_devices` and `measured_rows` must all be 0 or all be "
                f"above 0, but got {asked}"
            )


def simulate_telemetry(
    fleet: SimulatedFleet, architectures: Sequence[Architecture], plan: TelemetryPlan, seed: int = 0
) -> Iterator[pl.DataFrame]:
    """Simulated rows in batches of at most about `plan.batch_rows`, measured ones first.

    Columns are those of the contract that any kind reports, and `simulated`. The same arguments
    give the same rows. Raises `InputError` without an architecture.
    """
    if not architectures:
        raise InputError("simulated telemetry needs at least one architecture, but got none")
    rng = np.random.default_rng([fleet.spec.seed, seed])
    yield from _measured(fleet, architectures, plan, rng)
    dense = Workload.of([(a, a.widths[None, :]) for a in architectures])
    profiles = dense.profiles(fleet.spec.laws)
    lanes = max(plan.batch_rows // plan.rows_per_device, 1)
    for first in range(0, len(fleet), lanes):
        some = fleet.at(np.arange(first, min(first + lanes, len(fleet))))
        schedule = _everyday(len(some), len(dense), plan, rng)
        seen = observe(some, profiles, schedule, rng)
        yield frame_of(some, dense, schedule, seen)


def frame_of(
    fleet: SimulatedFleet, work: Workload, schedule: Schedule, seen: Observation
) -> pl.DataFrame:
    """Observations as rows of the contract, a device's rows one after the other."""
    steps = schedule.configuration.shape[1]
    flat = schedule.configuration.ravel()
    seconds = schedule.seconds.ravel()
    columns = {
        "device_id": pl.Series(fleet.ids, dtype=pl.String).gather(
            np.repeat(np.arange(len(fleet)), steps)
        ),
        "timestamp": pl.Series((seconds * 1e3).astype(np.int64)).cast(pl.Datetime("ms", "UTC")),
        "model": pl.Series(work.models, dtype=pl.String).gather(flat),
        "channels": pl.Series(work.channels, dtype=pl.String).gather(flat),
        "latency_ms": pl.Series(np.round(seen.latency_ms.ravel(), 4)),
        "latency_p95_ms": pl.Series(np.round(seen.p95_ms.ravel(), 4)),
    }
    frame = pl.DataFrame(columns).with_columns(
        pl.lit(schedule.runs, dtype=pl.Int64).alias("runs"),
        pl.lit(1, dtype=pl.Int64).alias("batch_size"),
        pl.lit(RUNTIME).alias("runtime"),
    )
    reported = {s for kind in fleet.spec.kinds for s in kind.sensors}
    sensors = [_sensor(name, seen.context[name].ravel()) for name in SENSORS if name in reported]
    weight = pl.Series("weight", np.round(np.repeat(fleet.weight, steps), 4))
    mark = pl.lit("true").alias(MARK)
    return frame.with_columns(*sensors, weight, mark)


def _sensor(name: str, values: Floats) -> pl.Series:
    digits = 0 if name in _WHOLE else 2
    series = pl.Series(name, np.round(values, digits)).fill_nan(None)
    return series.cast(pl.Int64) if digits == 0 else series


def _everyday(devices: int, models: int, plan: TelemetryPlan, rng: np.random.Generator) -> Schedule:
    steps = np.arange(plan.rows_per_device)
    session = steps // plan.session_rows
    begin = plan.start.timestamp() + rng.uniform(0, 0.6 * _DAY_S, size=(devices, 1))
    seconds = begin + session * _DAY_S + (steps % plan.session_rows) * _STEP_S
    turn = (np.arange(devices)[:, None] + steps) % models
    return Schedule(turn, np.round(seconds, 3), session, _RUNS)


def _measured(
    fleet: SimulatedFleet,
    architectures: Sequence[Architecture],
    plan: TelemetryPlan,
    rng: np.random.Generator,
) -> Iterator[pl.DataFrame]:
    if plan.configurations == 0:
        return
    work = Workload.of([(a, random_counts(a, plan.configurations, rng)) for a in architectures])
    profiles = work.profiles(fleet.spec.laws)
    asked = min(plan.measuring_devices, len(fleet))
    who = rng.choice(len(fleet), size=asked, replace=False)
    each = min(plan.measured_rows, len(work))
    lanes = max(plan.batch_rows // each, 1)
    for first in range(0, asked, lanes):
        some = fleet.at(who[first : first + lanes])
        order = rng.permuted(np.tile(np.arange(len(work)), (len(some), 1)), axis=1)[:, :each]
        steps = np.arange(each)
        begin = plan.start.timestamp() - _DAY_S + rng.uniform(0, 0.5 * _DAY_S, (len(some), 1))
        seconds = np.round(begin + steps * _STEP_S / 3, 3)
        # Ten configurations are measured within the same two minutes and share their drift.
        schedule = Schedule(order, seconds, steps // 10, _RUNS)
        yield frame_of(some, work, schedule, observe(some, profiles, schedule, rng))
