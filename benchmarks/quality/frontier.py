"""Accuracy at equal measured latency, on photographs: hdap beside what one would use instead.

    python -m benchmarks.quality.frontier [--work build/frontier] [--jobs 2] [--threads 1]
        [--seeds 3] [--networks fashion_resnet] [--shares 0.25 0.12 0.06] [--arms uniform hdap]
        [--ways tuned] [--quick] [--redraw] [--out docs/pictures] [--name frontier]

A ResNet and a MobileNetV2 of CIFAR's kind learn Fashion-MNIST (Debian's dataset-fashion-mnist).
This machine is the device: 60 configurations are measured with ONNX Runtime and surrogates fitted
to them. At each of three points every arm is brought to the latency of uniform pruning on its best
grid (1, 4, 8, 16, 32), measured between slices of the dense network: Torch-Pruning's global
magnitude and group norm (the best of three roundings), HALP's knapsack, HDAP's search in its own
setting, and hdap's three questions: its default floor (what the best uniform network keeps), 0.9 of
it, and the most importance within the latency. All are tuned by one recipe, and the same widths are
trained from scratch as long. A seed decides weights, order and searches; differences are paired
over seeds, with 95 % intervals (Student's t).

Trainings run in --jobs processes of --threads threads; measuring runs alone, between them. Stopped,
it goes on where it was when started again with the same --work: a JSON a training. Writes
frontier.csv, .svg, .png and .json (settings, command, machine); --redraw reads what is there.
--quick: 2,048 images, one seed and point, in minutes; its accuracies mean nothing.
"""

import argparse
import multiprocessing
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch

from benchmarks.proof.whole_loop import machine
from benchmarks.quality.frontier_device import Rig
from benchmarks.quality.frontier_picture import draw
from benchmarks.quality.frontier_plan import (
    ARMS,
    NETWORKS,
    QUICK,
    WAYS,
    Cell,
    Settings,
    Work,
)
from benchmarks.quality.frontier_table import missed, report, rows_of
from benchmarks.quality.frontier_training import run_cell
from benchmarks.quality.frontier_widths import choose_widths
from hdap.fleet_data.store import Store

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def main() -> None:
    options = _options()
    settings = replace(
        Settings(),
        seeds=options.seeds,
        networks=tuple(options.networks),
        shares=tuple(options.shares),
        arms=tuple(options.arms),
        ways=tuple(options.ways),
    )
    settings = QUICK if options.quick else settings
    work = Work(options.work)
    out = options.out or (options.work if options.quick else PICTURES)
    if not options.redraw:
        command = shlex.join(["python", "-m", "benchmarks.quality.frontier", *sys.argv[1:]])
        work.begin(settings, {"command": command, **machine()})
        torch.set_num_threads(options.threads)
        run(settings, work, options.jobs, options.threads)
    rows = rows_of(settings, work)
    out.mkdir(parents=True, exist_ok=True)
    file = out / options.name
    rows.write_csv(f"{file}.csv", float_precision=6)
    shutil.copyfile(work.file("settings"), f"{file}.json")
    rows = pl.read_csv(f"{file}.csv")
    print(f"{report(rows)}\n\n{missed(rows)}")
    draw(rows, file)
    print(f"written: {file}.csv, .json, .svg, .png")


def run(settings: Settings, work: Work, jobs: int, threads: int) -> None:
    """Whatever is left of the three stages: dense networks, widths, tunings."""
    seeds = range(settings.seeds)
    dense = [Cell(network, seed) for seed in seeds for network in settings.networks]
    train_all(dense, settings, work, jobs, threads)
    for network in settings.networks:
        find_widths(network, settings, work)
    cells = [
        Cell(network, seed, arm, point, way)
        for way in settings.ways
        for seed in seeds
        for network in settings.networks
        for point in range(len(settings.shares))
        for arm in settings.arms
    ]
    train_all(cells, settings, work, jobs, threads)


def train_all(
    cells: Sequence[Cell], settings: Settings, work: Work, jobs: int, threads: int
) -> None:
    """Train what has no result yet."""
    left = [cell for cell in cells if not work.file(f"trained/{cell.name}").exists()]
    if not left:
        return
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    began = time.monotonic()
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(run_cell, cell, settings, work, threads) for cell in left]
        try:
            for done, future in enumerate(as_completed(waiting), start=1):
                hours = (time.monotonic() - began) / done * (len(left) - done) / 3600
                say(f"{done} of {len(left)}, {hours:.1f} h left: {future.result()}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def find_widths(network: str, settings: Settings, work: Work) -> None:
    """Learn the device where that is not done, and choose what has not been chosen."""
    left = [
        seed for seed in range(settings.seeds) if not work.file(f"widths/{network}-{seed}").exists()
    ]
    if not left:
        return
    folder = work.folder / "device" / network
    folder.mkdir(parents=True, exist_ok=True)
    with Store.open(f"sqlite:///{folder / 'hdap.db'}") as store:
        rig = Rig.open(network, work, settings, store, say)
        for seed in left:
            choose_widths(rig, seed)


def say(message: str) -> None:
    """A line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--work", type=Path, default=Path("build/frontier"), help="kept between runs")
    add("--jobs", type=int, default=2, help="trainings at once")
    add("--threads", type=int, default=1, help="threads of each")
    add("--seeds", type=int, default=Settings().seeds, help="more may be added later")
    add("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="others may be added")
    add("--shares", nargs="+", type=float, default=Settings().shares, help="of FLOPs, the points")
    add("--arms", nargs="+", choices=ARMS, default=ARMS, help="uniform among them")
    add("--ways", nargs="+", choices=WAYS, default=WAYS, help="to train what an arm found")
    add("--quick", action="store_true", help="tries whether it runs")
    add("--redraw", action="store_true", help="tables and picture of what is there")
    add("--out", type=Path, help="docs/pictures; of --quick the --work folder")
    add("--name", default="frontier", help="of the files there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
