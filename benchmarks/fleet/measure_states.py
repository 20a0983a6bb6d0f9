"""Measure a fleet of one label in six software states, two of them in int8.

    python -m benchmarks.fleet.measure_states --work build/int8 [--models resnet50,mobilenetv2_100]
        [--devices 4] [--seconds 0.25] [--quick] [--out build/int8]

One machine plays every device: a state is a runtime and a precision (ONNX Runtime, OpenVINO and
ncnn in float32, ONNX Runtime throttled to half a core, OpenVINO and LiteRT in int8), a device of it
a share of a core of its own (period 5 ms). Devices are emulated, latencies are not: every row is a
measurement of `measure.pyz` under that share. Each device measures the dense network in six
rounds, and one of three parts of 36 random pruned configurations, every third of them within 3 %
below a budget. A bundle a state, part and network; LiteRT needs HDAP_LITERT_PYTHON (see
docs/runtimes.md). Stopped, it goes on where it was.

Writes int8-fleet.csv.gz (the telemetry contract) and int8-fleet.truth.csv (what each device is).
--quick: two networks a part, to see that all of it runs.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.proof.conditions import Condition, Device, Quotas, measure_on
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Floats
from hdap.fleet_data.software import DEFAULT_RUN_BY, RunBy
from hdap.networks.loading import load_model
from hdap.networks.tracing import trace
from hdap.workflows.write_bundle import PlannedConfiguration, write_bundle

PARTS = 3
CONFIGURATIONS = 36
"""48 rows a state with four devices: about the 50 that the targets are stated for."""
ROUNDS = 6
RUNS = 5
"""Least inferences a measurement; --seconds bounds them from below as well."""
GRIDS, GRID_SHARES = (1, 4, 8, 16), (0.15, 0.2, 0.45, 0.2)
"""As in the other measured fleets."""
FLOPS = {"resnet50": (0.12, 0.54, 0.245), "mobilenetv2_100": (0.2, 0.8, 0.5)}
"""Least and most of the random ones and the budget, as shares of dense."""
NEAR = 0.03
NOMINAL_MHZ = 2600.0
KEPT = {
    "device_id": pl.String,
    "model": pl.String,
    "channels": pl.String,
    "latency_ms": pl.Float64,
    "timestamp": pl.String,
    "runs": pl.Int64,
    "runtime": pl.String,
    "precision": pl.String,
    "threads": pl.Int64,
}


@dataclass(frozen=True)
class State:
    """What devices of one kind run, and the share of a core that the first of them has."""

    name: str
    run_by: RunBy
    firmware: int
    quota: float = 1.0

    @property
    def bundles(self) -> str:
        """Devices that run the same files share them."""
        return self.made_for.name

    @property
    def made_for(self) -> RunBy:
        """OpenVINO reads the files of ONNX Runtime, except in int8."""
        return DEFAULT_RUN_BY if self.run_by == RunBy("openvino") else self.run_by


STATES = (
    State("ort", RunBy("onnxruntime"), 1),
    State("ort-throttled", RunBy("onnxruntime"), 1, 0.5),
    State("ncnn", RunBy("ncnn"), 1),
    State("ov", RunBy("openvino"), 1),
    State("ov-int8", RunBy("openvino", "int8"), 2),
    State("litert-int8", RunBy("litert", "int8"), 2),
)
SPREAD = 0.02
"""Each further device of a state has so much less of a core."""


@dataclass(frozen=True)
class Rig:
    """The work in a folder; each method does what is left of its part."""

    folder: Path
    quotas: Quotas
    configurations: int
    seconds: float

    def bundle(self, model: str, state: State, part: int | None) -> Path:
        """Dense alone (`part` None), or with a part of the configurations."""
        folder = self.folder / model / f"{state.bundles}-{'dense' if part is None else part}"
        if not folder.exists():
            architecture = trace(model)
            rows = random_networks(architecture, self.configurations)
            chosen = [] if part is None else rows[part::PARTS]
            plan = [PlannedConfiguration(tuple(row.tolist())) for row in chosen]
            module = load_model(model).module
            write_bundle(folder, architecture, module, plan, run_by=state.made_for)
            say(f"{folder.relative_to(self.folder)}: {len(plan)} networks")
        return folder

    def measure(self, device: Device, bundle: Path, more: list[str]) -> pl.DataFrame:
        """The rows of a bundle on a device."""
        options = ["--min-seconds", str(self.seconds), "--runs", str(RUNS), *more]
        out = measure_on(device, self.quotas, bundle, options, say)
        return pl.read_csv(out, schema_overrides={"channels": pl.String})


def main() -> None:
    options = _options()
    quotas = Quotas()
    if quotas.obstacle:
        sys.exit(f"devices are shares of a core, but {quotas.obstacle}")
    size = 2 * PARTS if options.quick else CONFIGURATIONS
    rig = Rig(options.work.absolute(), quotas, size, options.seconds)
    fleet = list(devices(options.devices))
    frames = [rows for model in options.models.split(",") for rows in measured(rig, model, fleet)]
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "int8-fleet.csv.gz"
    whole = pl.concat(frames).sort("timestamp")
    whole.write_csv(file, compression="gzip", float_precision=4)
    truth = [(device.name, state.name, device.quota) for state, device in fleet]
    columns = ("device_id", "kind", "quota")
    pl.DataFrame(truth, columns, orient="row").write_csv(options.out / "int8-fleet.truth.csv")
    print(f"{len(whole)} rows of {len(fleet)} devices: {file}")


def devices(each: int) -> Iterator[tuple[State, Device]]:
    """The fleet: names tell nothing."""
    for state in STATES:
        for number in range(each):
            name = "unit-" + hashlib.sha256(f"{state.name}{number}".encode()).hexdigest()[:6]
            quota = round(state.quota * (1.0 - SPREAD * number), 4)
            yield state, Device(name, Condition(state.name, state.quota), quota)


def measured(rig: Rig, model: str, fleet: list[tuple[State, Device]]) -> Iterator[pl.DataFrame]:
    """A network on all devices: dense, then each device's part, scaled to its own dense."""
    for number, (state, device) in enumerate(fleet):
        by = ["--runtime", state.run_by.runtime]
        rounds = [*by, "--rounds", str(ROUNDS)]
        dense = rig.measure(device, rig.bundle(model, state, None), rounds)
        baseline = [*by, "--baseline-ms", str(dense["latency_ms"].median())]
        pruned = rig.measure(device, rig.bundle(model, state, number % PARTS), baseline)
        for rows in (dense, pruned):
            yield rows.select(
                *(pl.col(name).cast(kind) for name, kind in KEPT.items()),
                firmware=pl.lit(state.firmware),
                cpu_freq_mhz=pl.lit(round(NOMINAL_MHZ * device.quota)),
            )


