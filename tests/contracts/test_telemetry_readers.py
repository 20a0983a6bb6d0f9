"""Every registered format of telemetry: the same rows, damaged files, pipes, and what is beside."""

import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest import check_source, ingest
from hdap.fleet_data.ingest.byte_source import open_source
from hdap.fleet_data.ingest.readers.registry import READERS, reader_of
from hdap.fleet_data.ingest.readers.row_facts import NOTHING_SAID, RowFacts
from hdap.fleet_data.ingest.validate import check
from hdap.fleet_data.store import Store

Write = Callable[[pl.DataFrame], bytes]
FACTS = RowFacts("cam-7", "resnet50")


def _csv(rows: pl.DataFrame) -> bytes:
    return rows.write_csv().encode()


def _parquet(rows: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    rows.write_parquet(file)
    return file.getvalue()


def _avro(rows: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    rows.write_avro(file, compression="deflate")
    return file.getvalue()


def _json_lines(rows: pl.DataFrame) -> bytes:
    return rows.write_ndjson().encode()


TABLES: dict[str, tuple[str, Write]] = {
    "csv": ("t.csv", _csv),
    "parquet": ("t.parquet", _parquet),
    "avro": ("t.avro", _avro),
    "json-lines": ("t.jsonl", _json_lines),
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: bytes(pa.compress(data, codec="zstd", asbytes=True)),
}
LOGS: dict[str, str] = {}
"""Samples in tests/data/logs of each log that is read."""


def test_every_format_has_its_case_here() -> None:
    assert set(READERS) == {*TABLES, *LOGS, "parquet-folder"}


def read(path: Path, facts: RowFacts = NOTHING_SAID) -> tuple[str, pl.DataFrame, pl.DataFrame]:
    """Which reader it was, the rows that pass the checks, and the rejects."""
    frames, rejects = [], []
    with open_source(path) as source:
        reader = reader_of(source)
        for block in reader.blocks(source, facts):
            checked = check(block)
            frames.append(checked.frame.drop("row"))
            rejects.append(checked.rejects)
    name = next(name for name in READERS if READERS[name] is reader)
    rows = pl.concat(frames, how="diagonal") if frames else pl.DataFrame()
    return name, rows, pl.concat(rejects) if rejects else pl.DataFrame()


def refusal(path: Path, facts: RowFacts) -> str | None:
    """Why a file is refused; None where it is read."""
    try:
        read(path, facts)
    except InputError as error:
        return str(error)
    return None


TEXT = st.text("abcXYZ 0123456789.-_äµ", min_size=1, max_size=8).filter(lambda t: t.strip() != "")
ROW = st.fixed_dictionaries(
    {
        "device_id": TEXT,
        "model": st.sampled_from(["resnet50", "m:f"]),
        "latency_ms": st.floats(-1, 1e9, allow_nan=False),
        "runs": st.none() | st.integers(-1, 2**53),
        "temperature_c": st.none() | st.floats(-300, 1e3),
        "timestamp": st.none() | st.sampled_from(["2026-01-01T00:00:00Z", "2026-07-01T10:00:00.5"]),
        "site": st.none() | TEXT,
    }
)
SCHEMA = {
    "device_id": pl.String,
    "model": pl.String,
    "latency_ms": pl.Float64,
    "runs": pl.Int64,
    "temperature_c": pl.Float64,
    "timestamp": pl.String,
    "site": pl.String,
}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROW, min_size=1, max_size=20))
def test_the_same_rows_are_read_the_same_in_every_format(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    found = {}
    for wanted, (name, write) in TABLES.items():
        for ending, pack in PACKED.items():
            path = tmp_path / f"{name}{ending}"
            path.write_bytes(pack(write(frame)))
            check_source(path)
            reader, good, rejects = read(path)
            assert reader == wanted
            lines = rejects["line"] - (1 if wanted == "csv" else 0)
            found[path.name] = (good.rows(), lines.to_list(), rejects["column"].to_list())
    for name, each in found.items():
        assert each == found["t.csv"], name


def test_a_fleet_is_stored_the_same_from_every_format(
    tmp_path: Path, fleet_file: Any, architecture: Any
) -> None:
    frame = pl.read_csv(fleet_file("resnet50"), schema_overrides={"channels": pl.String})
    paths = []
    for name, write in TABLES.values():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(write(frame))
    paths.append(tmp_path / "folder")
    frame.write_parquet(pl.PartitionBy(paths[-1], key="device_id", include_key=False), mkdir=True)
    with Store.open(f"sqlite:///{tmp_path}/t.db") as store:
        for at, path in enumerate(paths):
            report = ingest(store, path, trace=lambda model: architecture("resnet50"))
            # a row is known by its content: each further format adds nothing
            assert (report.rows, report.added) == (1440, 0 if at else 1440)


@pytest.mark.parametrize("name", TABLES)
def test_a_pipe_is_read_too(tmp_path: Path, monkeypatch: Any, name: str) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    row = {"device_id": "d", "model": "m", "latency_ms": 1.5}
    for pack in PACKED.values():
        data = pack(TABLES[name][1](pl.DataFrame([row] * 3)))
        pipe = io.TextIOWrapper(io.BufferedReader(Pipe(data)))
        monkeypatch.setattr("sys.stdin", pipe)
        found, rows, _ = read(Path("-"))
        assert (found, rows["latency_ms"].to_list()) == (name, [1.5] * 3)
        assert not pipe.buffer.closed


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("name", [*TABLES, *LOGS])
def test_damaged_files_are_read_or_refused_in_one_line(
    tmp_path: Path, name: str, ending: str
) -> None:
    if name in TABLES:
        rows = pl.DataFrame(
            {"device_id": ["d", "e"] * 20, "model": ["m"] * 40, "latency_ms": [1.5, 2] * 20}
        )
        whole, facts = TABLES[name][1](rows), NOTHING_SAID
    else:
        whole, facts = Path("tests/data/logs", LOGS[name]).read_bytes(), FACTS
    whole = PACKED[ending](whole)
    rng = random.Random(0)
    path = tmp_path / f"t{ending}"
    for _ in range(60):
        data = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.5 else whole)
        for _ in range(rng.randrange(3)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        said = refusal(path, facts)
        assert said is None or (str(path) in said and "\n" not in said)


def test_lines_that_are_no_object_are_rejects_with_their_line(tmp_path: Path) -> None:
    good = '{"device_id": "d", "model": "m", "latency_ms": 1.5, "tags": {"a": [1]}}'
    lines = [good, "", "[1]", '{"device_id": ', "NaN", good.replace("1.5", '"2.5"'), '{"runs": 1}']
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(lines))
    _, rows, rejects = read(path)
    assert rows["latency_ms"].to_list() == [1.5, 2.5]
    assert json.loads(json.loads(rows["extra"][0])["tags"]) == {"a": [1]}
    assert sorted(rejects["line"]) == [3, 4, 5, 7]
    assert rejects.filter(pl.col("column") == "")["reason"].unique().to_list() == [
        "the line must be one JSON object"
    ]


