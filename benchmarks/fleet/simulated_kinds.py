"""Clusters of simulated fleets against their kinds, from small fleets to large ones.

    python -m benchmarks.fleet.simulated_kinds [--devices 300 3000 20000] [--seeds 2]

A row a preset of `hdap simulate` and number of devices, each of 20 dense rows and 1,000 of pruned
networks by 20 of them: clusters found, adjusted Rand index with the kinds and with the kinds cut
where their clock is throttled by another step (each is another latency function), stability, and by
how much devices of one cluster differ in speed. The least and the most over the seeds.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.fleet.measured_fleets import traced
from hdap.clustering.cluster_fleet import cluster
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.records import ClusteringRecord, Measurements
from hdap.fleet_data.store import Store
from hdap.simulation.fleet_folder import read_fleet, write_fleet
from hdap.simulation.presets import PRESETS, preset
from hdap.simulation.simulated_fleet import SimulatedFleet
from hdap.simulation.telemetry_stream import TelemetryPlan

NOW = datetime(2026, 11, 30, tzinfo=UTC)
SIZES = (300, 3_000, 20_000)
PLAN = TelemetryPlan(20, configurations=200, measuring_devices=20, measured_rows=50)
FIGURES = ("clusters", "index", "index of steps", "stability", "spread inside, %")


@dataclass(frozen=True)
class Found:
    """A fleet as it is, and as it was clustered."""

    fleet: SimulatedFleet
    clusters: ClusteringRecord

    def figures(self) -> tuple[float, ...]:
        """As `FIGURES` names them."""
        kind, cluster_of = self.fleet.kind, self.clusters.cluster
        steps = np.round(self.fleet.thermal.steady_level(self.fleet.load), 3)
        _, throttled = np.unique(np.stack([kind, steps]), axis=1, return_inverse=True)
        sizes = [each.devices for each in self.clusters.clusters]
        spread = np.average([each.spread for each in self.clusters.clusters], weights=sizes)
        return (
            len(sizes),
            adjusted_rand_score(kind, cluster_of),
            adjusted_rand_score(throttled, cluster_of),
            self.clusters.stability,
            100.0 * float(spread),
        )


def simulated(name: str, devices: int, seed: int) -> tuple[SimulatedFleet, Measurements]:
    """A fleet, and what came of it through its files and a store, in the order of its devices."""
    architecture = traced("resnet50")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        report = write_fleet(folder, preset(name, devices, seed), [architecture], PLAN, "parquet")
        with Store.open(f"sqlite:///{folder}/fleet.db") as store:
            ingest(store, report.telemetry, trace={architecture.model: architecture}.get)
            rows = store.measurements()
        return read_fleet(folder).find(tuple(rows.devices.ids)), rows


def clustered(name: str, devices: int, seeds: int) -> Iterator[Found]:
    """A fleet a seed."""
    for seed in range(seeds):
        fleet, rows = simulated(name, devices, seed)
        yield Found(fleet, cluster(rows, seed=seed, created_at=NOW, measurement_mark=0))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--devices", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    print(f"{'simulated fleet':<24}" + "".join(f"{name:>18}" for name in FIGURES))
    for name in PRESETS:
        for devices in options.devices:
            found = [each.figures() for each in clustered(name, devices, options.seeds)]
            cells = [
                f"{min(column):.3g} to {max(column):.3g}" for column in zip(*found, strict=True)
            ]
            print(f"{f'{name}, {devices:,}':<24}" + "".join(f"{c:>18}" for c in cells), flush=True)


if __name__ == "__main__":
    main()
