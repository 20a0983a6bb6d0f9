"""Held-out figures of every kind of surrogate on the measured fleets, by rows a cluster.

    python -m benchmarks.fleet.surrogates [--seeds 4] [--kinds fleet,roofline]

Figures are means over clusters and seeds, in percent but for Kendall's tau. `noise` is the error
that a perfect surrogate would show, from repeated rows (drift that all rows of a configuration
share is not in it). The last columns are the errors of single clusters.
"""

import argparse
import time
from datetime import UTC, datetime

import numpy as np

from benchmarks.fleet.measured_fleets import FLEETS, MICROFLEETS, read_rows, traced
from hdap.clustering.cluster_fleet import cluster
from hdap.surrogate.models.registry import SURROGATES
from hdap.surrogate.training_data.training_cells import TrainingData, training_data
from hdap.surrogate.validation.learning_curve import scores_at

SIZES = (20, 50, 120, 10_000)
BATCH = 2_000
HEADER = (
    f"{'kind':<16}{'rows':>6}{'MAPE':>9}{'tau':>9}{'coverage':>10}{'noise':>9}   MAPE by cluster"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--kinds", default=",".join(SURROGATES))
    options = parser.parse_args()
    for model in MICROFLEETS:
        data = fleet_data(model)
        print(
            f"\n{model}: {len(data):,} measurements, {data.clusters} clusters, "
            f"{len(data.designs) - 1} pruned configurations"
        )
        print(HEADER)
        for kind in options.kinds.split(","):
            for rows in SIZES:
                print(line(kind, data, rows, options.seeds), flush=True)
            print(f"{kind:<16}{speed(kind, data):>12,.0f} configurations a second")


def fleet_data(model: str) -> TrainingData:
    """A measured fleet as surrogates learn it, with the clustering that hdap finds."""
    measurements = read_rows(FLEETS[model])
    clustering = cluster(
        measurements, created_at=datetime.now(UTC), measurement_mark=0, resamples=2
    )
    return training_data(traced(model), measurements, clustering)


def line(kind: str, data: TrainingData, rows: int, seeds: int) -> str:
    """One line of the table: means over clusters and seeds."""
    scores = [s for seed in range(seeds) for s in scores_at(SURROGATES[kind], data, rows, seed)]
    columns = [
        np.array([getattr(s, name) for s in scores])
        for name in ("mape", "kendall_tau", "coverage", "noise_floor")
    ]
    weight = np.array([s.cells for s in scores])
    mape, tau, coverage, noise = (np.average(c, weights=weight) for c in columns)
    by_cluster = " ".join(
        f"{100 * np.mean([s.mape for s in scores if s.cluster == k]):5.1f}"
        for k in range(data.clusters)
    )
    size = "all" if rows == SIZES[-1] else str(rows)
    return (
        f"{kind:<16}{size:>6}{100 * mape:>9.2f}{tau:>9.3f}{100 * coverage:>10.1f}"
        f"{100 * noise:>9.2f}   {by_cluster}"
    )


def speed(kind: str, data: TrainingData) -> float:
    """Configurations a second, predicted for all clusters in batches as a search asks for them."""
    surrogate = SURROGATES[kind].fit(data)
    widths = data.architecture.widths
    counts = np.random.default_rng(0).integers(1, widths + 1, (10 * BATCH, len(widths)))
    surrogate.predict(counts[:BATCH])
    start = time.perf_counter()
    for first in range(0, len(counts), BATCH):
        surrogate.predict(counts[first : first + BATCH])
    return len(counts) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
