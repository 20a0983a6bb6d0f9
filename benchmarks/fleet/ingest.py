"""`hdap ingest` beside the sqlite3 shell's `.import` of the same file, in one run.

`.import` leaves texts in one table. The same work in SQL alone is timed too: `.import`, then
numbers as numbers, devices and channels as keys, and an index in which no row stands twice, still
without a check of any value. The rows are simulated (random latencies and context on the width
groups of a measured fleet): nothing but the speed of loading is looked at.
Usage: python -m benchmarks.fleet.ingest [ROWS]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "hdap" / "data" / "microfleet-resnet50.csv.gz"
DEVICES, PRUNED_SHARE = 50_000, 0.1
INGEST = """
import sys
from pathlib import Path
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.store import Store

def stored(model):
    "The stored description of resnet50: tracing it is not what is timed."
    return Architecture.from_json(Path(sys.argv[3]).read_text())

with Store.open(sys.argv[1]) as store:
    report = ingest(store, Path(sys.argv[2]), trace=stored)
    print(f"{report.rows} {report.added} {report.known}")
"""

SAME_WORK = """
CREATE TABLE devices (device_key INTEGER PRIMARY KEY, device_id TEXT UNIQUE);
INSERT INTO devices (device_id) SELECT DISTINCT device_id FROM t;
CREATE TABLE configurations (configuration_key INTEGER PRIMARY KEY, channels TEXT UNIQUE);
INSERT INTO configurations (channels) SELECT DISTINCT channels FROM t;
CREATE TABLE m AS SELECT device_key, configuration_key, unixepoch(timestamp, 'subsec') AS at,
    CAST(latency_ms AS REAL) AS latency_ms, CAST(latency_p95_ms AS REAL) AS latency_p95_ms,
    CAST(runs AS INTEGER) AS runs, CAST(cpu_freq_mhz AS REAL) AS cpu_freq_mhz,
    CAST(temperature_c AS REAL) AS temperature_c, CAST(cpu_load_pct AS REAL) AS cpu_load_pct
    FROM t JOIN devices USING (device_id) JOIN configurations USING (channels);
DROP TABLE t;
CREATE UNIQUE INDEX once ON m (device_key, configuration_key, at, latency_ms, runs, cpu_freq_mhz);
CREATE INDEX by_configuration ON m (configuration_key);
"""


def write_rows(path: Path, rows: int) -> None:
    """Simulated telemetry: nine in ten rows are of the dense model."""
    rng = np.random.default_rng(0)
    measured = pl.read_csv(MEASURED, schema_overrides={"channels": pl.String})
    texts = pl.concat([pl.Series([""]), measured["channels"].drop_nulls().unique().sort()])
    pruned = rng.random(rows) < PRUNED_SHARE
    latency = np.round(rng.lognormal(3.5, 0.4, rows), 4)
    times = np.datetime64("2026-10-01", "ms") + np.sort(rng.integers(0, 30 * 86_400_000, rows))
    frame = pl.DataFrame(
        {
            "device_id": rng.integers(0, DEVICES, rows),
            "timestamp": times,
            "channels": texts.gather(np.where(pruned, rng.integers(1, len(texts), rows), 0)),
            "latency_ms": latency,
            "latency_p95_ms": np.round(latency * rng.uniform(1, 1.2, rows), 4),
            "runs": rng.integers(3, 50, rows),
            "cpu_freq_mhz": rng.integers(600, 2600, rows),
            "temperature_c": np.round(rng.normal(45, 8, rows), 1),
            "cpu_load_pct": rng.integers(0, 100, rows),
        }
    ).with_columns(
        pl.format("unit-{}", pl.col("device_id").cast(pl.String).str.zfill(6)).alias("device_id"),
        pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00"),
        pl.lit("resnet50").alias("model"),
        pl.lit("onnxruntime-cpu-1t").alias("runtime"),
        pl.lit(1).alias("batch_size"),
    )
    frame.write_csv(path)


def run(command: list[str]) -> tuple[float, float, float, str]:
    """Wall seconds, processor seconds, peak memory in MB and output of a command."""
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, f"{command[0]} failed"
    seconds = time.monotonic() - started
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.strip()


def main() -> None:
    """Write the file, load it both ways, print the figures."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path, database = Path(folder, "simulated.csv"), str(Path(folder, "hdap.db"))
        described = str(ROOT / "tests" / "data" / "resnet50.architecture.json")
        write_rows(path, rows)
        megabytes = path.stat().st_size / 1e6
        print(f"{rows} simulated rows, {megabytes:.0f} MB, {os.cpu_count()} cores")
        loading = [sys.executable, "-c", INGEST, database, str(path), described]
        importing = f".import --csv {path} t"
        shell = ["sqlite3", str(Path(folder, "shell.db")), importing]
        same = ["sqlite3", str(Path(folder, "same.db")), importing, SAME_WORK]
        seconds = {}
        for name, command in (
            ("sqlite3 .import (text columns, no check)", shell),
            ("the same work in SQL alone (no check)", same),
            ("hdap ingest", loading),
            ("hdap ingest, the same file again", loading),
        ):
            wall, processor, memory, output = run(command)
            seconds[name] = wall
            print(
                f"{name}: {wall:.2f} s ({processor:.2f} s processor), {rows / wall:,.0f} rows/s, "
                f"{memory:.0f} MB  {output}"
            )
        plain, worked, ingested, _ = seconds.values()
        print(
            f"hdap ingest / .import: {ingested / plain:.2f}, / the same work in SQL: "
            f"{ingested / worked:.2f} (wall), on a file of {rows} rows"
        )


if __name__ == "__main__":
    main()