def test_json_lines_may_gain_keys_on_the_way_and_are_read_in_pieces(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("hdap.fleet_data.ingest.readers.json_lines._CHUNK_BYTES", 100)
    rows: list[dict[str, Any]] = [
        {"device_id": "d", "model": "m", "latency_ms": i} for i in range(1, 9)
    ]
    rows[5]["runs"] = 3
    del rows[6]["latency_ms"]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, found, rejects = read(path)
    assert found["latency_ms"].to_list() == [1, 2, 3, 4, 5, 6, 8]
    assert found["runs"].to_list() == [None] * 5 + [3, None]
    assert rejects.select("line", "column").rows() == [(7, "latency_ms")]


def test_a_partitioned_folder_says_columns_as_text(tmp_path: Path) -> None:
    for device, model, value in (("007", "resnet50%403x96x96", 1.0), ("a%2Fb", "m", 2.0)):
        folder = tmp_path / "fleet" / f"device_id={device}" / f"model={model}"
        folder.mkdir(parents=True)
        pl.DataFrame({"latency_ms": [value, -1.0]}).write_parquet(folder / "part-0.parquet")
    (tmp_path / "fleet" / "_SUCCESS").touch()
    check_source(tmp_path / "fleet")
    _, rows, rejects = read(tmp_path / "fleet")
    assert rows.select("device_id", "model", "latency_ms").rows() == [
        ("007", "resnet50@3x96x96", 1.0),
        ("a/b", "m", 2.0),
    ]
    assert rejects["line"].to_list() == [2, 4]


def test_a_folder_with_something_else_in_it_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("device_id,model,latency_ms\n")
    with pytest.raises(InputError, match="is a directory, and must hold whole Parquet") as refused:
        check_source(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_table_needs_nothing_said_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("device_id,model,latency_ms\nd,m,1\n")
    with pytest.raises(InputError, match="leave --device-id, --model out"):
        check_source(path, FACTS)


def test_a_name_that_says_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.avro"
    path.write_bytes(b"device_id,model,latency_ms\nd,m,1\n")
    with pytest.raises(InputError, match="is called Avro but is none"):
        check_source(path)
