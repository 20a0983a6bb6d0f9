"""Every registered format of telemetry: the same rows, damaged files, pipes, and what is beside."""

import gzip
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest import check_source, ingest
from hdap.fleet_data.ingest.byte_source import open_source
from hdap.fleet_data.ingest.column_names import ColumnsProposed
from hdap.fleet_data.ingest.preview import preview
from hdap.fleet_data.ingest.readers.registry import READERS, reader_of
from hdap.fleet_data.ingest.readers.row_facts import NOTHING_SAID, RowFacts
from hdap.fleet_data.ingest.reading import AS_FOUND, SourceReading
from hdap.fleet_data.ingest.validate import Checker
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
SAMPLES = Path(__file__).parents[1] / "data" / "logs"
LOGS = {
    "benchmark-model": "benchmark_model.txt",
    "benchmark-app": "benchmark_app.txt",
    "benchncnn": "benchncnn.txt",
    "onnxruntime-profile": "onnxruntime_profile.json",
    "trtexec-times": "trtexec_times.json",
    "ai-hub-profile": "ai_hub_profile.json",
    "prometheus": "prometheus.json",
    "otlp": "otlp.json",
}
"""A sample in tests/data/logs of each log that is read."""


def test_every_format_has_its_case_here() -> None:
    assert set(READERS) == {*TABLES, *LOGS, "parquet-folder"}


def read(
    path: Path, facts: RowFacts = NOTHING_SAID, reading: SourceReading = AS_FOUND
) -> tuple[str, pl.DataFrame, pl.DataFrame]:
    """Which reader it was, the rows that pass the checks, and the rejects."""
    frames, rejects, checker = [], [], Checker(reading)
    with open_source(path) as source:
        reader = reader_of(source)
        for block in reader.blocks(source, facts, reading):
            checked = checker.check(block)
            frames.append(checked.frame.drop("row"))
            rejects.append(checked.rejects)
    name = next(name for name in READERS if READERS[name] is reader)
    rows = pl.concat(frames, how="diagonal") if frames else pl.DataFrame()
    return name, rows, pl.concat(rejects) if rejects else pl.DataFrame()


def refusal(path: Path, facts: RowFacts, reading: SourceReading = AS_FOUND) -> str | None:
    """Why a file is refused; None where it is read."""
    try:
        read(path, facts, reading)
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
    frame.lazy().sink_parquet(
        pl.PartitionBy(paths[-1], key="device_id", include_key=False), mkdir=True
    )
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
        whole, facts = (SAMPLES / LOGS[name]).read_bytes(), FACTS
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


