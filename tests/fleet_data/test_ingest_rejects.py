"""What becomes of rows that are rejected, whatever the disk and the source are like."""

import gzip
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from hdap.device.measure.context import device_identity
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest import IngestReport, ingest
from hdap.fleet_data.ingest.reject_limit import reject_limit
from hdap.fleet_data.store import Store

HEADER = "device_id,model,latency_ms"
Load = Callable[[str], IngestReport]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "hdap.db")) as opened:
        yield opened


@pytest.fixture
def load(store: Store, tmp_path: Path) -> Load:
    def load(rows: str) -> IngestReport:
        path = tmp_path / "t.csv"
        path.write_text(f"{HEADER}\n{rows}\n")
        return ingest(store, path)

    return load


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ("a,m,1\nb,m,2,", "every rejected row has one field too many: a trailing comma?"),
        ("a,m,1,x\nb,m,2,y", "one field too many: a comma in a field that is not quoted?"),
        ("a,m\nb,m", "every row has one field too few"),
        ("a,m,1,2,3\nb,m,1,2,3", "every row has 5 fields where the header has 3"),
        ('a,m,"1,5"\nb,m,12.75', "got '1,5': a decimal comma?"),
        ('a,m,"1,500"\nb,m,"2,750"', "thousands: say --decimal , or --decimal ., got '1,500'"),
        ("a,m,1.5 ms\nb,m,12.75 ms", "got '1.5 ms': leave the unit out"),
        ("a,m,\nb,m,", "the column is empty"),
        ("a,m,fast\nb,m,2", "every rejected row: latency_ms must be a finite number"),
        ("a,m,fast\n,m,2", ""),
        ("a,m,1\nb,m,2", ""),
    ],
)
def test_the_one_cause_that_all_share_is_named(load: Load, rows: str, cause: str) -> None:
    told = load(rows).rejected_cause
    assert cause in told
    assert bool(cause) == bool(told)


def test_a_file_of_rejects_alone_was_in_vain_and_one_that_is_known_was_not(load: Load) -> None:
    assert load("a,m,bad").in_vain
    assert not load("a,m,1\na,m,bad").in_vain
    assert not load("a,m,1\na,m,bad").in_vain  # nothing new, but its good row is in the store


