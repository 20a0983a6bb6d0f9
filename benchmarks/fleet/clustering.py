"""Clusters against known truth, and the time for a large fleet.

    python -m benchmarks.fleet.clustering [--devices 100000] [--rows 20]

Prints the adjusted Rand index of every algorithm on the two measured fleets (outliers count with
the cluster that they are given), with and without context columns, on all rows and on the dense
rows alone, beside HDAP's own way: DBSCAN (eps 0.5, min_samples 5) on standardised repeated dense
latencies. Then the seconds and the memory for a simulated fleet; `--devices 1000000` is the target
of the design.
"""

import argparse
import csv
import dataclasses
import resource
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from hdap.clustering.algorithms.registry import ALGORITHMS
from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.records import Bools, Devices, Floats, Ints, Measurements

ROOT = Path(__file__).resolve().parents[2]
FLEETS = {
    "resnet50": ROOT / "hdap" / "data" / "microfleet-resnet50.csv.gz",
    "mobilenetv1_100": ROOT / "tests" / "data" / "microfleet-mobilenetv1.csv.gz",
}
TRUTHS = {
    "resnet50": ROOT / "tests" / "data" / "microfleet-resnet50.truth.csv",
    "mobilenetv1_100": ROOT / "tests" / "data" / "microfleet-mobilenetv1.truth.csv",
}
CONTEXT = ("cpu_freq_mhz", "cpu_load_pct")
NOW = datetime.now(UTC)


def read_fleet(model: str) -> tuple[Measurements, list[str]]:
    """The measured fleet of `model`, and the true kind of each of its devices."""
    frame = pl.read_csv(FLEETS[model], schema_overrides={"channels": pl.String})
    frame = frame.with_columns(pl.col("channels").fill_null(""))
    ids = frame["device_id"].unique(maintain_order=True)
    channels = frame["channels"].unique(maintain_order=True)
    device = _positions(frame["device_id"], ids)
    columns = {name: frame[name].cast(pl.Float64).to_numpy() for name in frame.columns[4:7]}
    zeros = np.zeros(len(frame), dtype=np.int64)
    measurements = Measurements(
        devices=Devices(ids.to_numpy().astype(object), np.ones(len(ids))),
        models=(model,) * len(channels),
        channels=tuple(channels),
        runtimes=("onnxruntime-cpu-1t",),
        device=device,
        configuration=_positions(frame["channels"], channels),
        runtime=zeros,
        batch_size=zeros + 1,
        measured_at=np.full(len(frame), np.nan),
        context={name: frame[name].cast(pl.Float64).to_numpy() for name in CONTEXT},
        **columns,
    )
    with TRUTHS[model].open() as file:
        kinds = {row["device_id"]: row["kind"] for row in csv.DictReader(file)}
    return measurements, [kinds[name] for name in ids]


def _positions(column: pl.Series, values: pl.Series) -> Ints:
    return column.replace_strict(values, range(len(values)), return_dtype=pl.Int64).to_numpy()


def only(measurements: Measurements, kept: Bools) -> Measurements:
    """The `kept` rows."""
    context = {name: column[kept] for name, column in measurements.context.items()}
    return dataclasses.replace(
        measurements,
        device=measurements.device[kept],
        configuration=measurements.configuration[kept],
        runtime=measurements.runtime[kept],
        batch_size=measurements.batch_size[kept],
        latency_ms=measurements.latency_ms[kept],
        latency_p95_ms=measurements.latency_p95_ms[kept],
        runs=measurements.runs[kept],
        measured_at=measurements.measured_at[kept],
        context=context,
    )


def hdap_way(measurements: Measurements) -> Ints:
    """Labels by HDAP: DBSCAN on repeated dense latencies, one column a repeat, standardised."""
    dense = only(measurements, measurements.dense)
    repeats = int(np.bincount(dense.device).min())
    order = np.argsort(dense.device, kind="stable")
    starts = np.searchsorted(dense.device[order], np.arange(len(dense.devices.ids)))
    table = dense.latency_ms[order][starts[:, None] + np.arange(repeats)]
    labels: Ints = DBSCAN(eps=0.5, min_samples=5).fit_predict(StandardScaler().fit_transform(table))
    return labels


