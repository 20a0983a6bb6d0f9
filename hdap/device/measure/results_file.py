"""The CSV of results: a row a measurement, as telemetry has it and more."""

from __future__ import annotations

import contextlib
import csv
import errno
import importlib
import math
import os
import stat
from collections.abc import Sequence
from typing import IO

from hdap.device.measure.estimate import baseline
from hdap.device.messages import DeviceError
from hdap.device.runtimes.base import Runtime
from hdap.device.runtimes.instruction_set import instruction_set
from hdap.device.sensors import CONTEXT

Row = dict[str, str]
Session = tuple[str, str, str, str]
"""What rows must share to have one baseline: bundle, runtime, precision, device."""
COLUMNS = (
    "device_id",
    "timestamp",
    "model",
    "channels",
    "latency_ms",
    "latency_p95_ms",
    "runs",
    "batch_size",
    "runtime",
    *CONTEXT,
    "energy_mj",
    "latency_raw_ms",
    "latency_ci_low_ms",
    "latency_ci_high_ms",
    "latency_p90_ms",
    "latency_p99_ms",
    "relative_latency",
    "baseline_ms",
    "reference_ms",
    "reference_quiet_ms",
    "reference_cpu_ms",
    "reference_wait",
    "reference_drift_pct",
    "slices",
    "slices_used",
    "attempts",
    "warmup_runs",
    "clock",
    "marked",
    "round",
    "role",
    "precision",
    "threads",
    "provider",
    "instruction_set",
    "governor",
    "bundle",
)
SCALED = (
    "latency_ms",
    "latency_p95_ms",
    "latency_ci_low_ms",
    "latency_ci_high_ms",
    "latency_p90_ms",
    "latency_p99_ms",
)
"""Columns that are a ratio times the baseline."""
CONTRADICTS = 1.6
"""Heat and other load make everyday telemetry slower than a session, by less than this."""


def safe_name(device: str) -> str:
    """What of a device's name can stand in the name of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in device)


def results_name(device: str, kind: str = "measured") -> str:
    """The file of a device's measurements, or of its `sustained` ones."""
    return f"{kind}-{safe_name(device)}.csv"


def ran_by(runtime: Runtime, batch_size: int) -> Row:
    """The columns that say what ran a measurement."""
    return {
        "batch_size": str(batch_size),
        "runtime": runtime.label,
        "precision": runtime.precision,
        "threads": str(runtime.threads),
        "instruction_set": instruction_set(),
    }


