"""Which number known before fine-tuning foretells the accuracy after it, at equal FLOPs?

    python -m benchmarks.quality.proxies [--seeds 5] [--drawn 40] [--quick] [--redraw] [--out DIR]

A small residual and a small MobileNet-like network learn scikit-learn's handwritten digits, made
hard (300 images to learn from; all shifted and noisy), and are pruned to equal FLOPs (a band of
3 %) in many ways: drawn from near uniform to extreme, and found by the search with one floor or
another. Every one is fine-tuned shortly by the same recipe. A seed decides data, weights and what
is drawn; figures are means over seeds with 95 % intervals (Student's t).

The first table says how much larger the spread between configurations is than the noise between
fine-tuning seeds. The second holds Kendall's tau between each proxy and the cross-entropy (and the
accuracy, which is coarser) after fine-tuning, and what the network that a proxy puts first lacks of
the best; the third the same of a model that was learned from a few fine-tunings. The others compare
what the search finds with uniform pruning, paired over seeds; their latencies are those of a
simulated fleet. `benchmarks.quality.evidence` asks the same at equal latency, on photographs.

Writes quality-proxies.csv (a row a fine-tuning), .svg and .png; `--redraw` reads the rows again.
"""

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import polars as pl

from benchmarks.quality.cell import BUDGETS, Cell, run_cell
from benchmarks.quality.figures import (
    against_uniform,
    equally_fast,
    rule_effect,
    spreads,
    tables,
)
from benchmarks.quality.foretelling import foretold, learned
from benchmarks.quality.picture import draw
from benchmarks.quality.search import FLOORS

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
PROCESSES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--drawn", type=int, default=40, help="configurations a network and seed")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 8 configurations")
    parser.add_argument("--redraw", action="store_true", help="use the rows that are there")
    parser.add_argument("--out", type=Path, default=PICTURES)
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.drawn = 2, 8
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "quality-proxies.csv"
    if not options.redraw:
        cells = [Cell(n, s, options.drawn) for s in range(options.seeds) for n in BUDGETS]
        measure(cells, file)
    rows = pl.read_csv(file)
    report(rows)
    draw(rows, options.out / "quality-proxies")
    print(f"\nwritten: {file}, .svg, .png")


def measure(cells: Sequence[Cell], file: Path) -> None:
    """Run all cells; the file holds what is done at any time."""
    # One thread each: two processes share two cores without getting in each other's way.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    frames: list[pl.DataFrame] = []
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        for cell, rows in zip(cells, pool.map(run_cell, cells), strict=True):
            frames.append(pl.DataFrame(rows, infer_schema_length=None))
            pl.concat(frames).write_csv(file, float_precision=5)
            print(f"{cell.network}, seed {cell.seed}: {len(rows)} fine-tunings", flush=True)


def report(rows: pl.DataFrame) -> None:
    """Print all tables."""
    with tables():
        print(f"\nhow hard the ranking is\n{spreads(rows)}")
        print(f"\nKendall's tau with the loss after fine-tuning\n{foretold(rows)}")
        print(f"\na model learned from a few fine-tunings\n{learned(rows)}")
        print(f"\nagainst uniform pruning at equal FLOPs, paired\n{against_uniform(rows)}")
        print(f"\nother floors against {FLOORS[0]} at equal latency, paired\n{equally_fast(rows)}")
        print(f"\nleast width (half of uniform's) against none, paired\n{rule_effect(rows)}")


if __name__ == "__main__":
    main()
