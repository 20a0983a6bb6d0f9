"""What it costs to hold all levels of an elastic network in ONNX Runtime.

    python -m benchmarks.elastic.memory --work /tmp/elastic            (about 1 min, ResNet-50)

Each way runs in a process of its own: one session a level as usual, the same over one external
weights file, and `hdap.device.sessions` (optimised once on this machine, weights mapped).
Memory is what is anonymous, so what the system cannot take back; times are processor time of one
thread.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.elastic.networks import alone, write_networks
from hdap.device.runtimes.base import OpenNetwork
from hdap.device.runtimes.onnx_runtime import OnnxRuntime
from hdap.device.sessions import LevelSessions

WAYS = ("weights in each file", "one weights file", "optimised and mapped")
RUNS = 15


def main() -> None:
    """Measure all ways and print the table."""
    parser = argparse.ArgumentParser(description="See the text at the top of this file.")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--levels", type=int, default=5)
    parser.add_argument("--way", choices=WAYS)
    asked = parser.parse_args()
    folder = asked.work / f"memory-{asked.model}-{asked.levels}"
    if asked.way:
        print(json.dumps(_measured(folder, asked.way)))
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_networks(folder, asked.model, np.geomspace(0.4, 1.0, asked.levels).tolist())
    LevelSessions(str(folder))
    shipped = [folder / "weights.bin", *folder.glob("level-*.onnx")]
    size = sum(file.stat().st_size for file in shipped)
    apart = [file.stat().st_size for file in alone(folder).iterdir()]
    print(
        f"{asked.model}, {asked.levels} levels: {size / 2**20:.1f} MiB to ship, "
        f"{size / max(apart):.3f}x the widest alone (apart {sum(apart) / max(apart):.2f}x)"
    )
    print(f"{'':24}{'anonymous MiB':>14}{'opening s':>11}   ms by level")
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.elastic.memory", *sys.argv[1:], "--way", way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        times = " ".join(f"{ms:7.2f}" for ms in found["ms"])
        print(f"{way:24}{found['anonymous']:14.1f}{found['opening']:11.2f}   {times}")


def _measured(folder: Path, way: str) -> dict[str, Any]:
    levels = LevelSessions(str(folder))
    before, start = _anonymous(), time.perf_counter()
    if way == WAYS[2]:
        networks = [levels.network(i) for i in range(levels.levels)]
    else:
        at, runtime = alone(folder) if way == WAYS[0] else folder, OnnxRuntime()
        networks = [runtime.open(str(at / f"level-{i}.onnx")) for i in range(levels.levels)]
    opening = time.perf_counter() - start
    image = np.random.default_rng(0).standard_normal(networks[0].shape).astype(np.float32)
    ms = [_time(network, image) for network in networks]
    return {"anonymous": _anonymous() - before, "opening": opening, "ms": ms}


def _time(network: OpenNetwork, image: Any) -> float:
    times = []
    for _ in range(RUNS):
        start = time.thread_time()
        network.run(image)
        times.append(time.thread_time() - start)
    return float(1000 * np.median(times))


def _anonymous() -> float:
    """MiB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("Anonymous:")) / 1024


if __name__ == "__main__":
    main()