def test_a_schema_that_polars_panics_at_is_refused_quietly(tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "t.avro"
    rows = pl.DataFrame({"device_id": ["d"], "model": ["m"], "latency_ms": [1.5]})
    path.write_bytes(_avro(rows).replace(b'"record"', b'"recurd"'))
    said = refusal(path, NOTHING_SAID)
    assert said == f"{path} must be whole Avro: not yet implemented: recurd"
    assert capfd.readouterr().err == ""


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


@pytest.mark.parametrize("odd", [r'{"\ud800": 1}', r'{"device_id": "\udfff"}'])
def test_a_line_of_half_a_character_is_a_reject(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"device_id": "a", "model": "m", "latency_ms": 1}\n' + odd + "\n[1]\n")
    _, rows, rejects = read(path)
    assert rows["latency_ms"].to_list() == [1.0]
    assert rejects["line"].to_list() == [2, 3]


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


THEIRS = {"serial": "cam-1", "network": "R50", "inference_us": 70500.0, "Threads": 4}
MEANT = {"serial": "device_id", "network": "model", "inference_us": "latency_ms"}
PAIRS = ("serial=device_id", "network=model", "inference_us=latency_ms")


def _theirs(folder: Path, name: str) -> Path:
    """A file of one row in names of its own."""
    rows = pl.DataFrame([THEIRS])
    if name == "parquet-folder":
        (folder / "fleet" / "serial=cam-1").mkdir(parents=True)
        rows.drop("serial").write_parquet(folder / "fleet" / "serial=cam-1" / "0.parquet")
        return folder / "fleet"
    path = folder / TABLES[name][0]
    path.write_bytes(TABLES[name][1](rows))
    return path


@pytest.mark.parametrize("name", [*TABLES, "parquet-folder"])
def test_names_of_its_own_are_read_in_every_table(tmp_path: Path, name: str) -> None:
    path = _theirs(tmp_path, name)
    with pytest.raises(ColumnsProposed, match="serial=device_id") as asked:
        check_source(path)
    assert (dict(asked.value.proposal.taken), asked.value.proposal.unit) == (
        MEANT | {"Threads": "threads"},
        "us",
    )
    first = preview(path, AS_FOUND)
    assert first is not None
    assert first.sample("device_id") == ("cam-1",)
    assert float(*first.sample("latency_ms")) == 70500
    for how in (SourceReading(agreed=True), SourceReading(MEANT)):
        reading = replace(how, models={"R50": "resnet50"})
        check_source(path, reading=reading)
        with Store.open(f"sqlite:///{tmp_path}/t.db") as store:
            report = ingest(store, path, reading=reading)
            assert set(report.columns_read) == {*PAIRS, "Threads=threads", "unit=us"}
            found = store.query("SELECT device_id, model, latency_ms, threads FROM telemetry")
            assert [tuple(row) for row in found.rows] == [("cam-1", "resnet50", 70.5, 4)]
    assert "must name a column" in str(
        refusal(path, NOTHING_SAID, SourceReading({"nothing": "runs"}))
    )


@pytest.mark.parametrize("name", LOGS)
def test_a_log_has_no_columns_to_map(name: str) -> None:
    path = SAMPLES / LOGS[name]
    said = str(refusal(path, FACTS, SourceReading(MEANT)))
    assert said.startswith(f"--map must name columns, but {path} is ")
    assert "\n" not in said
    assert preview(path, AS_FOUND) is None


def test_further_pieces_have_the_names_of_the_first(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("hdap.fleet_data.ingest.readers.json_lines._CHUNK_BYTES", 100)
    rows: list[dict[str, Any]] = [
        {"serial": "d", "network": "m", "duration": i} for i in range(1, 9)
    ]
    rows[6] |= {"inference": 99, "RUNS": 3}
    lines, fleet = tmp_path / "t.jsonl", tmp_path / "fleet"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fleet.mkdir()
    for at, row in enumerate(rows):
        pl.DataFrame([row]).write_parquet(fleet / f"{at}.parquet")
    for path in (lines, fleet):
        _, found, rejects = read(path, reading=SourceReading(agreed=True))
        # of the first file alone `inference` were the better name
        assert found["latency_ms"].to_list() == [1, 2, 3, 4, 5, 6, 7, 8]
        assert found["runs"].to_list() == [None] * 6 + [3, None]
        assert rejects.is_empty()


def test_a_folder_in_two_units_is_refused(tmp_path: Path) -> None:
    rows = pl.DataFrame([THEIRS])
    rows.write_parquet(tmp_path / "0.parquet")
    rows.rename(MEANT).write_parquet(tmp_path / "1.parquet")
    assert "their names say us first, and then ms: ingest them apart" in str(
        refusal(tmp_path, NOTHING_SAID, SourceReading(agreed=True))
    )


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


SAID = (
    *("device_id", "model", "latency_ms", "latency_p95_ms", "runs"),
    *("runtime", "precision", "threads", "batch_size"),
)
IN_LOGS: dict[str, list[tuple[Any, ...]]] = {
    "benchmark_model.txt": [
        ("cam-7", "resnet50", 141.253, 187.533, 50, "litert-cpu", "", 4, None),
    ],
    "benchmark_model_old.txt": [
        ("cam-7", "mobilenet_v1_1.0_224", 2950.34, None, 50, "litert-gpu", "", 2, None),
    ],
    "benchmark_app.txt": [("cam-7", "m", 95.27, None, 14820, "openvino-cpu", "float32", 36, 1)],
    "benchncnn.txt": [
        ("cam-7", "squeezenet", 13.62, None, 32, "ncnn-cpu", "", 2, None),
        ("cam-7", "squeezenet", 33.56, None, 32, "ncnn-cpu", "int8", 2, None),
        ("cam-7", "vgg16", 1540.79, None, 32, "ncnn-cpu", "int8", 2, None),
        ("cam-7", "resnet50", 115.64, None, 32, "ncnn-cpu", "", 2, None),
    ],
    "onnxruntime_profile.json": [
        ("cam-7", "m", 0.006, 0.0814, 5, "onnxruntime-cpu", "", None, None),
    ],
    "trtexec_times.json": [("cam-7", "m", 5.65, 5.83, 5, "tensorrt", "", None, None)],
    "ai_hub_profile.json": [("cam-7", "m", 3.81, 8.8434, 5, "qai-hub-npu", "", None, None)],
}
NAMELESS = {"benchmark_app.txt", *(name for name in IN_LOGS if name.endswith(".json"))}
"""Logs that do not say the model."""
COLLECTED = ("prometheus", "otlp")


@pytest.mark.parametrize("sample", IN_LOGS)
def test_a_log_says_latency_and_what_ran_it(sample: str) -> None:
    model = "m" if sample in NAMELESS else ""
    check_source(SAMPLES / sample, RowFacts("cam-7", model))
    _, rows, rejects = read(SAMPLES / sample, RowFacts("cam-7", model))
    for name in ("precision", "threads", "batch_size", "latency_p95_ms"):
        if name not in rows.columns:
            rows = rows.with_columns(pl.lit(None).alias(name))
    assert rows.select(SAID).rows() == IN_LOGS[sample]
    assert rejects.is_empty()


@pytest.mark.parametrize("sample", ["prometheus.json", "otlp.json"])
def test_samples_of_a_collector_are_rows_with_their_labels(sample: str) -> None:
    check_source(SAMPLES / sample)
    _, rows, _ = read(SAMPLES / sample)
    assert rows.select("device_id", "model", "latency_ms", "threads").rows() == [
        ("cam-1", "resnet50", 12.3, 4),
        ("cam-1", "resnet50", 13.1, 4),
        ("cam-2", "resnet50", 20.2, 4 if sample == "otlp.json" else 2),
    ]
    assert rows["timestamp"].to_list() == [
        1_767_225_600_000_000,
        1_767_225_660_500_000,
        1_767_225_600_000_000,
    ]


def test_labels_are_extra_columns_and_a_sample_that_is_no_number_a_reject() -> None:
    _, rows, rejects = read(SAMPLES / "prometheus.json")
    assert json.loads(rows["extra"][0]) == {"instance": "10.0.0.1:9100", "job": "cams"}
    assert rejects.select("line", "column").rows() == [(3, "latency_ms")]
    _, rows, _ = read(SAMPLES / "otlp.json")
    assert json.loads(rows["extra"][0]) == {"service.name": "camera"}


def test_requests_that_ran_at_once_are_kept() -> None:
    _, rows, _ = read(SAMPLES / "benchmark_app.txt", FACTS)
    assert json.loads(rows["extra"][0]) == {"infer_requests": "12"}


@pytest.mark.parametrize("name", [name for name in LOGS if name not in COLLECTED])
def test_what_a_log_does_not_say_is_named_in_one_line(name: str) -> None:
    said = refusal(SAMPLES / LOGS[name], NOTHING_SAID)
    assert said is not None
    assert "give --device-id" in said
    assert ("--model" in said) == (LOGS[name] in NAMELESS)
    assert "\n" not in said


def test_a_file_name_says_what_its_log_does_not(tmp_path: Path) -> None:
    data = (SAMPLES / "trtexec_times.json").read_bytes()
    path = tmp_path / "device_id=cam-7,model=resnet50@3x96x96,channels=conv1=8;conv2=4.json.gz"
    path.write_bytes(gzip.compress(data))
    for facts, device in ((NOTHING_SAID, "cam-7"), (RowFacts("cam-8"), "cam-8")):
        _, rows, _ = read(path, facts)
        assert rows.select("device_id", "model", "channels").rows() == [
            (device, "resnet50@3x96x96", "conv1=8;conv2=4")
        ]


def test_one_model_is_not_said_of_many_networks() -> None:
    assert "of 3 networks, so --model cannot" in str(refusal(SAMPLES / "benchncnn.txt", FACTS))


def test_two_runs_in_one_log_are_two_rows(tmp_path: Path) -> None:
    for name in ("benchmark_model.txt", "benchmark_app.txt"):
        text = (SAMPLES / name).read_text()
        path = tmp_path / name
        path.write_text(text.replace("36", "8") + text)
        _, rows, _ = read(path, FACTS)
        assert rows["threads"].to_list() == ([4, 4] if "model" in name else [8, 36])


def test_a_log_is_stored(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/t.db") as store:
        facts = RowFacts("cam-7", "resnet50", timestamp="2026-01-01T00:00:00Z")
        for added in (1, 0):
            assert ingest(store, SAMPLES / "benchmark_model.txt", facts=facts).added == added
        found = store.query("SELECT device_id, model, latency_ms, runtime, threads FROM telemetry")
        assert [tuple(row) for row in found.rows] == [
            ("cam-7", "resnet50", 141.253, "litert-cpu", 4)
        ]


def test_a_profile_of_onnx_runtime_as_it_is_installed_is_read(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out]
    )
    network = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    network.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "p")
    session = onnxruntime.InferenceSession(
        network.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    for _ in range(7):
        session.run(None, {"x": np.zeros(4, np.float32)})
    _, rows, _ = read(Path(session.end_profiling()), FACTS)
    assert rows.select("runs", "runtime").rows() == [(7, "onnxruntime-cpu")]


ODD: tuple[Any, ...] = (
    *(None, True, -1, 1e400, float("nan"), 2**70, "x", "9" * 30, [], {}, [[]], {"a": 1}, "\n"),
)


def _places(part: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every part of a document."""
    yield above
    if isinstance(part, dict | list):
        for key, below in part.items() if isinstance(part, dict) else enumerate(part):
            yield from _places(below, (*above, key))


def _put(part: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The document with another value in a place."""
    if not place:
        return value
    copy = part.copy()
    copy[place[0]] = _put(part[place[0]], place[1:], value)
    return copy


@pytest.mark.parametrize("name", [name for name in LOGS if LOGS[name].endswith(".json")])
def test_anything_in_the_place_of_a_part_is_read_or_refused_in_one_line(
    tmp_path: Path, name: str
) -> None:
    text = (SAMPLES / LOGS[name]).read_text()
    whole = json.loads(text.splitlines()[0] if name == "otlp" else text)
    places, rng = list(_places(whole)), random.Random(0)
    path = tmp_path / "t.json"
    for _ in range(300):
        path.write_text(json.dumps(_put(whole, rng.choice(places), rng.choice(ODD))))
        said = refusal(path, RowFacts("cam-7", "m"))
        assert said is None or (str(path) in said and "\n" not in said)