@pytest.mark.parametrize(
    ("limit", "allowed"), [("33.4%", True), ("33%", False), ("1", True), ("0", False)]
)
def test_more_rejected_rows_than_allowed_store_nothing(
    store: Store, tmp_path: Path, limit: str, allowed: bool
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{HEADER}\na,m,1\nb,m,bad\nc,m,3\n")
    if allowed:
        assert ingest(store, path, max_rejected=reject_limit(limit)).added == 2
        return
    with pytest.raises(InputError, match=r"1 of the 3 .* nothing of it is stored: .*t\.csv\.rej"):
        ingest(store, path, max_rejected=reject_limit(limit))
    assert len(store.measurements()) == 0
    assert store.query("SELECT count(*) FROM ingests").rows == ((0,),)
    assert (tmp_path / "t.csv.rejected.csv").read_text().count("\n") == 2


@pytest.mark.parametrize("text", ["", "5 percent", "-1", "1_0", "101%", "1.5", "nan", "\uff15%"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="a percentage"):
        reject_limit(text)


def test_a_list_of_rejects_that_cannot_be_written_is_a_warning(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{HEADER}\na,m,1\nb,m,bad\n")
    report = ingest(store, path, rejected_path=tmp_path / "nowhere" / "r.csv")
    assert (report.added, report.rejected_path) == (1, None)
    assert "could not be listed" in report.warnings[0]
    assert len(store.measurements()) == 1


def test_the_list_goes_into_this_folder_where_that_of_the_file_is_read_only(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    read, write = os.pipe()
    os.write(write, f"{HEADER}\na,m,1\nb,m,bad\n".encode())
    os.close(write)
    report = ingest(store, Path(f"/proc/self/fd/{read}"))  # a folder where nobody makes files
    os.close(read)
    assert (report.added, report.warnings) == (1, ())
    assert report.rejected_path is not None
    assert [p.name for p in here.iterdir()] == [report.rejected_path.name]


def test_a_list_of_before_that_cannot_be_removed_is_a_warning(load: Load, tmp_path: Path) -> None:
    (tmp_path / "t.csv.rejected.csv").mkdir()
    report = load("a,m,1")
    assert report.added == 1
    assert "could not be removed" in report.warnings[0]


def test_half_a_list_of_before_is_removed(load: Load, tmp_path: Path) -> None:
    (tmp_path / ".t.csv.rejected.csv.partial").write_text("line,col")
    load("a,m,1")
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("letters", [230, 242, 255])
@pytest.mark.parametrize("bad", [0, 1])
def test_a_long_name_gets_its_list_where_that_fits(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letters: int, bad: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("x" * (letters - 4) + ".csv")
    path.write_text("\n".join([HEADER, "a,m,1", *["b,m,bad"] * bad]))
    report = ingest(store, path)
    fits = letters + len(".rejected.csv") <= 255
    assert report.added == 1
    assert (report.rejected_path is not None) == (bad and fits)
    assert len(report.warnings) == (bad and not fits)


LIMITED = """
import resource, sys
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.store import Store

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
with Store.open(sys.argv[1]) as store:
    print(ingest(store, sys.argv[2]))
"""


def test_a_disk_that_fills_at_the_last_checkpoint_is_a_warning(
    store: Store, tmp_path: Path
) -> None:
    rows = [f"d{i % 50},m,{1 + i / 1000}" for i in range(30_000)]
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text("\n".join([HEADER, *rows[:24_000]]))
    second.write_text("\n".join([HEADER, *rows[24_000:], "d,m,bad"]))
    ingest(store, first)
    store.close()
    database = tmp_path / "hdap.db"
    limit = database.stat().st_size + 8192  # the log fits, the database cannot grow by as much
    command = [sys.executable, "-c", LIMITED, str(database), str(second), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "all rows are stored" in done.stdout
    assert (tmp_path / "2.csv.rejected.csv").exists()
    with Store.open(str(database)) as again:
        assert len(again.measurements()) == 30_000


def test_files_of_one_name_share_no_list(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    for place, rows in (("t.csv", "d1,m,1\nd1,m,bad\n"), ("b/t.csv", "d2,m,1\n")):
        Path(place).write_text(f"{HEADER}\n{rows}")
        report = ingest(store, Path(place))
    assert report.rejected_path is None
    assert Path("t.csv.rejected.csv").read_text().count("\n") == 2


def test_a_name_that_is_no_utf8_is_named(store: Store, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.csv")
    odd.write_text(f"{HEADER}\nd1,m,1\n")
    with pytest.raises(InputError, match=r"caf\\udce9\.csv': rename it"):
        ingest(store, odd)


@pytest.mark.parametrize("kind", ["csv", "gzip", "parquet"])
@pytest.mark.parametrize("slow", [False, True])
def test_a_pipe_is_read_once(store: Store, tmp_path: Path, kind: str, slow: bool) -> None:
    data = f"{HEADER}\na,m,1\nb,m,bad\nc,m,3\n".encode()
    if kind == "gzip":
        data = gzip.compress(data)
    elif kind == "parquet":
        pl.read_csv(data, infer_schema=False).write_parquet(tmp_path / "p")
        data = (tmp_path / "p").read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            for part in (data[:1], data[1:3], data[3:]) if slow else (data,):
                file.write(part)
                time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    report = ingest(store, pipe)
    writer.join()
    assert (report.rows, report.added, sum(report.rejected.values())) == (3, 2, 1)


def test_new_devices_by_a_default_name_are_counted_apart(load: Load) -> None:
    named = ["cam-1", "jetson-07", "device-42", "living-room-pi", "raspberry-cam", "0123"]
    unnamed = [
        "raspberrypi",
        "localhost",
        "Ubuntu",
        "android-1f00aa77",
        "DESKTOP-AB12CD3",
        "0123456789ab",
    ]
    unnamed += ["raspberrypi4-64", "raspberrypi.local", device_identity()]
    report = load("\n".join(f"{name},m,1" for name in [*named, *unnamed]))
    assert (report.new_devices, report.default_named) == (15, 9)
    assert report.default_names == tuple(unnamed[:5])
    again = load("raspberrypi,m,2\nlocalhost,m,2\nubuntu,m,2")
    assert (again.new_devices, again.default_named, again.default_names) == (1, 1, ("ubuntu",))


def test_a_value_with_a_line_break_does_not_multiply_the_reasons(load: Load) -> None:
    report = load("\n".join(f'a,m,"{i}\n{i}"' for i in range(3)))
    assert len(report.rejected) == 1
    assert not re.search(r"\n", next(iter(report.rejected)))
