"""Fixtures that more than one folder of tests needs: measured fleets and architectures."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import Devices, Measurements

# Machines differ in speed: time is no property. On CI the same examples every time.
settings.register_profile("hdap", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("hdap")

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
FLEETS = {
    "resnet50": ROOT / "hdap" / "data" / "microfleet-resnet50.csv.gz",
    "mobilenetv1_100": DATA / "microfleet-mobilenetv1.csv.gz",
}
TRUTHS = {
    "resnet50": DATA / "microfleet-resnet50.truth.csv",
    "mobilenetv1_100": DATA / "microfleet-mobilenetv1.truth.csv",
}


@pytest.fixture(scope="session")
def fleet_file() -> Callable[[str], Path]:
    return FLEETS.__getitem__


@pytest.fixture(scope="session")
def architecture() -> Callable[[str], Architecture]:
    return lambda model: Architecture.from_json((DATA / f"{model}.architecture.json").read_text())


@pytest.fixture(scope="session")
def true_kinds() -> Callable[[str], dict[str, str]]:
    def read(model: str) -> dict[str, str]:
        with TRUTHS[model].open() as file:
            return {row["device_id"]: row["kind"] for row in csv.DictReader(file)}

    return read


@pytest.fixture(scope="session")
def measured() -> Callable[[str], Measurements]:
    return lambda model: _read_fleet(FLEETS[model], model)


def _read_fleet(path: Path, model: str) -> Measurements:
    frame = pl.read_csv(path, schema_overrides={"channels": pl.String}).with_columns(
        pl.col("channels").fill_null(""),
        pl.col("timestamp").str.to_datetime(time_zone="UTC").dt.epoch("us") / 1e6,
    )
    ids = frame["device_id"].unique(maintain_order=True)
    channels = frame["channels"].unique(maintain_order=True)
    positions = [
        frame[name].replace_strict(values, range(len(values)), return_dtype=pl.Int64).to_numpy()
        for name, values in (("device_id", ids), ("channels", channels))
    ]
    floats = {
        name: frame[name].cast(pl.Float64).to_numpy()
        for name in ("latency_ms", "latency_p95_ms", "runs", "cpu_freq_mhz", "cpu_load_pct")
    }
    zeros = positions[0] * 0
    return Measurements(
        devices=Devices(ids.to_numpy().astype(object), zeros[: len(ids)] + 1.0),
        models=(model,) * len(channels),
        channels=tuple(channels),
        runtimes=("onnxruntime-cpu-1t",),
        device=positions[0],
        configuration=positions[1],
        runtime=zeros,
        batch_size=zeros + 1,
        latency_ms=floats["latency_ms"],
        latency_p95_ms=floats["latency_p95_ms"],
        runs=floats["runs"],
        measured_at=frame["timestamp"].to_numpy(),
        context={name: floats[name] for name in ("cpu_freq_mhz", "cpu_load_pct")},
    )
