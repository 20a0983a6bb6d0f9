"""The learning curve: how good each kind of surrogate becomes with how many measurements a cluster.

    python -m benchmarks.fleet.learning_curve [--seeds 8] [--redraw] [--out docs/pictures]

Both fleets are measured: every latency was timed on a device. A quarter of the configurations is
held out from all clusters; from each cluster at most so many measurements of pruned networks are
learned from (the dense rows that every device sends are always there). Figures are means over
clusters and seeds, weighted by held-out cells. `noise` is the error of a perfect model.
Also said: the error of one cluster that has only few rows of its own while the others have all.

Writes learning-curve.csv (the figures), .svg and .png; `--redraw` draws the figures that are there.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.fleet.learning_picture import draw
from benchmarks.fleet.measured_fleets import MICROFLEETS
from benchmarks.fleet.surrogates import fleet_data
from hdap.surrogate.models.registry import SURROGATES
from hdap.surrogate.training_data.training_cells import TrainingData
from hdap.surrogate.validation.cross_validation import Score
from hdap.surrogate.validation.learning_curve import newcomer_scores, scores_at

ALL = 10_000
SIZES = (5, 10, 20, 50, 120, ALL)
OWN = (0, 5, 10, 20, 50)
FIGURES = ("mape", "kendall_tau", "coverage", "noise_floor")
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--redraw", action="store_true", help="draw the figures that are there")
    parser.add_argument("--out", type=Path, default=PICTURES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "learning-curve.csv"
    if not options.redraw:
        frames = [curves(model, fleet_data(model), options.seeds) for model in MICROFLEETS]
        pl.concat(frames).write_csv(file, float_precision=5)
    figures = pl.read_csv(file)
    report(figures)
    draw(figures, options.out / "learning-curve")
    print(f"\nwritten: {file}, .svg, .png")


def curves(model: str, data: TrainingData, seeds: int) -> pl.DataFrame:
    """Figures of all kinds at all sizes, and of ours for newcomers (`fleet, newcomer`)."""
    rows: list[dict[str, float | str]] = []
    for size in SIZES:
        used = mean_rows(data, size)
        for name, kind in SURROGATES.items():
            scores = [scores_at(kind, data, size, seed) for seed in range(seeds)]
            rows.append(_row(model, name, size, used, scores))
            print(f"{model} {name} {size}: {100 * float(rows[-1]['mape']):.2f} %", flush=True)
    for own in OWN:
        scores = [newcomer_scores(SURROGATES["fleet"], data, own, seed) for seed in range(seeds)]
        rows.append(_row(model, "fleet, newcomer", own, float(own), scores))
    return pl.DataFrame(rows)


def mean_rows(data: TrainingData, size: int) -> float:
    """Measurements of pruned networks learned from, mean over clusters (a quarter is held out)."""
    rows = np.bincount(data.cluster[~data.dense], minlength=data.clusters)
    return float(np.minimum(0.75 * rows, size).mean())


def _row(
    model: str, kind: str, size: int, used: float, runs: list[tuple[Score, ...]]
) -> dict[str, float | str]:
    """Means over clusters and seeds; `mape_low` and `mape_high` the middle 80 % of seeds."""
    scores = [s for run in runs for s in run]
    weight = np.array([s.cells for s in scores], dtype=np.float64)
    row: dict[str, float | str] = {"model": model, "kind": kind, "size": size, "rows": used}
    for name in FIGURES:
        row[name] = _mean(np.array([getattr(s, name) for s in scores]), weight)
    each = [
        _mean(np.array([s.mape for s in run]), np.array([s.cells for s in run], dtype=np.float64))
        for run in runs
    ]
    row["mape_low"], row["mape_high"] = (float(np.quantile(each, q)) for q in (0.1, 0.9))
    row["seeds"] = len(runs)
    return row


def _mean(values: np.ndarray, weight: np.ndarray) -> float:
    known = np.isfinite(values)
    return float(np.average(values[known], weights=weight[known]))


def report(figures: pl.DataFrame) -> None:
    """The table, and where ours is worse than a base line."""
    print(f"{'':<34}{'MAPE':>8}{'tau':>8}{'coverage':>10}{'noise':>8}   (all latencies measured)")
    for row in figures.iter_rows(named=True):
        size = "all" if row["size"] == ALL else str(row["size"])
        print(
            f"{row['model']:<16} {row['kind']:<16}{size:>4}"
            f"{100 * row['mape']:>8.2f}{row['kendall_tau']:>8.3f}{100 * row['coverage']:>10.1f}"
            f"{100 * row['noise_floor']:>8.2f}"
        )
    ours = figures.filter(pl.col("kind") == "fleet")
    both = ours.join(figures.filter(pl.col("kind").is_in(list(SURROGATES))), on=["model", "size"])
    worse = both.filter(
        (pl.col("mape") > pl.col("mape_right"))
        | (pl.col("kendall_tau") < pl.col("kendall_tau_right"))
    )
    print("\nours is worse than a base line: " + ("nowhere" if worse.is_empty() else f"{worse}"))


if __name__ == "__main__":
    main()