def simulate(devices: int, rows: int, seed: int = 0) -> tuple[Measurements, Ints]:
    """A simulated fleet of five kinds (40, 30, 20, 9 and 1 %), and the kind of each device."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(5, devices, p=[0.40, 0.30, 0.20, 0.09, 0.01])
    offset = np.array([0.0, 0.10, 0.4, 0.8, 1.3])[kind] + rng.normal(0, 0.02, devices)
    clock = np.array([2500, 2480, 1700, 1200, 700])[kind] * np.exp(rng.normal(0, 0.02, devices))
    load = np.clip(np.array([40, 90, 40, 60, 40])[kind] + rng.normal(0, 4, devices), 0, 100)
    configurations = 200
    device = np.repeat(np.arange(devices), rows)
    pruned = rng.integers(1, configurations, devices * rows)
    configuration = np.where(rng.random(devices * rows) < 0.7, 0, pruned)
    effect = np.append(4.0, rng.normal(3.0, 0.4, configurations - 1))
    noise = 0.03 * rng.standard_t(4, devices * rows)
    latency = np.exp(effect[configuration] + offset[device] + noise)
    tail: Floats = np.exp(np.abs(rng.normal(0, 0.03, devices * rows)))
    measurements = Measurements(
        devices=Devices(np.arange(devices).astype(str).astype(object), np.ones(devices)),
        models=("resnet50",) * configurations,
        channels=("", *(f"conv1={i}" for i in range(1, configurations))),
        runtimes=("",),
        device=device,
        configuration=configuration,
        runtime=np.zeros(len(device), dtype=np.int64),
        batch_size=np.ones(len(device), dtype=np.int64),
        latency_ms=latency,
        latency_p95_ms=latency * tail,
        runs=rng.integers(1, 60, len(device)).astype(np.float64),
        measured_at=np.full(len(device), np.nan),
        context={"cpu_freq_mhz": clock[device], "cpu_load_pct": load[device]},
    )
    return measurements, kind


def print_accuracy() -> None:
    """Adjusted Rand index of every algorithm on every measured fleet."""
    print(f"{'fleet':<16} {'rows':<6} {'context':<8} {'way':<9} {'index':>6} {'K':>3} outliers")
    for model in FLEETS:
        everything, kinds = read_fleet(model)
        labels = hdap_way(everything)
        found = int(labels.max()) + 1
        index = adjusted_rand_score(kinds, labels)
        outliers = int(np.sum(labels < 0))
        print(
            f"{model:<16} {'dense':<6} {'no':<8} {'HDAP':<9} {index:6.2f} {found:3d} {outliers:3d}"
        )
        for rows in ("all", "dense"):
            part = everything if rows == "all" else only(everything, everything.dense)
            for context in ("yes", "no"):
                seen = part if context == "yes" else dataclasses.replace(part, context={})
                for name in ALGORITHMS:
                    print(_accuracy(model, rows, context, name, seen, kinds))


def _accuracy(
    model: str, rows: str, context: str, name: str, seen: Measurements, kinds: list[str]
) -> str:
    record = cluster(seen, algorithm=name, resamples=0, created_at=NOW, measurement_mark=0)
    index = adjusted_rand_score(kinds, record.cluster)
    found, outliers = len(record.clusters), int(record.outlier.sum())
    return f"{model:<16} {rows:<6} {context:<8} {name:<9} {index:6.2f} {found:3d} {outliers:3d}"


def print_speed(devices: int, rows: int) -> None:
    """Seconds and peak memory of a default clustering of a simulated fleet."""
    measurements, kinds = simulate(devices, rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started = time.perf_counter()
    record = cluster(measurements, created_at=NOW, measurement_mark=0)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    index = adjusted_rand_score(kinds, record.cluster)
    print(
        f"\nsimulated fleet: {devices:,} devices x {rows} rows: {seconds:.1f} s, peak "
        f"{peak:.2f} GiB (data and making them {before:.2f}); {len(record.clusters)} clusters, "
        f"{int(record.outlier.sum())} outliers, index {index:.3f}, "
        f"stability {record.stability:.2f}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=20)
    options = parser.parse_args()
    print_accuracy()
    print_speed(options.devices, options.rows)


if __name__ == "__main__":
    main()
