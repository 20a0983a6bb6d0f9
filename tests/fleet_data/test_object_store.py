"""Telemetry in an object store, on a real S3-compatible server; and what can be wrong with it."""

import gzip
import io
import re
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from hdap.fleet_data import extras
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.ingest.object_store import find_object, list_objects, open_object
from hdap.fleet_data.ingest.source_files import sources_at
from hdap.fleet_data.store import Store

ROWS = pl.DataFrame(
    {
        "device_id": ["cam-1", "cam-1", "cam-2"],
        "model": ["resnet50"] * 3,
        "latency_ms": [10.0, 11.0, 20.5],
    }
)
CSV = ROWS.write_csv().encode()


def parquet(rows: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    rows.write_parquet(file)
    return file.getvalue()


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store.open(str(tmp_path / "t.db"))


@pytest.mark.parametrize(
    ("name", "data"),
    {
        "t.csv": CSV,
        "t.csv.gz": gzip.compress(CSV, mtime=0),
        "t.csv.zst": bytes(pa.compress(CSV, codec="zstd", asbytes=True)),
        "t.parquet": parquet(ROWS),
        "t.jsonl": ROWS.write_ndjson().encode(),
    }.items(),
)
def test_an_object_of_every_kind_is_read(
    objects: Any, empty: Store, name: str, data: bytes
) -> None:
    objects.put("one", {f"in/{name}": data})
    report = ingest(empty, f"s3://one/in/{name}")
    assert (report.added, report.rejected) == (3, {})
    assert ingest(empty, f"s3://one/in/{name}").added == 0


def test_a_prefix_is_its_objects_one_by_one(objects: Any, empty: Store) -> None:
    objects.put("lab", {"a/1.csv": CSV, "a/_log/2.csv": CSV, "a/t.csv.rejected.csv": CSV, "b": CSV})
    assert sources_at("s3://lab/a/") == ("s3://lab/a/1.csv",)
    with pytest.raises(InputError, match="no file to read in s3://lab/none/"):
        sources_at("s3://lab/none/")


def test_a_prefix_of_parquet_is_one_source_with_its_partitions(objects: Any, empty: Store) -> None:
    part = parquet(ROWS.drop("device_id"))
    objects.put("lake", {f"t/device_id=00{n}/0.parquet": part for n in (1, 2)})
    (source,) = sources_at("s3://lake/t/")
    assert ingest(empty, source).added == 6
    assert empty.devices().ids.tolist() == ["001", "002"]
    # a file alone says the same of its rows
    assert ingest(empty, "s3://lake/t/device_id=001/0.parquet").known == 3


def test_rejected_rows_are_listed_in_this_folder(objects: Any, empty: Store) -> None:
    objects.put("bad", {f"{x}/t.csv": CSV + b"cam-3,resnet50,-1\n" for x in "xy"})
    reports = [ingest(empty, f"s3://bad/{x}/t.csv") for x in "xy"]
    assert [report.added for report in reports] == [3, 0]
    one, other = (report.rejected_path for report in reports)
    assert one is not None
    assert other is not None
    assert one != other  # objects of one name, in one folder
    assert re.fullmatch(r"t\.csv\.[0-9a-f]{8}\.rejected\.csv", one.name)
    assert one.read_text() == other.read_text()


def test_a_large_object_is_read_in_parts_and_from_anywhere(objects: Any) -> None:
    data = bytes(range(256)) * 80_000
    objects.put("large", {"x": data})
    (found,) = list_objects("s3://large/")
    with open_object(found) as file:
        assert file.read() == data
        file.seek(-3, io.SEEK_END)
        assert file.read() == data[-3:]


def test_an_object_that_is_written_anew_while_it_is_read_is_refused(objects: Any) -> None:
    objects.put("anew", {"x": CSV})
    found = find_object("s3://anew/x")
    assert found is not None
    objects.put("anew", {"x": CSV + CSV})
    with open_object(found) as file, pytest.raises(InputError, match="was written anew"):
        file.read()


@pytest.mark.parametrize(
    ("url", "variables", "says"),
    [
        ("s3://nowhere/x/", {}, "must be in a bucket that is there, nowhere is not"),
        ("s3:///x", {}, "must name a bucket"),
        ("s3://one/x/", {"AWS_SECRET_ACCESS_KEY": "no"}, r"may not be read \(SignatureDoesNot"),
        ("s3://one/x/", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached, tried 4"),
        ("az://container/x/", {}, "needs credentials, .* AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_what_is_wrong_is_one_line(
    objects: Any,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    variables: dict[str, str],
    says: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    with pytest.raises(InputError, match=says) as refused:
        sources_at(url)
    assert "\n" not in str(refused.value)
    assert time.monotonic() - began < 65  # what a request may take, and not for ever


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.EXTRAS, "objects", ("not_installed_here",))
    with pytest.raises(InputError, match=r"pip install 'hdap\[objects\]'"):
        sources_at("s3://one/x/")
