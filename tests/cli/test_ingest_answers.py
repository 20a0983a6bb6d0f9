"""What `hdap ingest` says and how it exits, whatever became of its files."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Hdap = Callable[..., Result]
HEADER = "device_id,model,latency_ms"
LOGS = Path(__file__).parents[1] / "data" / "logs"


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def file(name: str, *rows: str) -> str:
        (tmp_path / name).write_text("\n".join([HEADER, *rows, ""]))
        return str(tmp_path / name)

    return file


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "hdap.db"


def test_a_file_of_which_every_row_is_rejected_is_a_failure(
    hdap: Hdap, file: Callable[..., str], db: Path
) -> None:
    done = hdap("ingest", file("t.csv", "a,m,1,x", "b,m,2,x"), db=db)
    assert done.exit_code == 1
    assert "error: a row of" in done.stderr
    assert "every row has one field too many: a comma in a field" in done.stderr
    assert "next:" not in done.stdout


def test_some_good_rows_or_known_ones_are_none(
    hdap: Hdap, file: Callable[..., str], db: Path
) -> None:
    some = file("t.csv", "a,m,1", "b,m,bad")
    for _ in range(2):
        done = hdap("ingest", some, db=db)
        assert done.exit_code == 0, done.output
        assert "1 row was rejected" in done.stderr


def test_max_rejected_keeps_a_file_out(hdap: Hdap, file: Callable[..., str], db: Path) -> None:
    some = file("t.csv", *(f"d{i},m,1" for i in range(19)), "b,m,bad")
    done = hdap("ingest", some, "--max-rejected", "4.9%", db=db)
    assert done.exit_code == 1
    assert "at most 4.9 %" in done.stderr
    assert hdap("sql", "SELECT count(*) AS n FROM measurements", "--csv", db=db).stdout == "n\n0\n"
    assert hdap("ingest", some, "--max-rejected", "5%", db=db).exit_code == 0
    assert hdap("ingest", some, "--max-rejected", "5 percent", db=db).exit_code == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_what_landed_is_said_when_a_later_file_fails(
    hdap: Hdap, file: Callable[..., str], db: Path, tmp_path: Path, as_json: bool
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_bytes(f"{HEADER}\na,m,\xff\n".encode("latin-1"))
    good = file("t.csv", "a,m,1")
    done = hdap("ingest", good, str(bad), *(["--json"] if as_json else []), db=db)
    assert done.exit_code == 1
    assert "byte 0xff in line 2" in done.stderr
    if as_json:
        assert [report["added"] for report in json.loads(done.stdout)] == [1]
    else:
        assert f"Ingest of {good}" in done.stdout


def test_devices_by_a_default_name_are_told_apart(
    hdap: Hdap, file: Callable[..., str], db: Path
) -> None:
    done = hdap("ingest", file("t.csv", "cam-1,m,1", "raspberrypi,m,1"), db=db)
    assert "new by a default name" in done.stdout
    assert "(raspberrypi)" in done.stderr
    assert "--device-id" in done.stderr


def test_parquet_is_read_from_a_pipe(hdap: Hdap, db: Path, tmp_path: Path) -> None:
    import polars as pl

    frame = pl.DataFrame({"device_id": ["a"], "model": ["m"], "latency_ms": [1.0]})
    frame.write_parquet(tmp_path / "t.parquet")
    read, write = os.pipe()
    os.write(write, (tmp_path / "t.parquet").read_bytes())
    os.close(write)
    done = hdap("ingest", f"/dev/fd/{read}", "--json", db=db)
    os.close(read)
    assert json.loads(done.stdout)[0]["added"] == 1


def test_a_log_is_told_what_it_lacks_and_then_taken(hdap: Hdap, db: Path) -> None:
    log = str(LOGS / "trtexec_times.json")
    done = hdap("ingest", log, db=db)
    assert done.exit_code == 1
    assert "does not say device_id and model: give --device-id and --model" in done.stderr
    said = ("--device-id", "cam-7", "--model", "resnet50", "--timestamp", "2026-01-01T00:00:00Z")
    assert hdap("ingest", log, *said, db=db).exit_code == 0
    rows = hdap("sql", "SELECT device_id, latency_ms, runtime FROM telemetry", "--csv", db=db)
    assert rows.stdout.splitlines()[1] == "cam-7,5.65,tensorrt"


def test_a_table_says_its_columns_itself(hdap: Hdap, file: Callable[..., str], db: Path) -> None:
    done = hdap("ingest", file("t.csv", "a,m,1"), "--device-id", "cam-7", db=db)
    assert done.exit_code == 1
    assert "leave --device-id out" in done.stderr
