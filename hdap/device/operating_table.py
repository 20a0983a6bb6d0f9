"""What levels of an elastic network take on a device: the table that the controller chooses by."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hdap.device.checked_files import above_zero, finite, read_document, understood
from hdap.device.messages import DeviceError
from hdap.device.sensors import read_number

LEAST_CLOCK, MOST_CLOCK = 0.02, 8.0


@dataclass(frozen=True)
class Point:
    """One way to run: a level with `threads` on `cores` (empty: wherever the system puts them).

    `ms` are latencies at `clocks` (ascending, over the typical clock), `kept` stands for quality
    (accuracy where it is known of all levels), `power_w` is None where the device does not tell.
    """

    level: int
    clocks: tuple[float, ...]
    ms: tuple[float, ...]
    kept: float
    threads: int = 1
    cores: tuple[int, ...] = ()
    power_w: float | None = None

    def ms_at(self, clock: float) -> float:
        """Latency at a clock: a line in 1 / clock between the known ones and beyond them."""
        if len(self.clocks) == 1:
            return self.ms[0] * self.clocks[0] / clock
        # ascending 1 / clock
        x = [1.0 / c for c in reversed(self.clocks)]
        y = list(reversed(self.ms))
        at = min(max(int(np.searchsorted(x, 1.0 / clock)), 1), len(x) - 1)
        slope = max((y[at] - y[at - 1]) / (x[at] - x[at - 1]), 0.0)
        return max(y[at - 1] + slope * (1.0 / clock - x[at - 1]), 0.05 * min(y))

    def clock_of(self, ms: float) -> float:
        """The clock at which it would take so long: inverse of `ms_at`, by bisection."""
        low, high = LEAST_CLOCK, MOST_CLOCK
        for _ in range(40):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.ms_at(middle) > ms else (low, middle)
        return math.sqrt(low * high)

    @property
    def words(self) -> str:
        """The point as its log names it."""
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        on = " on cores " + ",".join(map(str, self.cores)) if self.cores else ""
        return f"level {self.level}, {threads}{on}"


@dataclass(frozen=True)
class OperatingTable:
    """All points of one cluster; `typical_mhz` is what clock 1.0 is (None: nobody knows)."""

    model: str
    cluster: int
    points: tuple[Point, ...]
    typical_mhz: float | None
    clock_column: str | None = "cpu_freq_mhz"
    target_ms: float | None = None


def read_table(
    path: str, cluster: int, expected: Mapping[str, str] | None = None
) -> OperatingTable:
    """The points of a cluster from levels.json; raises `DeviceError`.

    `expected` may hold `model`, `architecture` and `fleet`, as the manifest of a bundle does: a
    table made for others is refused.
    """
    document = read_document(path, "hdap levels", "`hdap elastic plan --out`")
    for name, value in (expected or {}).items():
        if document.get(name) != value:
            kind = {"fleet": "clustering", "architecture": "network"}.get(name, name)
            raise DeviceError(
                f"{path} is a table for another {kind} ({str(document.get(name))[:16]}, not "
                f"{str(value)[:16]}); plan again: hdap elastic plan"
            )
    with understood(path, "plan again: hdap elastic plan"):
        return _table(path, document, cluster)


def _table(path: str, document: dict[str, Any], cluster: int) -> OperatingTable:
    rows = {int(c["cluster"]): c for c in document["clusters"]}
    if cluster not in rows:
        known = ", ".join(map(str, sorted(rows)))
        raise DeviceError(f"{path} must hold cluster {cluster}, but has {known}; give one of them")
    mine, levels = rows[cluster], document["levels"]
    accuracies = [level["accuracy"] for level in levels]
    judged = all(a is not None for a in accuracies)
    quality = accuracies if judged else [level["kept_importance"] for level in levels]
    at = sorted(mine["points"], key=lambda p: p["clock"])
    clocks = tuple(above_zero(p["clock"]) for p in at)
    points = tuple(
        Point(i, clocks, tuple(above_zero(p["latency_ms"][i]) for p in at), finite(quality[i]))
        for i in range(len(levels))
    )
    if not points or not clocks:
        raise ValueError(f"cluster {cluster} has no level at any clock")
    mhz, target = (
        None if x is None else above_zero(x) for x in (mine["typical_mhz"], document["target_ms"])
    )
    column = None if mine["clock_column"] is None else str(mine["clock_column"])
    return OperatingTable(str(document["model"]), cluster, points, mhz, column, target)


def core_maps(root: str = "/") -> list[tuple[int, ...]]:
    """Sets of cores worth trying: all, and where they differ in speed each kind by itself."""
    kinds: dict[float, list[int]] = {}
    pattern = os.path.join(glob.escape(root), "sys/devices/system/cpu/cpu[0-9]*")
    for path in glob.glob(pattern):
        speed = read_number(path, "cpu_capacity") or read_number(path, "cpufreq/cpuinfo_max_freq")
        number = os.path.basename(path)[3:]
        if number.isdecimal():
            kinds.setdefault(speed or 0.0, []).append(int(number))
    every = tuple(sorted(core for cores in kinds.values() for core in cores))
    own = [tuple(sorted(kinds[speed])) for speed in sorted(kinds, reverse=True)]
    return [every, *own] if len(own) > 1 else [every] if every else [()]


def profiled(
    table: OperatingTable,
    run: Callable[[Point], float],
    threads: Sequence[int] = (1,),
    cores: Sequence[tuple[int, ...]] = ((),),
    clock: float = 1.0,
    power: Callable[[], float | None] = lambda: None,
) -> OperatingTable:
    """The table with every level on all these threads and cores, as measured on this device.

    `run` runs a point and returns its latency in ms at the present `clock`; a point keeps the shape
    over clocks that the table foretells of its level. `power` is read after each run.
    """
    points = []
    for point in table.points:
        for number in threads:
            for chosen in cores:
                if chosen and number > len(chosen):
                    continue
                tried = replace(point, threads=number, cores=chosen)
                factor = run(tried) / tried.ms_at(clock)
                ms = tuple(factor * x for x in tried.ms)
                points.append(replace(tried, ms=ms, power_w=power()))
    return replace(table, points=tuple(points))
