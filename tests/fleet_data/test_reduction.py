from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.ingest.ingest_file import FrameStream
from hdap.fleet_data.ingest.reading import AS_FOUND, SourceReading
from hdap.fleet_data.reduction.dialects import DIALECT_NAMES
from hdap.fleet_data.reduction.warehouse import read_reduced, statement
from hdap.fleet_data.store import Store

DAY = "2026-11-01T00:00:{:02}+00:00"


def rows(**columns: Any) -> dict[str, Any]:
    return {"device_id": "a", "model": "resnet50", "latency_ms": 40.0, "channels": ""} | columns


def reduce(tmp_path: Path, *given: Mapping[str, Any], after: str | None = None) -> pl.DataFrame:
    path = tmp_path / "telemetry.parquet"
    pl.DataFrame(list(given), infer_schema_length=None).write_parquet(path)
    found = read_reduced("duckdb", str(path), AS_FOUND, after)
    return pl.concat(found.frames).sort("device_id", "latency_ms")


def test_everyday_rows_become_one(tmp_path: Path) -> None:
    spread = [38.0, 40.0, 41.0, 90.0, 39.0]
    given = [
        rows(latency_ms=ms, latency_p95_ms=1.1 * ms, cpu_freq_mhz=1000.0 + at, runs=10 + at)
        for at, ms in enumerate(spread)
    ]
    found = reduce(tmp_path, *given, rows(device_id="b")).rows(named=True)
    assert [row["device_id"] for row in found] == ["a", "b"]
    one = found[0]
    assert one["reduced_rows"] == 5
    assert one["latency_ms"] == pytest.approx(40.0)
    assert one["latency_p95_ms"] == pytest.approx(44.0)
    assert (one["cpu_freq_mhz"], one["runs"]) == (1002.0, 12)
    low, high = np.quantile(np.log(spread), [0.25, 0.75])
    assert one["reduced_spread"] == pytest.approx((high - low) / 1.349)
    assert found[1]["reduced_spread"] == 0.0


def test_software_batches_and_networks_are_kept_apart(tmp_path: Path) -> None:
    apart = [
        rows(),
        rows(channels="conv1=32"),
        rows(batch_size=8),
        rows(runtime="ncnn"),
        rows(firmware="5.1"),
    ]
    assert reduce(tmp_path, *apart, *apart)["reduced_rows"].to_list() == [2] * 5


def test_what_was_measured_beside_pruned_networks_keeps_its_time(tmp_path: Path) -> None:
    times = ("00:00:00", "00:00:02", "00:10:00", "00:20:00", "12:00:00", "13:00:00")
    given = [
        rows(timestamp=f"2026-11-01T{time}Z", channels="conv1=32" * (time == "00:10:00"))
        for time in times
    ]
    found = reduce(tmp_path, *given).sort("timestamp")
    assert found["reduced_rows"].to_list() == [2, 1, 1, 2]
    assert found["timestamp"].dt.hour().to_list() == [0, 0, 0, 13]


@pytest.mark.parametrize(
    "bad",
    [
        {"latency_ms": 0.0},
        {"latency_ms": float("nan")},
        {"latency_ms": float("inf")},
        {"latency_ms": None},
        {"device_id": ""},
        {"model": None},
        {"battery_pct": 140.0},
    ],
)
def test_rows_that_break_the_contract_are_left_out(bad: dict[str, Any], tmp_path: Path) -> None:
    good = rows(battery_pct=float("nan"))
    assert reduce(tmp_path, good, good | bad)["reduced_rows"].to_list() == [1]


def test_only_rows_after_a_moment(tmp_path: Path) -> None:
    given = [rows(timestamp=f"2026-11-0{day}T12:00:00Z") for day in (1, 2, 3)]
    found = reduce(tmp_path, *given, after="2026-11-01T12:00:00+00:00")
    assert found["reduced_rows"].to_list() == [2]


def test_columns_have_the_names_that_were_said(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("unit,net,took\na,resnet50,40\na,resnet50,42\n")
    columns = {"unit": "device_id", "net": "model", "took": "latency_ms"}
    found = read_reduced("duckdb", str(path), SourceReading(columns=columns))
    assert pl.concat(found.frames)["reduced_rows"].to_list() == [2]
    with pytest.raises(InputError, match="device_id"):
        read_reduced("duckdb", str(path), AS_FOUND)


@pytest.mark.parametrize(
    ("via", "says"),
    [
        ("duckdb", "finds and can reduce"),
        ("mysql", "duckdb, spark or a URL"),
        ("nothing://x", "finds and can reduce"),
    ],
)
def test_what_cannot_be_reached_is_said_in_one_line(via: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        read_reduced(via, "no_such_table", AS_FOUND)
    assert "\n" not in str(error.value)


def test_reduced_rows_are_stored_once_and_read_back(tmp_path: Path) -> None:
    reduced = reduce(tmp_path, rows(), rows(latency_ms=44.0), rows(device_id="b"))
    with Store.open(str(tmp_path / "hdap.db")) as store:
        for added in (2, 0):
            assert ingest(store, FrameStream("x", iter([reduced]))).added == added
        found = store.measurements()
    assert found.reduced_rows is not None
    assert found.reduced_spread is not None
    assert found.reduced_rows.tolist() == [2.0, 1.0]
    np.testing.assert_allclose(found.latency_ms, reduced["latency_ms"])
    np.testing.assert_allclose(found.reduced_spread, reduced["reduced_spread"])


def test_postgresql_reduces_as_duckdb_does(postgres: Any, tmp_path: Path) -> None:
    import psycopg

    times = ("00:00:00", "00:00:02", "00:10:00.7", "00:20:00", "12:00:00", "13:00:00")
    given = [
        rows(
            latency_ms=40.0 + at,
            latency_p95_ms=50.0 + at,
            timestamp=f"2026-11-01 {time}",
            channels="conv1=32" * (at == 2),
            cpu_load_pct=10 * at,
        )
        for at, time in enumerate(times)
    ]
    expected = reduce(tmp_path, *given).sort("timestamp")
    url = postgres.create_space().replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE telemetry (device_id text, model text, latency_ms float8, channels text, "
            "latency_p95_ms float8, timestamp timestamp, cpu_load_pct int)"
        )
        names = ", ".join(given[0])
        values = ", ".join(f"%({name})s" for name in given[0])
        connection.cursor().executemany(f"INSERT INTO telemetry ({names}) VALUES ({values})", given)
    found = pl.concat(read_reduced(url, "telemetry", AS_FOUND).frames).sort("timestamp")
    assert found.columns == expected.columns
    for name in found.columns:
        left, right = found[name], expected[name]
        if left.dtype.is_numeric():
            np.testing.assert_allclose(left.cast(pl.Float64), right.cast(pl.Float64), rtol=1e-12)
        else:
            assert left.to_list() == right.to_list()


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_every_dialect_can_be_printed(dialect: str) -> None:
    columns = ("unit=device_id", "model", "latency_ms", "channels", "at=timestamp", "runs")
    said = statement(dialect, "fleet.telemetry", columns, "2026-11-01")
    assert "telemetry" in said
    assert "unit" in said
    assert "reduced_spread" in said


@pytest.mark.parametrize(
    ("columns", "says"), [(("a=device",), "docs/telemetry.md"), (("device_id",), "missing: model")]
)
def test_a_statement_needs_columns_of_the_contract(columns: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        statement("duckdb", "t", columns)
