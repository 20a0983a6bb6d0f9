"""Latencies in another unit: of a device, of a file, of everything; and devices that are slow."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.reliability.attack import ROOT, Attack, Outcome, Tally, run_hdap
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.store import Store
from hdap.networks.tracing import trace
from hdap.simulation.presets import PRESETS, preset
from hdap.simulation.simulated_fleet import draw_fleet
from hdap.simulation.telemetry_stream import TelemetryPlan, simulate_telemetry

FLEET = ROOT / "hdap" / "data" / "microfleet-resnet50.csv.gz"
LATENCIES = ("latency_ms", "latency_p95_ms")
FACTORS = (60.0, 1e3, 6e4, 1e6)
UNITS = {1e3: "us", 1e-3: "s", 1e6: "ns", 1 / 6e4: "min"}
MEAN = "SELECT avg(latency_ms) AS mean FROM telemetry WHERE channels = ''"


def _fleet() -> pl.DataFrame:
    return pl.read_csv(FLEET, schema_overrides={"channels": pl.String})


def _times(frame: pl.DataFrame, device: str | None, factor: float) -> pl.DataFrame:
    wrong = pl.lit(True) if device is None else pl.col("device_id") == device
    return frame.with_columns(
        pl.when(wrong).then(pl.col(c) * factor).otherwise(pl.col(c)).alias(c) for c in LATENCIES
    )


def _mean(folder: Path, db: str) -> float:
    shown = run_hdap("sql", MEAN, "--db", db, "--csv", cwd=folder).out
    return float(shown.split()[-1])


def _told(folder: Path, db: str) -> tuple[float, float]:
    """The dense fleet mean and median of a search's answer."""
    words = ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "300", "--db", db)
    document = json.loads(run_hdap(*words, "--json", cwd=folder).out)
    dense = document["rows"][0]
    return dense["fleet_mean_ms"], dense["fleet_median_ms"]


def one_device(folder: Path, cases: int) -> Outcome:
    """Named, left out of the mean and the answer, and repaired by the command that is offered."""
    tally, frame = Tally(), _fleet()
    frame.write_csv(folder / "right.csv")
    device = str(frame["device_id"][0])
    _times(frame, device, 1e3).write_csv(folder / "wrong.csv")
    for name in ("right", "wrong"):
        ran = run_hdap("ingest", f"{name}.csv", "--db", f"{name}.db", cwd=folder)
        tally.add(ran.badly(code=0))
    said = " ".join(ran.shown.split())
    wanted = f"{device} looks like microseconds: 1,000x the fleet"
    tally.add("" if wanted in said else f"not named: {said[-300:]}")
    right, (mean, median) = _mean(folder, "right.db"), _told(folder, "wrong.db")
    tally.add("" if abs(mean / right - 1) < 0.1 else f"dense {mean} ms, without the device {right}")
    tally.add("" if median <= mean else f"median {median} above mean {mean}")
    status = run_hdap("status", "--db", "wrong.db", cwd=folder)
    tally.add(status.badly(code=0, says=wanted))
    offered = re.search(r"hdap (ingest wrong\.csv --unit \S+)", said)
    tally.add("" if offered else f"no repair is offered: {said[-300:]}")
    if offered:
        for _ in range(2):
            words = (*offered[1].split(), "--db", "wrong.db")
            tally.add(run_hdap(*words, cwd=folder).badly(code=0))
            now = _mean(folder, "wrong.db")
            tally.add("" if abs(now / right - 1) < 1e-6 else f"repaired to {now}, right is {right}")
    return tally.outcome()


def _known(folder: Path) -> Callable[[], Store]:
    """Makes stores that know the network, so that it is traced once."""
    architecture: Architecture = trace("resnet50")

    def make() -> Store:
        path = folder / "units.db"
        path.unlink(missing_ok=True)
        store = Store.open(str(path))
        store.save_architecture(architecture)
        return store

    return make


def every_factor(folder: Path, cases: int) -> Outcome:
    """Each device in turn by each factor, up and down."""
    tally, frame, make = Tally(), _fleet(), _known(folder)
    devices = frame["device_id"].unique(maintain_order=True).to_list()
    tries = [(d, f) for f in (*FACTORS, *(1 / f for f in FACTORS)) for d in devices]
    for device, factor in tries[:: max(1, len(tries) // max(cases // 20, 24))]:
        with make() as store:
            found = ingest(store, _times(frame, device, factor)).set_aside
            named = [(s.devices, round(np.log(s.factor), 6)) for s in found]
            right = [((device,), round(np.log(factor), 6))]
            tally.add("" if named == right else f"{device} times {factor:g}: {named}")
    return tally.outcome()


def a_whole_file(folder: Path, cases: int) -> Outcome:
    """Without a fleet by the architecture, with one by the fleet; repaired in one go."""
    tally, frame, make = Tally(), _fleet(), _known(folder)
    late = frame.with_columns("late-" + pl.col("device_id"))
    for factor, unit in UNITS.items():
        for before in (None, frame):
            if before is None and unit in ("ns", "min"):
                continue  # 70 ms in minutes is what some device may take in seconds
            with make() as store:
                if before is not None:
                    ingest(store, before)
                path = folder / f"{unit}.csv"
                _times(late, None, factor).write_csv(path)
                found = ingest(store, path).set_aside
                repair = [s.repair.split()[-1] for s in found]
                tally.add("" if repair == [unit] else f"a file in {unit}: {repair}")
                counted = len(store.measurements())
                expected = 0 if before is None else len(before)
                tally.add("" if counted == expected else f"{unit}: {counted} rows count")
    return tally.outcome()


def slow_for_real(folder: Path, cases: int) -> Outcome:
    """Fleets that throttle, age and hiccup, and devices 3 and 10 times as slow, stay whole."""
    tally, make = Tally(), _known(folder)
    with make() as store:
        architecture = store.architecture("resnet50")
    for name in PRESETS:
        for seed in range(max(2, cases // 500)):
            plan = TelemetryPlan(10, configurations=20, measuring_devices=10, measured_rows=10)
            fleet = draw_fleet(preset(name, 300, seed))
            frame = pl.concat(simulate_telemetry(fleet, [architecture], plan, seed))
            with make() as store:
                found = ingest(store, frame).set_aside
                tally.add("; ".join(f"{name}, seed {seed}: {s.says}" for s in found))
    frame = _fleet()
    for device in frame["device_id"].unique(maintain_order=True)[:8]:
        for factor in (1 / 3, 3.0, 10.0):
            with make() as store:
                found = ingest(store, _times(frame, str(device), factor)).set_aside
                tally.add("; ".join(f"{device} {factor:g}x: {s.says}" for s in found))
    return tally.outcome()


ATTACKS = (
    Attack("one device in microseconds", one_device),
    Attack("every factor of every device", every_factor),
    Attack("a whole file in another unit", a_whole_file),
    Attack("devices that are slow for real", slow_for_real),
)
