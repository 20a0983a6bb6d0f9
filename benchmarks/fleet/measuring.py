"""Do corrected latencies repeat when a competing load comes and goes?

    python -m benchmarks.fleet.measuring [--model mobilenetv1_100] [--configurations 3]
        [--sessions 5]

Measures a few configurations in several sessions. In the first session nothing else is started; in
the others a busy process, pinned to the core that measures, is switched on and off at random. Each
session runs on its own, as on a device that is asked again another day; the later ones are told the
baseline (the dense latency) of the first, as a bundle tells a device what its telemetry said.
Printed for each configuration, with the largest deviation from its median over sessions:

latency_raw_ms    median of the inferences, as any other tool gives it
latency_ms        corrected
own baseline      corrected, each session with the baseline that it found itself: load that never
                  pauses during a session then counts as a slower device
relative_latency  corrected, over the dense network
"""

import argparse
import csv
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from hdap.device.measure.protocol import SLICES
from hdap.device.measure.results_file import rescale
from hdap.fleet_data.architecture import Architecture
from hdap.networks.loading import load_model
from hdap.networks.tracing import trace
from hdap.workflows.write_bundle import PlannedConfiguration, run_measure, write_bundle

LONGEST_SWITCH = 6.0


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        architecture = trace(options.model)
        module = load_model(options.model).module
        write_bundle(folder, architecture, module, _plan(architecture, options.configurations))
        more = ["--min-seconds", str(options.min_seconds)]
        rows = [_session(folder, 0, loaded=False, more=more)]
        more += ["--baseline-ms", rows[0][0]["baseline_ms"]]
        for number in range(1, options.sessions):
            rows.append(_session(folder, number, loaded=True, more=more))
    _report(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="mobilenetv1_100")
    parser.add_argument("--configurations", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=5)
    parser.add_argument("--min-seconds", type=float, default=3.0)
    return parser.parse_args()


def _plan(architecture: Architecture, count: int) -> list[PlannedConfiguration]:
    rng = np.random.default_rng(0)
    planned = []
    for share in np.linspace(0.3, 0.9, count):
        spread = np.clip(share + rng.uniform(-0.15, 0.15, len(architecture.widths)), 0.1, 1)
        steps = np.lcm(architecture.multiples, 8)
        counts = np.maximum(steps, (spread * architecture.widths).astype(int) // steps * steps)
        planned.append(
            PlannedConfiguration(tuple(np.minimum(counts, architecture.widths).tolist()))
        )
    return planned


def _session(folder: Path, number: int, loaded: bool, more: Sequence[str]) -> list[dict[str, str]]:
    core = max(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    stop = multiprocessing.Event()
    rival = multiprocessing.Process(target=_come_and_go, args=(core, number, stop), daemon=True)
    os.sched_setaffinity(0, {core})
    out = folder / f"session-{number}.csv"
    if loaded:
        rival.start()
    try:
        status = run_measure(folder, ["--out", str(out), "--seed", str(number), *more])
    finally:
        os.sched_setaffinity(0, before)
        stop.set()
        if loaded:
            rival.join()
    if status:
        sys.exit(status)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    own = [dict(row) for row in rows]
    rescale(own)
    for row, rescaled in zip(rows, own, strict=True):
        row["own baseline"] = rescaled["latency_ms"]
    return rows


def _come_and_go(core: int, seed: int, stop: Event) -> None:
    """Busy on `core` for random times, idle for random times, until told to stop."""
    os.sched_setaffinity(0, {core})
    rng = random.Random(seed)
    while not stop.is_set():
        until = time.monotonic() + rng.uniform(0.5, LONGEST_SWITCH)
        while time.monotonic() < until and not stop.is_set():
            sum(range(10_000))
        stop.wait(rng.uniform(0.5, LONGEST_SWITCH))


def _report(sessions: Sequence[Sequence[dict[str, str]]]) -> None:
    by_channels: dict[str, list[dict[str, str]]] = defaultdict(list)
    for rows in sessions:
        for row in rows:
            by_channels[row["channels"]].append(row)
    marked = sum(bool(row["marked"]) for rows in sessions for row in rows)
    print(f"{len(sessions)} sessions, the first without the competing load; {marked} rows marked")
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"load average at the end {load} on {os.cpu_count()} cores")
    print("one column a session, then the largest deviation from their median")
    worst: dict[str, float] = defaultdict(float)
    for index, (channels, rows) in enumerate(by_channels.items()):
        for name in ("latency_raw_ms", "latency_ms", "own baseline", "relative_latency"):
            values = [float(row[name]) for row in rows]
            middle = statistics.median(values)
            deviation = max(abs(v / middle - 1) for v in values)
            worst[name] = max(worst[name], deviation)
            label = f"#{index} pruned" if channels else "dense"
            shown = " ".join(f"{v:8.3f}" for v in values)
            print(f"{label:10} {name:17} {shown}   {deviation:6.1%}")
    for name, value in worst.items():
        print(f"worst deviation, {name:17} {value:6.1%}")
    print(f"protocol: {SLICES} slices, reference between all of them")


if __name__ == "__main__":
    main()
