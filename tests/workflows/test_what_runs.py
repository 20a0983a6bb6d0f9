"""What each device is to measure with, from what its telemetry says."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from benchmarks.fleet.measured_fleets import read_fleet, with_software
from hdap.fleet_data.software import DEFAULT_RUN_BY, RunBy, format_software
from hdap.search.planning.plan_bundles import PlannedBundle
from hdap.workflows.plan_measurements import rows_run_by
from hdap.workflows.what_runs import by_what_runs, what_runs


@dataclass
class Clustering:
    """What is asked of a clustering here."""

    device_ids: np.ndarray
    software: np.ndarray


def told(*columns: tuple[str, str, str]) -> Clustering:
    names = ("runtime", "precision", "threads")
    texts = [format_software(dict(zip(names, values, strict=True))) for values in columns]
    ids = [f"unit-{number}" for number in range(len(texts))]
    return Clustering(np.array(ids, dtype=object), np.array(texts, dtype=object))


@pytest.mark.parametrize(
    ("runtime", "precision", "threads", "name"),
    [
        ("", "", "", "onnxruntime-float32"),
        ("onnxruntime-1.31.1-cpu-1t", "float32", "", "onnxruntime-float32"),
        ("openvino 2026.4", "int8", "4", "openvino-int8-4t"),
        ("openvino-2026.4.1-cpu-2t", "bfloat16", "", "openvino-bfloat16-2t"),
        ("onnxruntime-1.31-cuda", "float32", "", "onnxruntime-float32-cuda"),
        ("OpenVINO 2026.4 GPU", "float16", "2", "openvino-float16-gpu-2t"),
        ("TFLite 2.16", "int8", "4", "litert-int8-4t"),
        ("simulated", "", "", "onnxruntime-float32"),
    ],
)
def test_a_device_measures_with_what_it_says(
    runtime: str, precision: str, threads: str, name: str
) -> None:
    said: list[str] = []
    found = what_runs(told((runtime, precision, threads)), ["unit-0"], said.append)  # type: ignore[arg-type]
    assert found["unit-0"].name == name
    assert said == []


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [("snpe 2.28", "int8"), ("torch", "int8"), ("onnxruntime-1.31-magic", "float32")],
)
def test_where_no_bundle_can_be_a_line_says_so_once_for_all(runtime: str, precision: str) -> None:
    said: list[str] = []
    clustering = told((runtime, precision, ""), (runtime, precision, ""))
    found = what_runs(clustering, ["unit-0", "unit-1"], said.append)  # type: ignore[arg-type]
    assert set(found.values()) == {DEFAULT_RUN_BY}
    (line,) = said
    assert line.startswith("2 devices (unit-0, unit-1) of ")


def test_everyday_rows_are_of_a_runtime_however_it_is_capitalised() -> None:
    told = with_software(*read_fleet("rollout"))
    wanted = RunBy("openvino", "bfloat16")
    rows = rows_run_by(told, wanted).device
    louder = replace(told, runtimes=tuple(text.upper() for text in told.runtimes))
    assert len(rows) > 0
    assert np.array_equal(rows_run_by(louder, wanted).device, rows)


def test_a_bundle_is_written_once_for_everything_that_its_devices_run() -> None:
    counts = np.ones((1, 3), dtype=np.int64)
    bundle = PlannedBundle("bundle-1", ("a", "b", "c"), counts, counts)
    run_by = {"a": RunBy("ncnn"), "b": DEFAULT_RUN_BY, "c": RunBy("ncnn")}
    found = by_what_runs([bundle], run_by)
    assert [(b.name, b.devices) for b in found] == [
        ("bundle-1-ncnn-float32", ("a", "c")),
        ("bundle-1-onnxruntime-float32", ("b",)),
    ]
    assert sum(b.measurements for b in found) == bundle.measurements
    alike = dict.fromkeys("abc", RunBy("ncnn"))
    assert [b.name for b in by_what_runs([bundle], alike)] == ["bundle-1"]
