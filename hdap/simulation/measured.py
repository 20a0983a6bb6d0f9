"""Measured rows as the calibration needs them: what each device was comes from its telemetry."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.simulation.workload import counts_of

PERIOD_MS = 5.0
"""Period of the CPU quota by which the measured fleets play slow devices."""

NOMINAL_MHZ = 2600.0
"""Clock of the machine that measured the fleets; a quota scales it."""

KINDS = ("fresh", "contended", "power-save", "hot")
"""Kinds of the measured fleets: clock and traffic both good, traffic, slow clock, both."""

_QUIET_LOAD, _FULL_LOAD = 50.0, 100.0  # one of two cores measures; the other moves memory


@dataclass(frozen=True, eq=False)
class MeasuredFleet:
    """n measured rows of one model, with what each device was at the time (n each).

    `counts` (C x groups) holds the configurations, `configuration` indexes it. `clock` is a share
    of the nominal clock, `traffic` 0..1 of what the other cores can move.
    """

    architecture: Architecture
    counts: Counts
    configuration: Ints
    device: Ints
    dense: Bools
    latency_ms: Floats
    p95_ms: Floats
    clock: Floats
    traffic: Floats

    @property
    def kinds(self) -> Ints:
        """Kind of each row by its context: index into `KINDS`."""
        slow = self.clock < 0.8
        busy = self.traffic > 0.1
        return np.where(slow, np.where(busy, 3, 2), np.where(busy, 1, 0)).astype(np.int64)


def read_measured(path: Path, architecture: Architecture) -> MeasuredFleet:
    """Rows of `architecture`'s model in a telemetry file (CSV, gzipped or not).

    Raises `InputError` when the model has no rows, or rows lack the clock and the load that say
    what a device is.
    """
    frame = pl.read_csv(path, schema_overrides={"channels": pl.String})
    frame = frame.filter(pl.col("model") == architecture.model).with_columns(
        pl.col("channels").fill_null("")
    )
    needed = ("cpu_freq_mhz", "cpu_load_pct")
    missing = [n for n in needed if n not in frame.columns or frame[n].null_count() > 0]
    if missing or frame.is_empty():
        raise InputError(
            f"calibration needs rows of {architecture.model} with `cpu_freq_mhz` and "
            f"`cpu_load_pct` in each, but {path} has {len(frame)} rows and lacks {missing}"
        )
    texts = frame["channels"].unique(maintain_order=True)
    ids = frame["device_id"].unique(maintain_order=True)
    counts = counts_of(architecture, texts.to_list())
    configuration = _positions(frame["channels"], texts)
    numbers = {
        name: frame[name].cast(pl.Float64).to_numpy()
        for name in ("latency_ms", "latency_p95_ms", *needed)
    }
    busy = (numbers["cpu_load_pct"] - _QUIET_LOAD) / (_FULL_LOAD - _QUIET_LOAD)
    return MeasuredFleet(
        architecture,
        counts,
        configuration,
        _positions(frame["device_id"], ids),
        (counts == architecture.widths).all(axis=1)[configuration],
        numbers["latency_ms"],
        numbers["latency_p95_ms"],
        np.minimum(numbers["cpu_freq_mhz"] / NOMINAL_MHZ, 1.0),
        np.clip(busy, 0.0, 1.0),
    )


def _positions(values: pl.Series, of: pl.Series) -> Ints:
    found = values.replace_strict(of, range(len(of)), return_dtype=pl.Int64)
    return found.to_numpy()
