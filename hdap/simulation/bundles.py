"""Answering a measuring plan with simulated measurements instead of real ones."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.documents import read_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.measuring_bundle import MeasuringBundle
from hdap.fleet_data.records import Floats, Ints
from hdap.simulation.observing import Observation, Schedule, observe
from hdap.simulation.simulated_fleet import SimulatedFleet
from hdap.simulation.telemetry_stream import MARK, frame_of
from hdap.simulation.workload import Workload, counts_of

_LOAD = 0.9  # a device that measures does little else
_SLICES = 10  # moments over which `measure.pyz` spreads a measurement
_PAUSE_S = 1.0  # loading the next network
_DRIFT_STEPS = 20  # steps that share their drift


@dataclass(frozen=True, slots=True)
class BundleAnswer:
    """Simulated rows that answer a bundle, in the order in which each device measured them."""

    rows: pl.DataFrame
    model: str
    devices: int
    configurations: int
    simulated: bool = True

    def __str__(self) -> str:
        return (
            f"Simulated, not measured: {len(self.rows):,} rows of {self.model}, "
            f"{self.configurations} configurations on {self.devices} devices"
        )


def answer_bundle(
    manifest: Path,
    architecture: Architecture,
    fleet: SimulatedFleet,
    rounds: int = 1,
    runs: int = 50,
    seed: int = 0,
    start: datetime = datetime(2026, 11, 20, 9, tzinfo=UTC),
) -> BundleAnswer:
    """Simulated measurements of every configuration of a bundle on every device of `fleet`.

    Choose devices with `SimulatedFleet.find` or `.at`. As `measure.pyz` does it: in each of
    `rounds` a device measures all configurations in an order of its own and the dense model (the
    reference) between them, `runs` inferences each. It works all the time, so it heats up and may
    throttle; `latency_ms` is the ratio to the references on both sides times the lower quartile of
    all references, `latency_raw_ms` what was seen. Raises `InputError` for what is no manifest, or
    one of another model.
    """
    if rounds < 1 or runs < 1:
        raise InputError(f"`rounds` and `runs` must be at least 1, but got {rounds=}, {runs=}")
    asked = read_document(manifest, MeasuringBundle)
    if asked.model != architecture.model:
        raise InputError(
            f"{manifest} must list configurations of model={architecture.model!r}, but is for "
            f"{asked.model!r}"
        )
    texts = tuple(dict.fromkeys(["", *(network.channels for network in asked.configurations)]))
    work = Workload.of([(architecture, counts_of(architecture, texts))])
    rng = np.random.default_rng([fleet.spec.seed, seed, 2])
    order = _order(len(fleet), len(work), rounds, rng)
    profiles = work.profiles(fleet.spec.laws)
    # Time passes as long as the inferences take on a quiet machine: near enough for heat.
    lasting = _PAUSE_S + runs * profiles[0].quiet_ms[order] / 1000 / fleet.clock[:, None]
    seconds = np.round(start.timestamp() + np.cumsum(lasting, axis=1), 3)
    sessions = np.arange(order.shape[1]) // _DRIFT_STEPS
    schedule = Schedule(order, seconds, sessions, runs, load=_LOAD, slices=_SLICES)
    seen = observe(fleet, profiles, schedule, rng)
    rows = _rows(fleet, work, schedule, seen, rounds)
    rows = rows.with_columns(pl.lit(asked.bundle).alias("bundle")).select(
        pl.exclude(MARK), pl.col(MARK)
    )
    return BundleAnswer(rows, architecture.model, len(fleet), len(work))


def _order(devices: int, configurations: int, rounds: int, rng: np.random.Generator) -> Ints:
    """Configuration numbers, `devices x steps`: 0 (dense) before each other one, and at the end.

    Each round has `max(2 (configurations - 1), 1)` steps, of which the first is dense.
    """
    others = np.tile(np.arange(1, configurations), (devices, 1))
    length = _round_length(configurations)
    order = np.zeros((devices, rounds * length + 1), dtype=np.int64)
    for number in range(rounds):
        order[:, number * length + 1 : (number + 1) * length : 2] = rng.permuted(others, axis=1)
    return order


def _round_length(configurations: int) -> int:
    return max(2 * (configurations - 1), 1)


def _rows(
    fleet: SimulatedFleet, work: Workload, schedule: Schedule, seen: Observation, rounds: int
) -> pl.DataFrame:
    """The rows that a measuring program reports: each configuration, and the dense once a round."""
    length = _round_length(len(work))
    steps = np.arange(rounds * length)
    kept = steps[(steps % length == 0) | (steps % length % 2 == 1)]
    dense = seen.latency_ms[:, (schedule.configuration == 0).all(axis=0)]
    # Steps of a dense model and another one alternate, or there are dense ones only.
    before = kept // 2 if length > 1 else kept
    reference = (dense[:, before] + dense[:, before + 1]) / 2
    baseline = np.quantile(dense, 0.25, axis=1, keepdims=True)
    raw = seen.latency_ms[:, kept]
    scale = baseline / reference
    context = {name: values[:, kept] for name, values in seen.context.items()}
    reported = Observation(raw * scale, seen.p95_ms[:, kept] * scale, context)
    plan = Schedule(
        schedule.configuration[:, kept],
        schedule.seconds[:, kept],
        schedule.session[kept],
        schedule.runs,
    )
    numbers = {
        "latency_raw_ms": raw,
        "relative_latency": raw / reference,
        "reference_ms": reference,
        "baseline_ms": np.broadcast_to(baseline, raw.shape),
    }
    role = np.where(plan.configuration.ravel() == 0, "reference", "candidate")
    turn = np.broadcast_to(kept // length + 1, raw.shape)
    return frame_of(fleet, work, plan, reported).with_columns(
        *(_rounded(name, values) for name, values in numbers.items()),
        pl.Series("round", turn.ravel()),
        pl.Series("role", role, dtype=pl.String),
    )


def _rounded(name: str, values: Floats) -> pl.Series:
    return pl.Series(name, np.round(values.ravel(), 4))
