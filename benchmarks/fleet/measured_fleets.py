"""The measured fleets as arrays, and what each of their devices really is."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.costs import memory_boundness
from hdap.fleet_data.records import Devices, Floats, Ints, Measurements, TextColumn

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
FLEETS = {
    "resnet50": ROOT / "hdap" / "data" / "microfleet-resnet50.csv.gz",
    "mobilenetv1_100": DATA / "microfleet-mobilenetv1.csv.gz",
    "rollout": ROOT / "hdap" / "data" / "rollout-resnet50.csv.gz",
    "int8": ROOT / "hdap" / "data" / "int8-resnet50.csv.gz",
    "int8-mobilenetv2": ROOT / "hdap" / "data" / "int8-mobilenetv2.csv.gz",
}
MICROFLEETS = ("resnet50", "mobilenetv1_100")
"""Each of one runtime, by the network that it ran."""
SEVERAL = ("rollout", "int8", "int8-mobilenetv2")
"""Each of several runtimes and precisions."""
TRUTHS = {
    "resnet50": DATA / "microfleet-resnet50.truth.csv",
    "mobilenetv1_100": DATA / "microfleet-mobilenetv1.truth.csv",
    "rollout": DATA / "rollout-resnet50.truth.csv",
    "int8": DATA / "int8.truth.csv",
    "int8-mobilenetv2": DATA / "int8.truth.csv",
}
CONTEXT = ("cpu_freq_mhz", "cpu_load_pct")
STATES = {
    "ort": ("onnxruntime 1.32", "float32"),
    "ov": ("openvino 2026.4", "float32"),
    "ovbf16": ("openvino 2026.4", "bfloat16"),
    "ncnn": ("ncnn 20261020", "float32"),
    "ort-throttled": ("onnxruntime 1.32", "float32"),
    "ov-int8": ("openvino 2026.4", "int8"),
    "litert-int8": ("litert 2.3", "int8"),
}
"""Runtime and precision of each kind of the fleets of several: what their devices would report."""


def traced(model: str) -> Architecture:
    """The architecture of a measured network, as it was traced."""
    return Architecture.from_json((DATA / f"{model}.architecture.json").read_text())


def read_rows(file: Path) -> Measurements:
    """A measured fleet as the store would give it, of one runtime whatever its rows say (see
    `with_software`)."""
    frame = pl.read_csv(file, schema_overrides={"channels": pl.String}).with_columns(
        pl.col("channels").fill_null(""),
        pl.col("timestamp").str.to_datetime(time_zone="UTC").dt.epoch("us") / 1e6,
    )
    ids, channels = (frame[name].unique(maintain_order=True) for name in ("device_id", "channels"))
    device = _positions(frame["device_id"], ids)
    return Measurements(
        devices=Devices(ids.to_numpy().astype(object), np.ones(len(ids))),
        models=(str(frame["model"][0]),) * len(channels),
        channels=tuple(channels),
        runtimes=("onnxruntime-cpu-1t",),
        device=device,
        configuration=_positions(frame["channels"], channels),
        runtime=np.zeros_like(device),
        batch_size=np.ones_like(device),
        latency_ms=_floats(frame, "latency_ms"),
        latency_p95_ms=_floats(frame, "latency_p95_ms"),
        runs=_floats(frame, "runs"),
        measured_at=frame["timestamp"].to_numpy(),
        context={name: _floats(frame, name) for name in CONTEXT if name in frame.columns},
    )


def true_kinds(name: str) -> dict[str, str]:
    """What each device of a measured fleet really is."""
    with TRUTHS[name].open() as file:
        return {row["device_id"]: row["kind"] for row in csv.DictReader(file)}


def read_fleet(name: str) -> tuple[Measurements, list[str]]:
    """A measured fleet without dates and runtime, and the true kind of each of its devices."""
    rows = read_rows(FLEETS[name])
    kinds = true_kinds(name)
    undated = replace(rows, runtimes=("",), measured_at=np.full(len(rows.device), np.nan))
    return undated, [kinds[one] for one in rows.devices.ids]


def with_software(measurements: Measurements, kinds: list[str]) -> Measurements:
    """The roll-out fleet's rows with the runtime and the precision that its devices would report,
    and a firmware that differs between devices by chance."""
    columns = [[STATES[kind][at] for kind in kinds] for at in (0, 1)]
    firmware = np.random.default_rng(0).integers(0, 3, len(kinds))
    columns.append([f"5.{number}" for number in firmware])
    runtime, precision, versions = (_text_column(c, measurements.device) for c in columns)
    return replace(
        measurements,
        runtimes=runtime.texts,
        runtime=runtime.codes,
        software={"precision": precision, "firmware": versions},
    )


def boundness(measurements: Measurements) -> Floats:
    """How memory-bound each configuration is, as a clustering of a stored model has it."""
    architecture = traced(measurements.models[0])
    parsed = parse_channels(architecture, list(measurements.channels))
    return memory_boundness(architecture, parsed.counts)


def _text_column(of_device: list[str], device: Ints) -> TextColumn:
    texts = ("", *sorted(set(of_device)))
    codes = np.array([texts.index(text) for text in of_device], dtype=np.int64)
    return TextColumn(codes[device], texts)


def _floats(frame: pl.DataFrame, name: str) -> Floats:
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    values: Floats = frame[name].cast(pl.Float64).to_numpy()
    return values


def _positions(column: pl.Series, values: pl.Series) -> Ints:
    return column.replace_strict(values, range(len(values)), return_dtype=pl.Int64).to_numpy()
