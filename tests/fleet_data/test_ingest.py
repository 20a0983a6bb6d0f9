"""Files into both databases: what lands, what is rejected and where, what is refused."""

import csv
import gzip
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.ingest import IngestReport, check_source, ingest
from hdap.fleet_data.ingest.key_cache import Trace
from hdap.fleet_data.store import Store

HEADER = "device_id,model,latency_ms,channels,timestamp,runs,battery_pct,weight,site"
GOOD = "d1,resnet50,12.5,,2026-01-01T00:00:00Z,3,50,1,x"

Load = Callable[..., IngestReport]


@pytest.fixture
def load(store: Store, tracer: Trace, tmp_path: Path) -> Load:
    def load(data: str | bytes, name: str = "t.csv", **options: Any) -> IngestReport:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return ingest(store, path, trace=tracer, **options)

    return load


def rejected(report: IngestReport) -> list[dict[str, str]]:
    assert report.rejected_path is not None
    with report.rejected_path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(store: Store) -> list[tuple[Any, ...]]:
    columns = "device_id, model, channels, timestamp, latency_ms, runs, battery_pct, extra, weight"
    return sorted(store.query(f"SELECT {columns} FROM telemetry").rows, key=repr)


@pytest.mark.parametrize("model", ["resnet50", "mobilenetv1_100"])
def test_a_measured_fleet_is_read_back_as_it_is(
    store: Store,
    architecture: Callable[[str], Any],
    measured: Callable[[str], Any],
    fleet_file: Callable[[str], Path],
    tracer: Any,
    model: str,
) -> None:
    tracer.known[model] = architecture(model)
    report = ingest(store, fleet_file(model), trace=tracer)
    found, expected = store.measurements(model), measured(model)
    assert report.added == report.rows == len(expected) == len(found)
    assert report.devices == report.new_devices == len(found.devices.ids)
    order = np.lexsort((found.device, found.measured_at))
    other = np.lexsort((expected.device, expected.measured_at))
    for name in ("latency_ms", "latency_p95_ms", "runs", "measured_at", "batch_size"):
        left, right = getattr(found, name)[order], getattr(expected, name)[other]
        single = float(np.finfo(np.float32).eps) if left.dtype == np.float32 else 0.0
        np.testing.assert_allclose(left, right, rtol=single, atol=1e-6)
    np.testing.assert_array_equal(
        found.devices.ids[found.device[order]], expected.devices.ids[expected.device[other]]
    )
    for at, to in zip(found.configuration[order], expected.configuration[other], strict=True):
        assert found.channels[at] == expected.channels[to]
    assert set(found.context) == set(expected.context)
    assert {found.runtimes[at] for at in found.runtime} == {"onnxruntime-cpu-1t"}


def test_dense_rows_need_no_tracer(load: Load, tracer: Any, store: Store) -> None:
    report = load(f"{HEADER}\n{GOOD}\n")
    assert tracer.asked == []
    assert report.undescribed_models == ("resnet50",)
    assert store.models() == ()


def test_rows_with_channels_store_the_architecture_once(
    load: Load, tracer: Any, store: Store
) -> None:
    load(f"{HEADER}\n{GOOD}\n")
    rows = "\n".join(f"d{i},resnet50,9,conv1={i + 1},,,,," for i in range(5))
    report = load(f"{HEADER}\n{rows}\n")
    assert (report.added, report.new_configurations) == (5, 5)
    assert tracer.asked == ["resnet50"]
    assert report.undescribed_models == ()
    assert store.architecture("resnet50").model == "resnet50"
    figures = store.query("SELECT flops IS NULL, count(*) FROM configurations GROUP BY 1").rows
    assert [tuple(map(int, row)) for row in figures] == [(0, 6)]
    load(f"{HEADER}\nd9,resnet50,9,conv1=20,,,,,\n")
    assert tracer.asked == ["resnet50"]