class ResultsFile:
    """The CSV: append-only while measuring, repaired on opening, rescaled at the end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.repaired = ""
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        """Read what is there, cut a torn end off, lock. Raises `DeviceError`."""
        try:
            self._file = open(self.path, "a+b")  # noqa: SIM115
        except OSError as error:
            raise DeviceError(
                f"{self.path} must be writable: {error.strerror}; use --out"
            ) from None
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise DeviceError(f"{self.path} must be a regular file; use another --out")
        self._lock()
        self._file.seek(0)
        data = self._file.read()
        good = self._parse(data)
        if good < len(data):
            self.repaired = f"cut a torn line off {self.path}"
            self._file.truncate(good)
        if good == 0:
            self._write(",".join(COLUMNS) + "\n")

    def _lock(self) -> None:
        with contextlib.suppress(ImportError):
            fcntl = importlib.import_module("fcntl")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise DeviceError(
                        f"another measure.pyz writes {self.path}; wait for it"
                    ) from None

    def _parse(self, data: bytes) -> int:
        """Fill `rows`; how many bytes of `data` are whole lines of ours."""
        header = (",".join(COLUMNS) + "\n").encode()
        if not data.startswith(header):
            # A power cut leaves the start of the header, or zero bytes in its place.
            if header.startswith(data.rstrip(b"\0")):
                return 0
            raise DeviceError(f"{self.path} was not written by this measure.pyz; use another --out")
        good = len(header)
        while good < len(data):
            end = data.find(b"\n", good) + 1
            row = _row_of_line(data[good:end]) if end else None
            if row is None:
                if end and data.find(b"\n", end) >= 0:
                    number = data[:end].count(b"\n")
                    raise DeviceError(
                        f"{self.path} line {number} is damaged; remove it or use --out"
                    )
                break
            self.rows.append(row)
            good = end
        return good

    def _write(self, text: str) -> None:
        assert self._file is not None
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise DeviceError(
                f"{self.path} cannot be written: {error.strerror}; free space"
            ) from None

    def append(self, row: Row) -> None:
        """Add a row and force it to the disk."""
        # Known before it is written: an interrupt in between must not lose it in `finish`.
        self.rows.append(row)
        try:
            self._write(_line(row))
        except DeviceError:
            self.rows.remove(row)
            raise

    def of(self, session: Session) -> list[Row]:
        """The rows of one session."""
        names = ("bundle", "runtime", "precision", "device_id")
        return [r for r in self.rows if tuple(r[name] for name in names) == session]

    def finish(self, session: Session, fixed_ms: float | None) -> None:
        """Give all rows of `session` one baseline; replaces the file at once."""
        mine = self.of(session)
        if not mine:
            return
        rescale(mine, fixed_ms)
        temporary = self.path + ".new"
        try:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                file.write(",".join(COLUMNS) + "\n" + "".join(map(_line, self.rows)))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise DeviceError(
                f"{self.path} cannot be written: {error.strerror}; free space"
            ) from None

    def close(self) -> None:
        """Close the file and give up the lock."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _row_of_line(line: bytes) -> Row | None:
    """The row, None where the line is no whole row of ours."""
    try:
        fields = next(csv.reader([line.decode().rstrip("\n")]), [])
        row = dict(zip(COLUMNS, fields))
        whole = len(fields) == len(COLUMNS) and b"\0" not in line
        for name in (*SCALED, "baseline_ms", "reference_ms", "reference_quiet_ms"):
            whole = whole and 0 < float(row[name]) < math.inf
        for name in ("reference_cpu_ms", "reference_wait", "power_w"):
            whole = whole and math.isfinite(float(row[name] or 0))
    except (ValueError, KeyError, csv.Error):
        return None
    return row if whole else None


def _line(row: Row) -> str:
    values = [row.get(name, "") for name in COLUMNS]
    quoted = ['"' + v.replace('"', '""') + '"' if set(v) & set(',"\n\r') else v for v in values]
    return ",".join(quoted) + "\n"


def rescale(rows: Sequence[Row], fixed_ms: float | None = None) -> None:
    """Give `rows` one baseline (ms): `fixed_ms`, or what `baseline` makes of them."""
    # as it is written: doing it again must change nothing
    common = float(number_text(fixed_ms or own_baseline(rows)))
    for row in rows:
        old = float(row["baseline_ms"])
        for name in SCALED:
            row[name] = number_text(float(row[name]) * common / old)
        if row["power_w"]:
            row["energy_mj"] = number_text(float(row["power_w"]) * float(row["latency_ms"]))
        row["baseline_ms"] = number_text(common)
        drift = 100 * (float(row["reference_ms"]) / common - 1)
        row["reference_drift_pct"] = f"{drift:.2f}"


def own_baseline(rows: Sequence[Row]) -> float:
    """The reference's latency (ms) as these rows measured it."""
    names = ("reference_quiet_ms", "reference_cpu_ms", "reference_wait")
    return baseline(*([float(r[name]) for r in rows if r[name]] for name in names))


def contradiction(rows: Sequence[Row], told_ms: float | None) -> str:
    """What to say where telemetry tells another latency of the reference than `rows` measured, so
    that every latency would be off by as much; empty where they agree."""
    if not rows or told_ms is None:
        return ""
    own = own_baseline(rows)
    times = max(told_ms / own, own / told_ms)
    if times <= CONTRADICTS:
        return ""
    return (
        f"telemetry says {told_ms:.3g} ms for the dense network of this device, which just "
        f"measured {own:.3g} ms ({times:.1f}x apart): the measured one is used (--baseline-ms "
        f"{told_ms:.3g} insists)"
    )


def number_text(value: float | None) -> str:
    """Seven significant digits; empty for None."""
    return "" if value is None else f"{value:.7g}"
