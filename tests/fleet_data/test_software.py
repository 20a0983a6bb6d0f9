"""Runtime, precision, threads and firmware: from a file into the store and back."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.ingest.key_cache import Trace
from hdap.fleet_data.ingest.row_hash import row_hashes, text_hash, with_software
from hdap.fleet_data.records import TextColumn
from hdap.fleet_data.software import (
    format_software,
    parse_software,
    same_runtimes,
    show_software,
)
from hdap.fleet_data.store import Store
from hdap.fleet_data.telemetry import SOFTWARE

TEXT = """device_id,model,latency_ms,runtime,precision,threads,firmware
a,m,1,ov,int8,4,v1
a,m,1,ov,float32,4,v1
b,m,2,ov,,,
b,m,3,,,2,"v2; ""x""\"
"""
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


def said(column: TextColumn) -> list[str]:
    return [column.texts[code] for code in column.codes]


def test_software_is_read_back_and_the_same_rows_add_nothing(
    store: Store, tracer: Trace, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    assert ingest(store, path, trace=tracer).added == 4
    assert ingest(store, path, trace=tracer).added == 0
    found = store.measurements()
    assert [found.runtimes[at] for at in found.runtime] == ["ov", "ov", "ov", ""]
    assert said(found.software["precision"]) == ["int8", "float32", "", ""]
    assert said(found.software["threads"]) == ["4", "4", "", "2"]
    assert said(found.software["firmware"]) == ["v1", "v1", "", 'v2; "x"']
    rows = store.query("SELECT runtime, precision, threads, firmware FROM telemetry").rows
    assert rows[0] == ("ov", "int8", 4, "v1")
    assert rows[3] == (None, None, 2, 'v2; "x"')
    newest = store.measurements(after_mark=store.measurement_mark() - 1)
    assert set(newest.software) == {"threads", "firmware"}


def test_what_is_no_number_of_threads_is_rejected(
    store: Store, tracer: Trace, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("device_id,model,latency_ms,threads\na,m,1,0\na,m,2,many\na,m,3,\n")
    report = ingest(store, path, trace=tracer)
    assert (report.added, sum(report.rejected.values())) == (1, 2)


def test_rows_of_one_file_without_software_keep_their_identity(
    store: Store, tracer: Trace, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("device_id,model,latency_ms\na,m,1\n")
    ingest(store, path, trace=tracer)
    path.write_text("device_id,model,latency_ms,firmware,threads\na,m,1,,\n")
    assert ingest(store, path, trace=tracer).added == 0


@given(st.integers(-(2**63), 2**63 - 1), TEXTS)
def test_a_stored_hash_gets_its_software_later(number: int, software: str) -> None:
    row = {"x": pl.Series([number], dtype=pl.Int64)}
    term = pl.Series([text_hash(software)], dtype=pl.UInt64)
    (before,), (after,) = row_hashes(row), row_hashes({**row, "software": term})
    assert with_software(int(before), software) == after


@given(st.dictionaries(st.sampled_from(SOFTWARE), TEXTS))
def test_software_is_one_text_and_that_text_the_same_software(known: dict[str, str]) -> None:
    text = format_software(dict(reversed(known.items())))
    assert text == format_software(known)
    assert parse_software(text) == known


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "unknown software"),
        ({"precision": "int8", "runtime": "ov 1"}, "ov 1, int8"),
        ({"threads": "2", "firmware": "7"}, "2 threads, firmware 7"),
    ],
)
def test_software_is_told_in_words(known: dict[str, str], words: str) -> None:
    assert show_software(format_software(known)) == words


@pytest.mark.parametrize(
    ("texts", "same"),
    [
        (["openvino 2026.4", "openvino-2026.4.1-cpu-1t"], [0, 0]),
        (["onnxruntime-cpu-1t", "ncnn", "ONNXRuntime-1.31.1-cpu-1t"], [0, 1, 0]),
        (["onnxruntime 1.3", "onnxruntime 1.32"], [0, 1]),
        (["onnxruntime 1.3", "onnxruntime-cuda 1.3"], [0, 1]),
        (["openvino", "openvino 2026.4", "openvino 2026.5"], [0, 1, 2]),
        (["TFLite 2.3", "litert-2.3.0-cpu-1t", "tensorflow-lite", "tf 2.3"], [0, 0, 0, 3]),
        (["ov 2", "ov-2-cpu-1t", "ov-2-cpu-4t"], [0, 1, 2]),
        ([], []),
    ],
)
def test_one_runtime_in_several_spellings_is_one(texts: list[str], same: list[int]) -> None:
    assert same_runtimes(texts) == same


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_text_names_some_runtime(texts: list[str]) -> None:
    same = same_runtimes(texts)
    assert all(texts[at] == text or same[at] == at for at, text in zip(same, texts, strict=True))
    assert all(at <= i for i, at in enumerate(same))


def test_rows_of_one_runtime_are_of_one_runtime_however_they_spell_it(
    store: Store, tracer: Trace, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("device_id,model,latency_ms,runtime\na,m,1,ov 2\na,m,2,ov-2.1-cpu-1t\nb,m,3,\n")
    ingest(store, path, trace=tracer)
    found = store.measurements()
    assert [found.runtimes[at] for at in found.runtime] == ["ov 2", "ov 2", ""]
    rows = store.query("SELECT runtime FROM telemetry").rows
    assert [row[0] for row in rows] == ["ov 2", "ov-2.1-cpu-1t", None]
