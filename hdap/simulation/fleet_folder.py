"""A simulated fleet as a folder: telemetry, the hidden truth, and what was simulated."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.documents import JsonDocument, read_document, write_document
from hdap.fleet_data.errors import InputError
from hdap.simulation.simulated_fleet import FleetSpec, SimulatedFleet, draw_fleet
from hdap.simulation.sinks import SINKS
from hdap.simulation.telemetry_stream import MARK, TelemetryPlan, simulate_telemetry

TelemetryFormat = Literal["csv", "csv.gz", "parquet"]

TRUTH_FILE = "truth.csv"
SPEC_FILE = "simulation.json"


@dataclass(frozen=True)
class SimulationFile(JsonDocument):
    """`simulation.json`: what was simulated; `broken` counts rows by kind of breakage."""

    WHAT = "what `hdap simulate` wrote"
    REMEDY = "simulate the fleet again"

    simulated: Literal[True]
    spec: FleetSpec
    plan: TelemetryPlan
    seed: int
    rows: int
    broken: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """What `write_fleet` wrote: all of it simulated.

    `rows` counts the rows of the telemetry file, `broken` those of them that are broken on
    purpose, by kind of breakage; `kinds` devices by kind; `seconds` the time it took.
    """

    telemetry: Path
    truth: Path
    spec: Path
    devices: int
    kinds: dict[str, int]
    models: tuple[str, ...]
    rows: int
    broken: dict[str, int]
    seconds: float
    simulated: bool = True

    def __str__(self) -> str:
        bad = f", {sum(self.broken.values()):,} of them broken on purpose" if self.broken else ""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds.items())
        return (
            f"Simulated, not measured: {self.rows:,} rows{bad} of {', '.join(self.models)} "
            f"from {self.devices:,} devices ({kinds}) in {self.telemetry}; truth in {self.truth}"
        )


def write_fleet(
    folder: Path,
    spec: FleetSpec,
    architectures: Sequence[Architecture],
    plan: TelemetryPlan,
    format: TelemetryFormat = "csv.gz",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SimulationReport:
    """Simulate `spec` and write `telemetry.*`, `truth.csv` and `simulation.json` to `folder`.

    `progress` is called with (rows so far, rows in all) after each batch. The folder is made; files
    of an earlier simulation in it are replaced. Raises `InputError` as `make_folder` does.
    """
    make_folder(folder, format)
    started = time.perf_counter()
    fleet = draw_fleet(spec)
    path = folder / f"telemetry.{format}"
    rng = np.random.default_rng([spec.seed, seed, 1])
    rows, broken = 0, Counter[str]()
    measuring = min(plan.measuring_devices, len(fleet))
    expected = len(fleet) * plan.rows_per_device + measuring * min(
        plan.measured_rows, plan.configurations * len(architectures)
    )
    with SINKS[format](path) as sink:
        for batch in simulate_telemetry(fleet, architectures, plan, seed):
            broken.update(sink.write(batch, architectures, plan.broken_share, rng))
            rows += len(batch)
            if progress:
                progress(rows, expected)
    write_truth(folder / TRUTH_FILE, fleet)
    about = SimulationFile(True, spec, plan, seed, rows, dict(broken))
    write_document(folder / SPEC_FILE, about)
    return SimulationReport(
        path,
        folder / TRUTH_FILE,
        folder / SPEC_FILE,
        len(fleet),
        _kinds(fleet),
        tuple(a.model for a in architectures),
        rows,
        dict(broken),
        time.perf_counter() - started,
    )


def make_folder(folder: Path, format: str) -> None:
    """Make the folder of a simulation; costs nothing, so it is asked before anything is computed.

    Raises `InputError` for an unknown format and for a folder that cannot be made or written to.
    """
    if format not in SINKS:
        raise InputError(f"`format` must be one of {', '.join(SINKS)}, but got {format=}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"the folder of a simulation must be one that can be written to, but {folder} is not "
            f"({error.strerror}); choose another"
        ) from error


def write_truth(path: Path, fleet: SimulatedFleet) -> None:
    """The hidden truth, one row a device: its kind and what was drawn for it."""
    names = np.array([k.name for k in fleet.spec.kinds], dtype=object)
    level = fleet.thermal.steady_level(fleet.load)
    frame = pl.DataFrame(
        {
            "device_id": pl.Series(fleet.ids, dtype=pl.String),
            "kind": pl.Series(names[fleet.kind], dtype=pl.String),
            "weight": fleet.weight,
            "clock": fleet.clock,
            "throttled_to": level,
            "traffic": fleet.traffic,
            "load": fleet.load,
            "core_slowdown": fleet.core,
            "memory_slowdown": fleet.memory,
            "ambient_c": fleet.ambient_c,
            "age_years": fleet.age_years,
            "battery_health_pct": fleet.battery_health_pct,
        }
    )
    frame.with_columns(pl.lit("true").alias(MARK)).write_csv(path, float_precision=6)


def read_fleet(folder: Path) -> SimulatedFleet:
    """The fleet that `write_fleet` simulated, device for device, from its `simulation.json`.

    Raises `InputError` when the folder holds no simulation.
    """
    return draw_fleet(read_document(folder / SPEC_FILE, SimulationFile).spec)


def _kinds(fleet: SimulatedFleet) -> dict[str, int]:
    counts = np.bincount(fleet.kind, minlength=len(fleet.spec.kinds))
    return {k.name: int(c) for k, c in zip(fleet.spec.kinds, counts, strict=True)}
