"""The telemetry contract: every column a file may have, its unit and what is accepted.

Documentation, validation and the store's tables are made from this one table.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from hdap.fleet_data.errors import InputError

SESSION_S = 3600.0
"""Seconds around a measurement of a pruned network in which a device is busy and warm."""
SIMULATED = "simulated"
"""Runtime of every measurement that no device took."""

SUSTAINED = "sustained_s"
"""Above 0: a row of a device that was kept busy on purpose, which is another state of it."""

ColumnKind = Literal["text", "number", "integer", "time"]
ColumnRole = Literal["identity", "measurement", "software", "context", "device"]


@dataclass(frozen=True, slots=True)
class TelemetryColumn:
    """One column of the contract.

    `kind` is how its text is read. A number must lie in `low..high` (`above` excludes `low`
    itself), a text has at most `longest` characters. `role`: `context` columns say what else was
    true when the latency was taken, `software` columns what ran it; `device` columns describe the
    device, not the measurement.
    """

    name: str
    kind: ColumnKind
    role: ColumnRole
    meaning: str
    required: bool = False
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    longest: int = 128

    @property
    def accepted(self) -> str:
        """What must hold, in words, for messages and documentation."""
        if self.kind == "text":
            return f"text of at most {self.longest} characters"
        if self.kind == "time":
            return "an ISO 8601 date and time, or s, ms, us or ns since 1970"
        noun = "a whole number" if self.kind == "integer" else "a finite number"
        low = "" if math.isinf(self.low) else f" {'above' if self.above else 'from'} {self.low:g}"
        high = "" if math.isinf(self.high) else f" up to {self.high:g}"
        return f"{noun}{low}{high}"


def _context(name: str, unit: str, meaning: str, low: float, high: float) -> TelemetryColumn:
    return TelemetryColumn(name, "number", "context", meaning, unit=unit, low=low, high=high)


COLUMNS = (
    TelemetryColumn(
        "device_id", "text", "identity", "one physical unit, 1-128 characters", required=True
    ),
    TelemetryColumn("model", "text", "identity", "the model measured", required=True, longest=256),
    TelemetryColumn(
        "latency_ms",
        "number",
        "measurement",
        "median of `runs` inferences",
        required=True,
        unit="ms",
        low=0,
        above=True,
        high=1e9,
    ),
    TelemetryColumn(
        "channels",
        "text",
        "identity",
        "counts by width group, `conv1=56;layer1.0.conv1=40`; groups left out keep all channels; "
        "empty = the dense model",
        longest=1_000_000,
    ),
    TelemetryColumn("timestamp", "time", "identity", "ISO 8601; no zone means UTC"),
    TelemetryColumn(
        "latency_p95_ms",
        "number",
        "measurement",
        "95th percentile of the runs",
        unit="ms",
        low=0,
        above=True,
        high=1e9,
    ),
    TelemetryColumn(
        "runs", "integer", "measurement", "how many inferences (unknown: 1)", low=1, high=2**53
    ),
    TelemetryColumn(
        "batch_size",
        "integer",
        "measurement",
        "inputs an inference (unknown: 1)",
        low=1,
        high=2**31,
    ),
    TelemetryColumn("runtime", "text", "software", "e.g. `onnxruntime-cpu-1t`"),
    TelemetryColumn("precision", "text", "software", "e.g. `float32`, `bfloat16`, `int8`"),
    TelemetryColumn("threads", "integer", "software", "threads it ran on", low=1, high=2**31),
    TelemetryColumn("firmware", "text", "software", "version of the device's own software"),
    TelemetryColumn(
        "reduced_rows",
        "integer",
        "measurement",
        "how many rows this one stands for (`hdap reduce`; unknown: 1)",
        low=1,
        high=2**53,
    ),
    TelemetryColumn(
        "reduced_spread",
        "number",
        "measurement",
        "standard deviation of the log latencies of these rows (unknown: 0)",
        low=0,
        high=50,
    ),
    _context("cpu_freq_mhz", "MHz", "clock of the CPU", 0, 1e6),
    _context("gpu_freq_mhz", "MHz", "clock of the GPU", 0, 1e6),
    _context("temperature_c", "degrees Celsius", "temperature", -273.15, 1000),
    _context("cpu_load_pct", "%", "load of the CPU (over 100 where cores add up)", 0, 1e6),
    _context("mem_available_mb", "MB", "free memory", 0, 1e12),
    _context("battery_pct", "%", "charge of the battery", 0, 100),
    _context("battery_health_pct", "%", "health of the battery", 0, 100),
    _context("power_w", "W", "power drawn", -1e6, 1e6),
    _context("energy_mj", "mJ", "energy of one inference", 0, 1e12),
    _context(SUSTAINED, "s", "how long it had run inferences without rest", 0, 1e9),
    TelemetryColumn(
        "weight",
        "number",
        "device",
        "how much the device counts in the fleet mean (unknown: 1)",
        low=0,
        above=True,
        high=1e15,
    ),
)
"""The contract, in the order of the documentation."""

BY_NAME = {column.name: column for column in COLUMNS}
REQUIRED = tuple(column.name for column in COLUMNS if column.required)
SOFTWARE = tuple(column.name for column in COLUMNS if column.role == "software")
BESIDE_RUNTIME = tuple(name for name in SOFTWARE if name != "runtime")
CONTEXT = tuple(column.name for column in COLUMNS if column.role == "context")
_LONGEST_SHOWN = 200
HEADER_RULE = f"the first line names the columns, at least {','.join(REQUIRED)}"


def check_columns(name: str, columns: tuple[str, ...]) -> None:
    """All required columns are there, and none twice. Raises InputError."""
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        text = ",".join(columns)
        shown = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."
        divided = " or what divides them (--delimiter)" if len(columns) == 1 else ""
        raise InputError(
            f"{name} must have the columns {', '.join(REQUIRED)}, missing: {', '.join(missing)}, "
            f"got {shown!r}: say what they are (--map NAME={missing[0]}){divided}"
        )
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        shown = ", ".join(repr(column) for column in twice[:5])
        raise InputError(f"{name} must name each column once, got {shown} again: rename one")
