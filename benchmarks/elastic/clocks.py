"""Steady speed under changing clocks, and how far apart operating points lie; all measured.

    python -m benchmarks.elastic.clocks --work /tmp/elastic            (about 5 min on 2 cores)
    python -m benchmarks.elastic.clocks --model mobilenetv1_100 --seconds 3 --work /tmp/elastic-m

A quota of the cgroup CPU controller plays the clock: at 40 % of a core an inference takes 2.5 times
as long. The dense network, the one fixed pruned network that meets the target at the slowest clock,
and levels of one elastic network under the controller run through the same staircase of clocks;
once the controller is told the clock, once it has nothing but its own latencies. Then every level
is timed with every number of threads at every clock.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.elastic.clocks_picture import draw
from benchmarks.elastic.networks import write_networks
from benchmarks.proof.conditions import Quotas

STAIRCASE = (1.0, 0.8, 0.6, 0.5, 0.4, 0.5, 0.6, 0.8, 1.0)
RANGE_CLOCKS = (0.4, 0.7, 1.0)
PERIOD_US = 10_000
"""A tenth of an inference of ResNet-50, so that a quota acts like a clock; the kernel
does not keep shorter ones exactly."""
NARROWEST = 0.125
SETTLING_S = 0.5
"""After a change of clock; the time line shows it, the spread is of what follows."""
STEADY, WANTED_RANGE = 1.15, 41.6


def main() -> None:
    """Measure, print both tables and draw the picture."""
    asked = _arguments()
    quotas = Quotas()
    if quotas.obstacle:
        sys.exit(f"a CPU quota must be possible here: {quotas.obstacle}; run as root")
    asked.work.mkdir(parents=True, exist_ok=True)
    ratios = [NARROWEST, *np.geomspace(asked.least, 1.0, asked.levels).tolist()]
    flops = write_networks(asked.work / "levels", asked.model, ratios)
    bench = Bench(asked.work, quotas, asked.seconds)
    line, target = staircase(bench, len(ratios))
    reach = reach_of(bench, len(ratios))
    spread = _spread(line)
    _print(asked.model, flops, target, spread, reach)
    line.write_csv(asked.out.with_suffix(".csv"))
    draw(asked.model, target, line, spread, asked.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="See the text at the top of this file.")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--work", type=Path, required=True, help="networks stay here")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/elastic-clocks"))
    parser.add_argument("--seconds", type=float, default=5.0, help="at each clock")
    parser.add_argument("--levels", type=int, default=10)
    parser.add_argument("--least", type=float, default=0.5, help="width of the level for 40 %%")
    return parser.parse_args()


class Bench:
    """Starts workers under quotas."""

    def __init__(self, work: Path, quotas: Quotas, seconds: float) -> None:
        self.work, self.quotas, self.seconds = work, quotas, seconds
        self.cores = sorted(os.sched_getaffinity(0))

    def profile(self, clock: float, threads: int, levels: list[int]) -> list[float]:
        """Latency (ms) of levels at one clock."""
        job = {"kind": "profile", "levels": levels, "seconds": max(self.seconds / 5, 0.3)}
        with self.group(clock, threads) as procs, self.worker(job, threads, procs) as process:
            process.wait()
        return list(json.loads(self.out.read_text()))

    @property
    def out(self) -> Path:
        """Where a worker leaves its result."""
        return self.work / "result.json"

    @contextmanager
    def group(self, clock: float, threads: int = 1) -> Iterator[Path]:
        """A group with `clock` of each of so many cores."""
        with self.quotas.group(clock * threads) as procs:
            if (period := procs.parent / "cpu.cfs_period_us").exists():
                period.write_text(str(PERIOD_US))
            set_clock(procs, clock * threads)
            yield procs

    @contextmanager
    def worker(
        self, job: dict[str, Any], threads: int, procs: Path
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A worker in the group; its failure is ours."""
        job = job | {"threads": threads, "cores": self.cores[:threads]}
        script = Path(__file__).with_name("worker.py")
        command = [sys.executable, script, self.work / "levels", self.out, json.dumps(job)]
        process = subprocess.Popen([str(part) for part in command])
        procs.write_text(str(process.pid))
        try:
            yield process
            if process.wait() != 0:
                sys.exit("a worker failed")
        finally:
            process.kill()
            process.wait()


def quota_file(procs: Path) -> Path:
    """The file that holds a group's quota, of version 1 or 2; its first number is microseconds."""
    old = procs.parent / "cpu.cfs_quota_us"
    return old if old.exists() else procs.parent / "cpu.max"


def set_clock(procs: Path, clock: float) -> None:
    """Change the quota of a running group."""
    file = quota_file(procs)
    period = "" if file.name == "cpu.cfs_quota_us" else f" {PERIOD_US}"
    file.write_text(f"{int(clock * PERIOD_US)}{period}")