def test_the_same_configuration_written_differently_is_one(load: Load, store: Store) -> None:
    texts = ["layer1.0.conv1=5;conv1=3", " conv1=3 ; layer1.0.conv1=5", "", "conv1=64"]
    report = load(
        "\n".join([HEADER, *(f"d,resnet50,{i + 1},{t},,,,," for i, t in enumerate(texts))])
    )
    assert report.configurations == 2
    assert sorted(store.measurements().channels) == ["", "conv1=3;layer1.0.conv1=5"]


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\u2028", "\x0b"])
def test_a_line_break_in_channels_makes_no_other_network(
    load: Load, store: Store, inside: str
) -> None:
    report = load(f'{HEADER}\nd,resnet50,1,"conv1=56{inside}layer1.0.conv1=8",,,,,\n{GOOD}\n')
    assert (report.added, list(report.rejected.values())) == (1, [1])
    assert next(iter(report.rejected)).startswith("channels: must be one line of name=count")
    assert store.measurements().channels == ("",)


BAD_ROWS = {
    "device_id": (",resnet50,1,,,,,,", "device_id: must be text of at most 128 characters"),
    "long_id": (f"{'x' * 129},resnet50,1,,,,,,", "device_id: must be text"),
    "control": ("a\x01b,resnet50,1,,,,,,", "device_id: must be text"),
    "model": ("d,,1,,,,,,", "model: must be text"),
    "no_latency": ("d,resnet50,,,,,,,", "latency_ms: must be a finite number above 0"),
    "zero_latency": ("d,resnet50,0,,,,,,", "latency_ms: must be a finite number above 0"),
    "minus_latency": ("d,resnet50,-1,,,,,,", "latency_ms: must be"),
    "nan_latency": ("d,resnet50,nan,,,,,,", "latency_ms: must be"),
    "inf_latency": ("d,resnet50,inf,,,,,,", "latency_ms: must be"),
    "text_latency": ("d,resnet50,fast,,,,,,", "latency_ms: must be"),
    "time": ("d,resnet50,1,,yesterday,,,,", "timestamp: must be an ISO 8601"),
    "runs": ("d,resnet50,1,,,2.5,,,", "runs: must be a whole number from 1"),
    "battery": ("d,resnet50,1,,,,101,,", "battery_pct: must be a finite number from 0 up to 100"),
    "weight": ("d,resnet50,1,,,,,0,", "weight: must be a finite number above 0"),
    "name": ("d,resnet50,1,nope=3,,,,,", "channels: the model has no width group …"),
    "wide": ("d,resnet50,1,conv1=65,,,,,", "channels: the count of conv1 must be at most 64"),
    "narrow": ("d,resnet50,1,conv1=0,,,,,", "channels: the count of conv1 must be at least 1"),
    "coupled": (
        "d,resnet50,1,layer1.0.conv3=4;layer1.1.conv3=5,,,,,",
        "channels: layer1.0.conv3 must have the count of its width group's other layers",
    ),
    "unknown_model": ("d,other,1,conv1=3,,,,,", "channels: no architecture of other is stored"),
    "few_fields": ("d,resnet50,1", "row: the row must have 9 fields"),
    "many_fields": ("d,resnet50,1,,,,,,,,", "row: the row must have 9 fields"),
    "open_quote": ('"d,resnet50,1,,,,,,', "row: a quote is never closed"),
    "stray_quote": ('d"x",resnet50,1,,,,,,', "row: a quote stands in the middle of a field"),
    "nul": ("d\0,resnet50,1,,,,,,", "row: the line holds a NUL byte"),
    "return": ("d\rx,resnet50,1,,,,,,", "row: a carriage return stands inside the line"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_bad_row_is_named_with_its_line_and_stops_nothing(
    load: Load, store: Store, kind: str
) -> None:
    row, reason = BAD_ROWS[kind]
    after = GOOD.replace("d1", "d2")
    report = load(f"{HEADER}\n{GOOD}\n\n{row}\n{after}\n")
    assert (report.rows, report.added) == (3, 2)
    ((label, count),) = report.rejected.items()
    assert label.startswith(reason)
    assert count == 1
    (line,) = rejected(report)
    assert line["line"] == "4"
    assert (line["column"] or "row") == reason.split(":")[0]
    assert len(store.measurements()) == 2


def test_all_bad_rows_of_one_file_have_their_exact_lines(load: Load) -> None:
    lines, expected = [HEADER], []
    for row, _ in BAD_ROWS.values():
        lines += ["", GOOD, '"d\n4\n",resnet50,3,,,,,,"a ""b"""']
        lines.append(row)
        expected.append(sum(line.count("\n") + 1 for line in lines))
    report = load("\n".join(lines) + "\n")
    found = sorted(int(row["line"]) for row in rejected(report))
    multi = [line for line in found if line not in expected]
    assert set(expected) <= set(found)
    # a device id with line breaks in it is legal CSV but no legal device id
    assert len(multi) == len(BAD_ROWS)
    assert report.added == 1


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(
    load: Load, ending: str, last: bool, bom: str
) -> None:
    text = bom + ending.join([HEADER, GOOD, "", "d3,resnet50,bad,,,,,,"]) + (ending if last else "")
    report = load(text)
    assert (report.rows, report.added) == (2, 1)
    assert rejected(report)[0]["line"] == "4"


def test_quoted_fields_hold_commas_quotes_and_line_breaks(load: Load, store: Store) -> None:
    report = load(f'{HEADER}\n"d,1",resnet50,"2",,,,,,"say ""hi""\nthere"\n')
    assert report.added == 1
    ((device, extra),) = store.query("SELECT device_id, extra FROM telemetry").rows
    assert device == "d,1"
    assert extra == '{"site":"say \\"hi\\"\\nthere"}'


def test_a_store_knows_whether_it_holds_simulated_rows(load: Load, store: Store) -> None:
    assert not store.has_simulated()
    load("device_id,model,latency_ms,runtime\na,m,1.5,onnxruntime\n", "measured.csv")
    assert not store.has_simulated()
    load("device_id,model,latency_ms,runtime\na,m,1.5,simulated\n", "simulated.csv")
    assert store.has_simulated()


def test_unlisted_columns_are_kept_and_named(load: Load, store: Store) -> None:
    report = load("b,device_id,latency_ms,model,a\n1,d,2,m,\n,e,3,m,\n")
    assert report.extra_columns == ("b", "a")
    rows = store.query("SELECT extra FROM telemetry ORDER BY device_id").rows
    assert rows == (('{"b":"1","a":null}',), (None,))


def test_the_last_weight_of_a_device_counts(load: Load, store: Store) -> None:
    rows = [("a", "2"), ("b", ""), ("a", "3"), ("a", "")]
    load(HEADER + "".join(f"\n{d},m,{i + 1},,,,,{w}," for i, (d, w) in enumerate(rows)))
    fleet = store.devices()
    assert dict(zip(fleet.ids, fleet.weights, strict=True)) == {"a": 3.0, "b": 1.0}
    load(f"{HEADER}\nb,m,9,,,,,7,\n", name="u.csv")
    fleet = store.devices()
    assert dict(zip(fleet.ids, fleet.weights, strict=True)) == {"a": 3.0, "b": 7.0}


def test_times_without_a_zone_are_utc(load: Load, store: Store) -> None:
    times = ["2026-01-01T12:00:00", "2026-01-01 14:00+02:00", "20260101T120000Z", "2026-01-01"]
    load(HEADER + "".join(f"\nd,m,{i + 1},,{time},,,," for i, time in enumerate(times)))
    found = store.measurements().measured_at.tolist()
    assert found == [1767268800.0, 1767268800.0, 1767268800.0, 1767225600.0]


def test_what_is_unknown_comes_back_as_unknown(load: Load, store: Store) -> None:
    load("device_id,model,latency_ms,battery_pct,latency_p95_ms\na,m,1,,\nb,m,2,50,3\n")
    found = store.measurements()
    assert np.isnan(found.measured_at).all()
    assert (found.runs.tolist(), found.batch_size.tolist()) == ([1, 1], [1, 1])
    np.testing.assert_array_equal(found.context["battery_pct"], [np.nan, 50])
    np.testing.assert_array_equal(found.latency_p95_ms, [np.nan, 3])
    assert list(found.context) == ["battery_pct"]
    assert found.runtimes[found.runtime[0]] == ""


def test_loading_again_adds_nothing(load: Load, store: Store) -> None:
    text = f"{HEADER}\n{GOOD}\n{GOOD}\nd2,resnet50,3,conv1=5,,,,,\n"
    first = load(text)
    assert (first.added, first.known) == (2, 1)
    before, mark = contents(store), store.measurement_mark()
    again = load(text, name="copy.csv")
    assert (again.rows, again.added, again.known, again.new_devices) == (3, 0, 3, 0)
    assert (contents(store), store.measurement_mark()) == (before, mark)


ROWS = st.lists(
    st.builds(
        lambda device, channels, latency, runs: (
            f"{device},resnet50,{latency},{channels},,{runs},,,"
        ),
        st.sampled_from(["a", "b", "ü"]),
        st.sampled_from(["", "conv1=3", "layer1.0.conv1=2;conv1=3"]),
        st.sampled_from(["1", "2.5", "1e0"]),
        st.sampled_from(["", "1", "7"]),
    ),
    max_size=12,
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS, cut=st.integers(0, 12), overlap=st.integers(0, 5))
def test_overlapping_exports_hold_what_one_export_holds(
    new_url: Callable[[], str],
    tracer: Trace,
    tmp_path: Path,
    rows: list[str],
    cut: int,
    overlap: int,
) -> None:
    whole, first, second = (tmp_path / name for name in ("w.csv", "1.csv", "2.csv"))
    parts = ((whole, rows), (first, rows[: cut + overlap]), (second, rows[cut:]))
    for path, some in parts:
        path.write_text("\n".join([HEADER, *some]) + "\n", encoding="utf-8")
    with Store.open(new_url()) as one, Store.open(new_url()) as two:
        ingest(one, whole, trace=tracer)
        reports = [ingest(two, path, trace=tracer) for path in (first, second, first, whole)]
        assert contents(one) == contents(two)
        assert [report.added for report in reports[2:]] == [0, 0]


def test_formats_hold_the_same(
    new_url: Callable[[], str], tracer: Trace, tmp_path: Path, fleet_file: Any
) -> None:
    packed = fleet_file("resnet50")
    plain = tmp_path / "t.csv"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    frame = pl.read_csv(plain, try_parse_dates=True, schema_overrides={"channels": pl.String})
    parquet = tmp_path / "t.parquet"
    frame.with_columns(pl.col("model").cast(pl.Categorical)).write_parquet(parquet)
    found = []
    for path in (packed, plain, parquet):
        with Store.open(new_url()) as store:
            assert ingest(store, path, trace=tracer).added == 1440
            again = ingest(store, packed, trace=tracer)
            assert again.added == 0
            found.append(contents(store))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_is_read(
    store: Store, tracer: Trace, monkeypatch: Any, tmp_path: Path, packed: bool
) -> None:
    data = f"{HEADER}\n{GOOD}\nbad\n".encode()
    stream = io.BytesIO(gzip.compress(data) if packed else data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, int | None]] = []
    report = ingest(store, "-", trace=tracer, progress=lambda *at: seen.append(at))
    assert (report.added, report.source) == (1, "standard input")
    assert (tmp_path / "stdin.rejected.csv").exists()
    assert seen[-1] == (len(stream.getvalue()), None)


REFUSED: dict[str, tuple[bytes, str]] = {
    "t.csv": (b"", "must start with a header"),
    "missing.csv": (b"device_id,model\nd,m\n", "missing: latency_ms"),
    "named.csv": (b"deviceId,model,latency\n", "agree with --yes to --map deviceId=device_id"),
    "twice.csv": (b"device_id,model,latency_ms,model\n", "'model' again"),
    "utf16.csv": ("device_id,model,latency_ms".encode("utf-16"), "got UTF-16"),
    "utf16le.csv": ("device_id,model,latency_ms".encode("utf-16-le"), "NUL bytes"),
    "latin.csv": (b"device_id,model,latency_ms,g\xe4\n", "byte 0xe4 in line 1"),
    "old.csv": (b"device_id,model,latency_ms\rd,m,1\r", "bare CR"),
    "zip.csv": (b"PK\x03\x04rest", "a zip"),
    "t.csv.gz": (b"device_id,model,latency_ms\n", "called gzip"),
    "cut.csv.gz": (gzip.compress(b"device_id,model,latency_ms\n" * 99)[:-20], "damaged or cut"),
    "t.parquet": (b"device_id,model,latency_ms\n", "called Parquet"),
    "cut.parquet": (b"PAR1 and nothing", "whole Parquet"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_file_is_refused_whole_in_one_line(load: Load, store: Store, name: str) -> None:
    data, said = REFUSED[name]
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        load(data, name=name)
    assert "\n" not in str(refused.value)
    assert store.query("SELECT count(*) FROM ingests").rows == ((0,),)


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "cut.csv.gz"])
def test_a_wrong_header_is_seen_before_anything_is_loaded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(REFUSED[name][0])
    with pytest.raises(InputError, match=re.escape(REFUSED[name][1])):
        check_source(path)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        check_source(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a directory"):
        check_source(tmp_path)


def test_invalid_utf8_anywhere_refuses_the_file_with_its_line(load: Load, store: Store) -> None:
    rows = [GOOD.replace("d1", f"d{i}").encode() for i in range(1000)]
    rows[700] = rows[700].replace(b",x", b",\xff")
    with pytest.raises(InputError, match="byte 0xff in line 702"):
        load(b"\n".join([HEADER.encode(), *rows]))
    assert len(store.measurements()) == 0


def test_a_nested_parquet_column_is_refused(store: Store, tracer: Trace, tmp_path: Path) -> None:
    frame = pl.DataFrame({"device_id": ["d"], "model": ["m"], "latency_ms": [1.0], "a": [[1]]})
    frame.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="a is a"):
        ingest(store, tmp_path / "t.parquet", trace=tracer)


def test_rejected_rows_of_a_parquet_file_have_their_row_number(
    store: Store, tracer: Trace, tmp_path: Path
) -> None:
    frame = pl.DataFrame(
        {"device_id": ["d", None, "e"], "model": ["m"] * 3, "latency_ms": [1.0, 2.0, float("nan")]}
    )
    frame.write_parquet(tmp_path / "t.parquet")
    report = ingest(store, tmp_path / "t.parquet", trace=tracer)
    assert [row["line"] for row in rejected(report)] == ["2", "3"]


def test_the_file_of_rejects_goes_when_nothing_is_rejected_any_more(load: Load) -> None:
    path = load(f"{HEADER}\nbad\n").rejected_path
    assert path is not None
    assert path.name == "t.csv.rejected.csv"
    assert load(f"{HEADER}\n{GOOD}\n").rejected_path is None
    assert not path.exists()


def test_an_error_in_the_middle_leaves_nothing_behind(
    load: Load, store: Store, tmp_path: Path
) -> None:
    load(f"{HEADER}\n{GOOD}\n")
    before = contents(store)

    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(f"{HEADER}\nd7,resnet50,1,,,,,9,\nbad\n", progress=stop)
    assert contents(store) == before
    assert store.query("SELECT count(*) FROM ingests").rows == ((1,),)
    assert [path.name for path in tmp_path.iterdir() if "rejected" in path.name] == []


def test_progress_ends_at_the_size_of_the_file(load: Load, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    load(f"{HEADER}\n{GOOD}\n", progress=lambda *at: seen.append(at))
    size = (tmp_path / "t.csv").stat().st_size
    assert seen[-1] == (size, size)


def test_many_blocks_are_one_file(load: Load, store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr("hdap.fleet_data.ingest.csv_reader.BLOCK_BYTES", 100)
    rows = [f"d{i},resnet50,{i + 1},conv1={i % 5 + 1},,,,{i + 1}," for i in range(200)]
    rows[150] = '"d,\n150",resnet50,bad,,,,,,\nbad'
    report = load("\n".join([HEADER, *rows]))
    assert (report.rows, report.added, report.configurations) == (201, 199, 5)
    assert [row["line"] for row in rejected(report)] == ["152", "154"]
    assert store.devices().weights.max() == 200


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.one_of(st.binary(max_size=200), st.text('d,"\n\r\0é;=1', max_size=60).map(str.encode))
)
@example(data=b"\xef\xbb\xbf")
def test_hostile_files_give_a_report_or_an_error_of_ours(
    tmp_path_factory: Any, tracer: Trace, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "t.csv"
    path.write_bytes(b"device_id,model,latency_ms,channels\n" + data)
    with Store.open(str(folder / "t.db")) as store:
        try:
            report = ingest(store, path, trace=tracer)
        except HdapError:
            assert len(store.measurements()) == 0
        else:
            assert report.rows == report.added + report.known + sum(report.rejected.values())


def test_a_byte_order_mark_inside_a_file_is_a_character_of_its_row(load: Load) -> None:
    report = load(b"device_id,model,latency_ms\n\xef\xbb\xbfa,m,1\n\xef\xbb\xbf\n")
    assert (report.added, sum(report.rejected.values())) == (1, 1)
