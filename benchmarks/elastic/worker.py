"""What runs under a CPU quota in `benchmarks.elastic.clocks`: one network, or levels in turns.

python worker.py FOLDER OUT JOB      (JOB is JSON; see `main`)
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hdap.device.controller import (
    Budget,
    Controller,
    ControllerSettings,
    OperatingTable,
    Point,
    Reading,
)
from hdap.device.sessions import LevelSessions

WARM_UP = 3


def main() -> None:
    """Run a job: `profile` times every level, `fixed` one, `elastic` what a controller decides."""
    folder, out, job = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    os.sched_setaffinity(0, job["cores"])
    levels = LevelSessions(folder, job["threads"])
    shape = levels.network(0).shape
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = _profile(levels, image, job) if job["kind"] == "profile" else _run(levels, image, job)
    out.write_text(json.dumps(found))


def _timed(levels: LevelSessions, level: int, image: Any) -> float:
    start = time.perf_counter()
    levels.run(level, image)
    return 1000 * (time.perf_counter() - start)


def _profile(levels: LevelSessions, image: Any, job: dict[str, Any]) -> list[float]:
    """Mean latency (ms) of every level asked for, under the quota that holds."""
    found = []
    for level in job["levels"]:
        for _ in range(WARM_UP):
            levels.run(level, image)
        start, runs = time.perf_counter(), 0
        while time.perf_counter() - start < job["seconds"] or runs < WARM_UP:
            levels.run(level, image)
            runs += 1
        # a mean over all: a short inference either meets the quota's pause whole or not at all
        found.append(1000 * (time.perf_counter() - start) / runs)
    return found


def _run(levels: LevelSessions, image: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Latencies of all inferences with when they began (s) and at which level."""
    lines: list[str] = []
    table = OperatingTable("benchmark", 0, tuple(Point(**point) for point in job["points"]), None)
    quota = Path(job["quota_file"]) if job["told"] else None

    def read() -> Reading:
        return Reading(
            None if quota is None else int(quota.read_text().split()[0]) / job["whole_us"]
        )

    settings = ControllerSettings(dwell_s=0.3, sense_s=0.02, margin=0.0)
    budget = Budget(latency_ms=job["target_ms"])
    controller = Controller(table, budget, settings, read, log=lines.append)
    for level in range(levels.levels):
        levels.run(level, image)
    Path(job["ready"]).touch()
    began, rows = [], []
    end = time.monotonic() + job["seconds"]
    while (now := time.monotonic()) < end:
        level = controller.decide().level if job["kind"] == "elastic" else job["level"]
        ms = _timed(levels, level, image)
        controller.observe(ms)
        began.append(now)
        rows.append([level, ms])
    return {"began": began, "rows": rows, "log": lines}


if __name__ == "__main__":
    main()