def random_networks(architecture: Architecture, count: int) -> list[Counts]:
    """Configurations drawn as for the other measured fleets; always the same."""
    rng = np.random.default_rng(0)
    dense = int(flops(architecture, architecture.widths[None])[0])
    least, most, budget = FLOPS[architecture.model]
    found = []
    for number in range(count):
        grid = int(rng.choice(GRIDS, p=GRID_SHARES))
        near = number // PARTS % PARTS == 0  # as many in each part
        aim = rng.uniform(1.0 - NEAR, 1.0) * budget if near else rng.uniform(least, most)
        shape = np.exp(rng.normal(0.0, 0.4, len(architecture.widths)))
        found.append(_scaled(architecture, shape, grid, aim * dense))
    return found


def _scaled(architecture: Architecture, shape: Floats, grid: int, most: float) -> Counts:
    """The widest network of that shape on the grid within so many FLOPs."""
    steps = np.lcm(architecture.multiples, grid)
    scales = np.linspace(0.02, 4.0, 4_000)[:, None]
    wanted = np.rint(scales * shape * architecture.widths / steps).astype(np.int64) * steps
    rows = np.minimum(np.maximum(wanted, steps), architecture.widths)
    within = np.flatnonzero(flops(architecture, rows) <= most)
    widest: Counts = rows[within[-1] if len(within) else 0]
    return widest


def say(message: str) -> None:
    """A line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/int8"), help="kept between runs")
    parser.add_argument("--models", default=",".join(FLOPS))
    parser.add_argument("--devices", type=int, default=4, help="of each state")
    parser.add_argument("--seconds", type=float, default=0.25, help="a measurement, at least")
    parser.add_argument("--quick", action="store_true", help="tries whether it runs")
    parser.add_argument("--out", type=Path, default=Path("build/int8"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
