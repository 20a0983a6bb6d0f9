"""The whole way from a folder of Parquet to a report, at growing numbers of devices.

    python -m benchmarks.fleet.scale                    # 10^4, 10^5 and 10^6 devices, 20 rows each
    python -m benchmarks.fleet.scale --devices 10000
    python -m benchmarks.fleet.scale --quick            # 10^3 and 10^4

The fleet is simulated; every command runs in a process of its own. Seconds are of the wall and, in
brackets, of all processors; memory is the largest resident set of the process. The slope is the
exponent of seconds over devices between the two largest fleets: 1 is linear.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

ROWS = 20
MODEL = "resnet50"
FILES = 8
SIZES, QUICK = (10_000, 100_000, 1_000_000), (1_000, 10_000)
TOTAL = ("ingest", "cluster", "fit", "search")
"""The commands whose sum has a target."""


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    seconds: float
    processor: float
    megabytes: float


def simulate(folder: Path, devices: int, seed: int = 0) -> Path:
    """A folder of Parquet files with the telemetry of a simulated fleet; kept from run to run."""
    parts = folder / f"telemetry-{devices}"
    if parts.exists():
        return parts
    out = folder / f"fleet-{devices}"
    options = ["--devices", str(devices), "--rows", str(ROWS), "--model", MODEL]
    measured = ["--out", str(out), "--format", "parquet", "--seed", str(seed)]
    run(["simulate", *options, *measured], out)
    whole = pl.scan_parquet(out / "telemetry.parquet")
    rows = int(whole.select(pl.len()).collect().item())
    parts.mkdir()
    step = math.ceil(rows / FILES)
    for part in range(FILES):
        whole.slice(part * step, step).sink_parquet(parts / f"part-{part}.parquet")
    (out / "telemetry.parquet").unlink()
    return parts


def run(arguments: list[str], where: Path) -> Cost:
    """One command of hdap, alone. Raises RuntimeError where it fails."""
    where.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (where / f"{arguments[0]}.txt").open("w") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "hdap", *arguments], stdout=said, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"hdap {arguments[0]} failed: see {said.name}")
    seconds = time.monotonic() - started
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def commands(telemetry: Path, folder: Path) -> dict[str, list[str]]:
    """The commands in their order."""
    where = ["--db", str(folder / "scale.db"), "--quiet"]
    return {
        "ingest": ["ingest", str(telemetry), *where],
        "cluster": ["cluster", *where],
        "fit": ["fit", "--model", MODEL, *where],
        "search": ["search", "--model", MODEL, "--flops", "1.0G", *where],
        "status": ["status", *where],
        "report": ["report", "--out", str(folder / "report.html"), *where],
    }


def measure(folder: Path, devices: int) -> dict[str, Cost]:
    """What each command took on a fresh database."""
    telemetry = simulate(folder, devices)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        steps = commands(telemetry, Path(work))
        found = {
            name: run(arguments, folder / f"log-{devices}") for name, arguments in steps.items()
        }
        size = (Path(work) / "scale.db").stat().st_size / 1e6
    print(f"\n{devices:,} simulated devices, {ROWS} rows each; database {size:,.0f} MB")
    for name, cost in found.items():
        show(name, cost)
    four = [found[name] for name in TOTAL]
    show(
        "+".join(TOTAL),
        Cost(
            sum(c.seconds for c in four),
            sum(c.processor for c in four),
            max(c.megabytes for c in four),
        ),
    )
    return found


def show(name: str, cost: Cost) -> None:
    """One line."""
    print(
        f"  {name:<26} {cost.seconds:>8.1f} s ({cost.processor:>7.1f} s){cost.megabytes:>8,.0f} MB",
        flush=True,
    )


def show_slopes(small: int, large: int, costs: dict[int, dict[str, Cost]]) -> None:
    """The exponents between two sizes."""
    print(f"\nslope of seconds (of processor seconds), {small:,} to {large:,} devices")
    for name, cost in costs[large].items():
        before, span = costs[small][name], math.log(large / small)
        wall = math.log(cost.seconds / before.seconds) / span
        processor = math.log(cost.processor / before.processor) / span
        print(f"  {name:<26} {wall:>8.2f} ({processor:.2f})")


def main() -> None:
    """Measure all sizes, smallest first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="10^3 and 10^4 devices")
    parser.add_argument("--devices", type=int, action="append", help="only so many; repeatable")
    parser.add_argument("--folder", type=Path, help="keep the simulated fleets here")
    options = parser.parse_args()
    sizes = sorted(options.devices or (QUICK if options.quick else SIZES))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        costs = {devices: measure(folder, devices) for devices in sizes}
    if len(sizes) > 1:
        show_slopes(sizes[-2], sizes[-1], costs)


if __name__ == "__main__":
    main()
