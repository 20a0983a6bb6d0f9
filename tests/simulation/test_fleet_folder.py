import csv
import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.simulation.breakage import BREAKAGES, break_rows, possible
from hdap.simulation.fleet_folder import read_fleet, write_fleet
from hdap.simulation.presets import preset
from hdap.simulation.simulated_fleet import draw_fleet
from hdap.simulation.sinks import SINKS
from hdap.simulation.telemetry_stream import TelemetryPlan

SPEC = preset("cameras", 120, seed=8)
PLAN = TelemetryPlan(rows_per_device=5, broken_share=0.2, batch_rows=200)


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()


@pytest.mark.parametrize("format", SINKS)
def test_all_rows_reach_the_file_and_the_same_call_writes_the_same(
    format: str, tmp_path: Path, mobilenet: Architecture
) -> None:
    first, second = (
        write_fleet(tmp_path / name, SPEC, [mobilenet], PLAN, format)  # type: ignore[arg-type]
        for name in ("a", "b")
    )
    assert first.rows == 600
    assert first.telemetry.read_bytes() == second.telemetry.read_bytes()
    assert first.truth.read_bytes() == second.truth.read_bytes()
    if format == "parquet":
        assert len(pl.read_parquet(first.telemetry)) == 600
    else:
        assert len(_lines(first.telemetry)) == 601


@pytest.mark.parametrize("format", SINKS)
def test_every_possible_breakage_occurs_and_is_counted(
    format: str, tmp_path: Path, resnet: Architecture
) -> None:
    plan = TelemetryPlan(rows_per_device=20, broken_share=0.5)
    report = write_fleet(tmp_path, SPEC, [resnet], plan, format)  # type: ignore[arg-type]
    assert set(report.broken) == set(possible(resnet, typed=format == "parquet"))
    assert 0.45 < sum(report.broken.values()) / report.rows < 0.55
    if format != "parquet":
        assert set(report.broken) == set(BREAKAGES)


def test_the_counted_rows_are_really_broken_and_no_others(
    tmp_path: Path, resnet: Architecture
) -> None:
    report = write_fleet(tmp_path, SPEC, [resnet], PLAN, "csv")
    rows = list(csv.DictReader(_lines(report.telemetry)))
    width = resnet.groups[0].width
    first = resnet.groups[0].name
    found = {
        "no-device": sum(r["device_id"] == "" for r in rows),
        "long-device": sum(len(r["device_id"]) > 128 for r in rows),
        "no-latency": sum(r["latency_ms"] == "" for r in rows),
        "wordy-latency": sum("ms" in r["latency_ms"] for r in rows),
        "comma-latency": sum("," in r["latency_ms"] for r in rows),
        "too-wide": sum(r["channels"] == f"{first}={width + 1}" for r in rows),
        "extra-field": sum(None in r for r in rows),
    }
    assert found == {name: report.broken[name] for name in found}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_breakage_changes_its_column_and_nothing_else(name: str, resnet: Architecture) -> None:
    kind = BREAKAGES[name]
    columns = ("device_id", "timestamp", "model", "channels", "latency_ms", "latency_p95_ms")
    more = ("runs", "batch_size", "runtime", "weight")
    rows = pl.DataFrame({c: ["ordinary"] * 3 for c in (*columns, *more)})
    broken = break_rows(rows, resnet, np.array([name] * 3))
    assert broken.drop(kind.column).equals(rows.drop(kind.column))
    assert broken[kind.column].to_list() == [kind.value(resnet)] * 3
    assert kind.value(resnet) != "ordinary"


def test_the_truth_file_is_the_fleet_and_can_be_drawn_again(
    tmp_path: Path, mobilenet: Architecture
) -> None:
    report = write_fleet(tmp_path, SPEC, [mobilenet], PLAN)
    truth = pl.read_csv(report.truth)
    fleet = draw_fleet(SPEC)
    again = read_fleet(tmp_path)
    assert truth["device_id"].to_list() == fleet.ids.tolist() == again.ids.tolist()
    names = [SPEC.kinds[k].name for k in fleet.kind]
    assert truth["kind"].to_list() == names
    assert np.allclose(truth["core_slowdown"], fleet.core, atol=1e-6)
    assert np.array_equal(fleet.core, again.core)
    assert {k: names.count(k) for k in report.kinds} == report.kinds


def test_everything_that_is_written_says_simulated(tmp_path: Path, mobilenet: Architecture) -> None:
    report = write_fleet(tmp_path, SPEC, [mobilenet], TelemetryPlan(rows_per_device=2))
    for path in (report.telemetry, report.truth):
        header, *lines = csv.reader(_lines(path))
        at = header.index("simulated")
        assert lines
        assert {line[at] for line in lines} == {"true"}
    assert json.loads(report.spec.read_text())["simulated"] is True
    assert report.simulated
    assert str(report).startswith("Simulated, not measured")


def test_timestamps_carry_their_zone(tmp_path: Path, mobilenet: Architecture) -> None:
    report = write_fleet(tmp_path, SPEC, [mobilenet], TelemetryPlan(rows_per_device=1), "csv")
    (stamp,) = pl.read_csv(report.telemetry)["timestamp"].str.slice(23).unique().to_list()
    assert stamp == "+00:00"


def test_progress_counts_to_the_expected_number_of_rows(
    tmp_path: Path, mobilenet: Architecture
) -> None:
    seen: list[tuple[int, int]] = []
    plan = TelemetryPlan(5, configurations=9, measuring_devices=7, measured_rows=4, batch_rows=200)
    write_fleet(
        tmp_path, SPEC, [mobilenet], plan, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (628, 628)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_an_unknown_format_and_a_strange_folder_are_refused(
    tmp_path: Path, mobilenet: Architecture
) -> None:
    with pytest.raises(InputError, match="xlsx"):
        write_fleet(tmp_path, SPEC, [mobilenet], PLAN, "xlsx")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="hdap simulate"):
        read_fleet(tmp_path)
