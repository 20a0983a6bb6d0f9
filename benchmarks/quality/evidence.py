"""What foretells accuracy after tuning, at equal predicted latency, on photographs?

    python -m benchmarks.quality.evidence [--work build/frontier] [--seeds 2] [--quick] [--redraw]
        [--out docs/pictures]

The dense networks of `benchmarks.quality.frontier` (trained here where the folder has none) are
pruned to one predicted latency of this machine in many ways: uniform, with a narrow or wide trunk,
early or late, drawn from near uniform to extreme, and found by searches that keep most of one proxy
or another. Each is tuned once through 10,000 images, as `hdap search --tunings` does it, and once
through 40,000 at a higher rate: the truth to foretell. The first table holds Kendall's tau between
each proxy and the truth (loss, and accuracy), and what the network that it puts first lacks of the
best; the second a model that was learned from a few short tunings, judged on the other networks.
`benchmarks.quality.proxies` prints the same of another data set, at equal FLOPs.

One process of one thread; stopped, it goes on where it was when started again with the same --work.
Writes quality-evidence.csv (a row a tuning) and .json (settings, command, machine); --redraw reads
the rows again. --quick tries in minutes whether it runs.
"""

import argparse
import os
import shlex
import shutil
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks.proof.whole_loop import machine
from benchmarks.quality.evidence_plan import QUICK, Place, Settings
from benchmarks.quality.evidence_rows import rows_of
from benchmarks.quality.evidence_training import Images, Tuner, jobs
from benchmarks.quality.evidence_widths import Point, varied
from benchmarks.quality.figures import tables
from benchmarks.quality.foretelling import foretold, learned, repeated
from benchmarks.quality.frontier_device import Rig
from benchmarks.quality.frontier_plan import Settings as FrontierSettings
from benchmarks.quality.frontier_plan import Work
from hdap.fleet_data.store import Store
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.workflows.fleet_artifacts import ensure_clustering

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def main() -> None:
    options = _options()
    settings = QUICK if options.quick else replace(Settings(), seeds=options.seeds)
    work = Work(options.work)
    out = options.out or (options.work if options.quick else PICTURES)
    file = out / "quality-evidence.csv"
    if not options.redraw:
        run(settings, work)
        out.mkdir(parents=True, exist_ok=True)
        rows_of(settings, work).write_csv(file, float_precision=6)
        shutil.copyfile(work.file("evidence/settings"), file.with_suffix(".json"))
    report(pl.read_csv(file))
    print(f"\nwritten: {file}, .json")


def run(settings: Settings, work: Work) -> None:
    """Whatever is left."""
    command = shlex.join(["python", "-m", "benchmarks.quality.evidence", *sys.argv[1:]])
    work.write("evidence/settings", {"command": command, **machine(), "settings": asdict(settings)})
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    torch.set_num_threads(1)
    images = Images.of(settings)
    for seed in range(settings.seeds):
        for network in settings.networks:
            gather(Place(network, seed), settings, work, images)


def report(rows: pl.DataFrame) -> None:
    """Print both tables."""
    with tables():
        print(f"\n{repeated(rows)}")
        print(f"\nKendall's tau with the loss after tuning, at equal latency\n{foretold(rows)}")
        print(f"\na model learned from a few short tunings\n{learned(rows)}")


def gather(place: Place, settings: Settings, work: Work, images: Images) -> None:
    """Whatever is left of a network and seed."""
    names = jobs(settings.configurations, settings.again)
    left = [job for job in names if not work.file(_name(place, *job)).exists()]
    if not left:
        return
    tuner = Tuner(place, settings, work, images)
    known = work.read(place.name) or prepare(tuner, settings, work)
    counts = list(known["counts"].values())
    for number, way in left:
        found = tuner.tuned(np.array(counts[number]), way)
        work.write(_name(place, number, way), found)
        say(f"{place.name}: {number} {way} {100 * found['accuracy']:.2f} %, {found['cpu_s']:.0f} s")


def prepare(tuner: Tuner, settings: Settings, work: Work) -> dict[str, Any]:
    """Choose the configurations, and note all that is known before any is tuned."""
    place = tuner.place
    folder = work.folder / "device" / place.network
    folder.mkdir(parents=True, exist_ok=True)
    with Store.open(f"sqlite:///{folder / 'hdap.db'}") as store:
        device = FrontierSettings(learned=settings.measured, seconds=settings.seconds)
        rig = Rig.open(place.network, work, device, store, say)
        fleet = FleetWeights.of(ensure_clustering(store, lambda _: None), store.devices())
        point = Point.at(settings.share, rig.architecture, rig.surrogate(), fleet)
        named = varied(point, dict(tuner.curves), settings.configurations, place.seed)
        predicted = {
            name: float(point.latency.predict(counts[None]).ms[0, 0])
            for name, counts in named.items()
        }
    content = {
        "counts": {name: counts.tolist() for name, counts in named.items()},
        "target_ms": point.target_ms,
        "predicted_ms": predicted,
        "dense": tuner.dense(),
        "curves": {name: [c.tolist() for c in own] for name, own in tuner.curves.items()},
        "sensitivity": [curve.tolist() for curve in tuner.sensitivity()],
    }
    work.write(place.name, content)
    return content


def say(message: str) -> None:
    """A line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def _name(place: Place, number: int, way: str) -> str:
    return f"{place.name}/{number:02d}-{way}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--work", type=Path, default=Path("build/frontier"), help="kept between runs")
    add("--seeds", type=int, default=Settings().seeds, help="more may be added later")
    add("--quick", action="store_true", help="tries whether it runs")
    add("--redraw", action="store_true", help="tables of the rows that are there")
    add("--out", type=Path, help="docs/pictures; of --quick the --work folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