def staircase(bench: Bench, number: int) -> tuple[pl.DataFrame, float]:
    """All inferences of all four runs, and the target (ms): what dense takes at the full clock."""
    levels = list(range(number))
    known = {clock: bench.profile(clock, 1, levels) for clock in (0.4, 1.0)}
    points = [
        {"level": i, "clocks": [0.4, 1.0], "ms": [known[0.4][i], known[1.0][i]], "kept": float(i)}
        for i in levels
    ]
    target = 1.02 * known[1.0][-1]
    fixed = max((i for i in levels if known[0.4][i] <= target), default=0)
    runs = {
        "dense": {"kind": "fixed", "level": number - 1, "told": False},
        "fixed pruned": {"kind": "fixed", "level": fixed, "told": False},
        "elastic, clock known": {"kind": "elastic", "told": True},
        "elastic, own latencies": {"kind": "elastic", "told": False},
    }
    common = {"points": points, "target_ms": target}
    return pl.concat([_walked(bench, name, job | common) for name, job in runs.items()]), target


def _walked(bench: Bench, name: str, job: dict[str, Any]) -> pl.DataFrame:
    """One run through the staircase."""
    ready = bench.work / "ready"
    ready.unlink(missing_ok=True)
    with bench.group(STAIRCASE[0]) as procs:
        quota = {"quota_file": str(quota_file(procs)), "whole_us": PERIOD_US}
        total = bench.seconds * len(STAIRCASE)
        job = job | quota | {"seconds": total, "ready": str(ready)}
        with bench.worker(job, 1, procs) as process:
            while not ready.exists() and process.poll() is None:
                time.sleep(0.01)
            start = time.monotonic()
            for step, clock in enumerate(STAIRCASE):
                time.sleep(max(0.0, start + step * bench.seconds - time.monotonic()))
                set_clock(procs, clock)
            process.wait()
    found = json.loads(bench.out.read_text())
    seconds = np.array(found["began"]) - start
    step = np.clip((seconds / bench.seconds).astype(int), 0, len(STAIRCASE) - 1)
    rows = np.array(found["rows"])
    return pl.DataFrame(
        {
            "run": [name] * len(rows),
            "seconds": seconds,
            "clock": np.array(STAIRCASE)[step],
            "settled": seconds - step * bench.seconds >= SETTLING_S,
            "level": rows[:, 0].astype(int),
            "ms": rows[:, 1],
        }
    )


def _spread(line: pl.DataFrame) -> pl.DataFrame:
    """Median latency of each run at each clock, and the largest over the smallest."""
    medians = (
        line.filter(pl.col("settled"))
        .group_by("run", "clock", maintain_order=True)
        .agg(pl.col("ms").median(), pl.col("level").median())
    )
    return medians.group_by("run", maintain_order=True).agg(
        pl.col("clock"), pl.col("ms"), (pl.col("ms").max() / pl.col("ms").min()).alias("spread")
    )


def reach_of(bench: Bench, number: int) -> pl.DataFrame:
    """Latency (ms) over levels, threads and clocks."""
    ends = sorted({0, number // 2, number - 1})
    rows = [
        {"level": level, "threads": threads, "clock": clock, "ms": ms}
        for threads in range(1, min(len(bench.cores), 2) + 1)
        for clock in RANGE_CLOCKS
        for level, ms in zip(ends, bench.profile(clock, threads, ends), strict=True)
    ]
    return pl.DataFrame(rows)


def _print(
    model: str, flops: list[float], target: float, spread: pl.DataFrame, reach: pl.DataFrame
) -> None:
    shares = ", ".join(f"{100 * x:.0f}" for x in flops)
    print(f"{model}: {len(flops)} levels of {shares} % of the FLOPs; target {target:.2f} ms\n")
    clocks = sorted(set(STAIRCASE))
    print(f"{'median ms at clock':24}" + "".join(f"{c:>8.0%}" for c in clocks) + "   max/min")
    for row in spread.iter_rows(named=True):
        at = dict(zip(row["clock"], row["ms"], strict=True))
        cells = "".join(f"{at[c]:8.2f}" for c in clocks)
        print(f"{row['run']:24}{cells}{row['spread']:10.2f}")
    print(f"\nlevels x threads x clocks, {len(reach)} points:")
    fast, *_, slow = reach.sort("ms").iter_rows(named=True)
    for name, row in (("slowest", slow), ("fastest", fast)):
        print(
            f"  {name}: level {row['level']}, {row['threads']} thread(s), clock "
            f"{row['clock']:.0%}: {row['ms']:.3f} ms"
        )
    ratio = slow["ms"] / fast["ms"]
    print(f"  range {ratio:.1f}x (wanted {WANTED_RANGE}x); spread wanted at most {STEADY}")


if __name__ == "__main__":
    main()
