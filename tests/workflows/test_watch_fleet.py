"""A place where telemetry arrives: each file once, and what the rules of a status say."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.store import Store
from hdap.requests.ingest_request import IngestRequest
from hdap.workflows.fleet_artifacts import ensure_clustering
from hdap.workflows.stream_batches import StreamBatches
from hdap.workflows.watch_events import FindingEvent, IngestEvent, ProblemEvent
from hdap.workflows.watch_fleet import FleetWatch, check_place

CSV = "device_id,model,latency_ms\ncam-1,resnet50,10\ncam-2,resnet50,11\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.fixture
def watch(tmp_path: Path, fresh: Callable[[Path], Path]) -> FleetWatch:
    store = Store.open(str(fresh(tmp_path / "t.db")))
    return FleetWatch(store, IngestRequest(), lambda _: None, rest_s=0.0)


def another(watch: FleetWatch) -> FleetWatch:
    return FleetWatch(watch.store, IngestRequest(), lambda _: None, rest_s=watch.rest_s)


def test_each_file_is_ingested_once_also_by_another_process(watch: FleetWatch, place: Path) -> None:
    (place / "a.csv").write_text(CSV)
    (place / ".hidden.csv").write_text(CSV)
    (place / "sub").mkdir()
    (place / "sub" / "b.jsonl").write_text('{"device_id":"c","model":"resnet50","latency_ms":1}\n')
    events = list(watch.look(place))
    assert [(type(e), e.added) for e in events if isinstance(e, IngestEvent)] == [
        (IngestEvent, 2),
        (IngestEvent, 1),
    ]
    assert list(watch.look(place)) == list(another(watch).look(place)) == []
    # written anew it is read again, and what is known adds nothing
    (place / "a.csv").write_text(CSV + "cam-3,resnet50,12\n")
    (event,) = another(watch).look(place)
    assert isinstance(event, IngestEvent)
    assert (event.added, event.known) == (1, 2)


def test_a_file_whose_name_is_no_utf8_is_told_and_the_others_come_in(
    watch: FleetWatch, place: Path
) -> None:
    (place / os.fsdecode(b"caf\xe9.csv")).write_text(CSV)
    (place / "t.csv").write_text(CSV)
    problem, event = watch.look(place)
    assert isinstance(problem, ProblemEvent)
    assert "rename it" in problem.says
    assert f"{problem.source}{problem}".encode()
    assert isinstance(event, IngestEvent)


def test_a_file_that_is_still_being_written_waits(watch: FleetWatch, place: Path) -> None:
    watch.rest_s = 30.0
    path = place / "a.csv"
    path.write_text(CSV)
    os.utime(path, (0, 0))  # as a copy that keeps times
    assert list(watch.look(place)) == []
    assert watch.waiting == 1
    watch.rest_s = 0.05
    time.sleep(0.1)
    assert len(list(watch.look(place))) == 1


def test_a_file_that_is_refused_is_told_once_and_stops_no_other(
    watch: FleetWatch, place: Path
) -> None:
    (place / "a.csv").write_text("a,b\n1,2\n")
    (place / "b.csv").write_text(CSV)
    first, second = watch.look(place)
    assert isinstance(first, ProblemEvent)
    assert "device_id" in str(first)
    assert isinstance(second, IngestEvent)
    assert list(watch.look(place)) == []


def test_what_asks_for_something_is_told_when_it_is_new(
    watch: FleetWatch, place: Path, fleet_file: Callable[[str], Path]
) -> None:
    rows = pl.read_csv(fleet_file("resnet50"), schema_overrides={"channels": pl.String})
    rows.write_csv(place / "1.csv")
    assert not any(isinstance(e, FindingEvent) for e in watch.look(place))
    ensure_clustering(watch.store, lambda _: None)
    dense = rows.filter(pl.col("channels").is_null()).with_columns(
        timestamp=pl.lit("2026-11-29T00:00:00Z"), latency_ms=pl.col("latency_ms") * 1.001
    )
    sick = dense.filter(pl.col("device_id") == dense["device_id"][0])
    sick = sick.with_columns(latency_ms=pl.col("latency_ms") * 9)
    well = dense.filter(pl.col("device_id") != dense["device_id"][0])
    pl.concat([well, sick]).write_csv(place / "2.csv")
    found = [e.finding for e in watch.look(place) if isinstance(e, FindingEvent)]
    assert [f.kind for f in found] == ["outliers"]
    assert str(dense["device_id"][0]) in found[0].says
    assert [f.kind for f in watch.open_findings] == ["outliers"]
    slower = well.with_columns(
        timestamp=pl.lit("2026-11-30T00:00:00Z"), latency_ms=pl.col("latency_ms") * 1.5
    )
    for n in range(3):  # enough to outweigh what came before
        slower.with_columns(timestamp=pl.lit(f"2026-11-30T0{n}:00:00Z")).write_csv(
            place / f"3{n}.csv"
        )
    told = [str(e) for e in watch.look(place) if isinstance(e, FindingEvent)]
    assert any("slower" in line and "measure again" in line for line in told)
    assert list(watch.look(place)) == []


def test_a_prefix_is_watched_like_a_folder(watch: FleetWatch, objects: Any) -> None:
    objects.put("watched", {"in/a.csv": CSV.encode()})
    assert len(list(watch.look("s3://watched/in/"))) == 1
    objects.put("watched", {"in/b.csv": CSV.replace("10", "12").encode()})
    (event,) = another(watch).look("s3://watched/in/")
    assert isinstance(event, IngestEvent)
    assert (event.source, event.added) == ("s3://watched/in/b.csv", 1)
    with pytest.raises(InputError, match="must be of a prefix"):
        check_place("s3://watched/in/a.csv")


def stream(tmp_path: Path, data: bytes, every_s: float = 60.0) -> list[bytes]:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return [b.read_bytes() for b in StreamBatches(reading, tmp_path, every_s, lambda: False)]


def test_a_line_that_has_not_ended_is_left_out_where_a_stream_is_stopped(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"h,ms\n1,123.4\n2,12")  # of 123.4
    (batch,) = StreamBatches(reading, tmp_path, 60.0, lambda: True)
    assert batch.read_bytes() == b"h,ms\n1,123.4\n"
    os.close(writing)


def test_a_stream_is_cut_into_files_with_its_header(tmp_path: Path) -> None:
    assert stream(tmp_path, CSV.encode()) == [CSV.encode()]
    assert stream(tmp_path, b'{"a": 1}\n{"a": 2}') == [b'{"a": 1}\n{"a": 2}']
    assert stream(tmp_path, b"") == stream(tmp_path, b"a,b\n") == []
    reading, writing = os.pipe()
    batches = iter(StreamBatches(reading, tmp_path, 0.1, lambda: False))
    os.write(writing, b"h,i\n1,2\n3,")
    assert next(batches).read_bytes() == b"h,i\n1,2\n"
    os.write(writing, b"4\n")
    os.close(writing)
    assert next(batches).read_bytes() == b"h,i\n3,4\n"
    assert list(batches) == []
