from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.store import Store
from hdap.simulation.fleet_folder import write_fleet
from hdap.simulation.presets import preset
from hdap.simulation.sinks import SINKS
from hdap.simulation.telemetry_stream import TelemetryPlan


@pytest.mark.parametrize("format", SINKS)
def test_an_ingest_takes_every_good_row_and_rejects_every_broken_one(
    format: str, tmp_path: Path, resnet: Architecture
) -> None:
    plan = TelemetryPlan(10, 20, 30, 8, broken_share=0.3)
    spec = preset("phones", 150, seed=4)
    report = write_fleet(tmp_path, spec, [resnet], plan, format)  # type: ignore[arg-type]
    with Store.open(f"sqlite:///{tmp_path}/fleet.db") as store:
        taken = ingest(store, report.telemetry, trace={resnet.model: resnet}.get)
    assert taken.rows == report.rows
    assert sum(taken.rejected.values()) == sum(report.broken.values())
    assert taken.added == report.rows - sum(report.broken.values())
    assert taken.new_devices == 150
    assert taken.configurations == 21
    assert taken.extra_columns == ("simulated",)


def test_rejects_name_the_column_that_was_broken(tmp_path: Path, resnet: Architecture) -> None:
    plan = TelemetryPlan(20, broken_share=0.3)
    report = write_fleet(tmp_path, preset("cameras", 100, seed=4), [resnet], plan, "csv")
    with Store.open(f"sqlite:///{tmp_path}/fleet.db") as store:
        taken = ingest(store, report.telemetry, trace={resnet.model: resnet}.get)
    assert taken.rejected_path is not None
    columns = pl.read_csv(taken.rejected_path)["column"].to_numpy()
    latencies = sum(count for name, count in report.broken.items() if name.endswith("latency"))
    assert np.sum(columns == "latency_ms") == latencies
