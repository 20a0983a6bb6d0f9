"""The `fleet` sampler against all base lines: equal evaluations, equal seconds, time to an answer.

    python -m benchmarks.search.compare [--quick] [--settings resnet50:measured,...] [--seeds 5]
    python -m benchmarks.search.compare --redraw        # the table and the picture that are there
    python -m benchmarks.search.compare --long 100  # the default answer against 100 times the time

All samplers get the same problem, the same repair into the FLOPs band and the same uniform pruning
to begin with; an evaluation is one configuration that the surrogates were asked about, by the
driver or inside a sampler. `ncs-hdap` is HDAP's search in HDAP's own setting, its answers judged as
all others are. A search's answer is its best feasible trial; it is worth what the problem minimises
(the predicted fleet mean with one standard deviation of doubt), or, on simulated fleets, the true
fleet mean. `gp` gets equal seconds and as many evaluations as it manages.

Writes search-time.csv (curves), search-table.csv, and the picture search-time.svg and .png.
"""

import argparse
from itertools import product
from pathlib import Path

import polars as pl

from benchmarks.search.picture import draw
from benchmarks.search.runs import HDAP, Curve, Task, run_all
from benchmarks.search.speed import show_long, show_speed
from benchmarks.search.table import curve_rows, print_table, table_rows
from hdap.search.samplers.registry import SAMPLERS

SETTINGS = (
    "resnet50:measured",
    "mobilenetv1_100:measured",
    "resnet50:microfleet",
    "resnet50:microfleet-law",
)
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def main() -> None:
    options = parsed()
    settings = options.settings.split(",")
    if options.long:
        for name in settings:
            show_long(name, options.step, options.long, options.processes)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    curves_file, table_file = (options.out / f"search-{x}.csv" for x in ("time", "table"))
    if not options.redraw:
        show_speed(settings[0], options.step)
        curves = searched(options)
        pl.DataFrame(curve_rows(curves)).write_csv(curves_file, float_precision=5)
        pl.DataFrame(table_rows(curves)).write_csv(table_file, float_precision=5)
    table = pl.read_csv(table_file)
    print_table(table)
    draw(pl.read_csv(curves_file), table, options.out / "search-time")
    print(f"\nwritten: {curves_file}, {table_file}, {curves_file.with_suffix('.png')}, .svg")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--settings", default=",".join(SETTINGS), help="MODEL:SOURCE,...")
    parser.add_argument("--step", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--samplers", default=",".join([*SAMPLERS, HDAP]))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 1.5 seconds")
    parser.add_argument("--redraw", action="store_true", help="draw the figures that are there")
    parser.add_argument(
        "--long", type=float, default=0.0, help="so many times the default search's seconds"
    )
    parser.add_argument("--out", type=Path, default=PICTURES)
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.seconds, options.evaluations = 2, 1.5, 300
    return options


def searched(options: argparse.Namespace) -> list[Curve]:
    """All runs; those of one setting and seed lie together, so that all meet the same machine."""
    names = product(options.settings.split(","), range(options.seeds), options.samplers.split(","))
    tasks = [
        Task(
            setting,
            options.step,
            sampler,
            seed,
            options.seconds,
            0 if sampler == "gp" else options.evaluations,
        )
        for setting, seed, sampler in names
    ]
    done: dict[Task, Curve] = {}
    for curve in run_all(tasks, options.processes):
        task = curve.task
        done[task] = curve
        print(
            f"{len(done)}/{len(tasks)} {task.setting} {task.sampler} seed {task.seed}: "
            f"{curve.after(curve.at_seconds, task.seconds):.3f} ms after {task.seconds:g} s, "
            f"{curve.scored:,} evaluations in {curve.seconds:.1f} s",
            flush=True,
        )
    return [done[task] for task in tasks]


if __name__ == "__main__":
    main()
