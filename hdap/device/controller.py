#!/usr/bin/env python3
"""Choose level, threads and cores of an elastic network while it runs, under a budget.

Runs on the device: Python 3.9 or later and numpy, nothing else. `hdap.device.controller_file` makes
the one file that travels. In an application:

    table = read_table("levels.json", cluster=2)
    controller = Controller(table, Budget(latency_ms=30.0), log=print)
    while True:
        point = controller.decide()             # a Point: level, threads, cores
        started = time.perf_counter()
        run(point.level)
        controller.observe(1000 * (time.perf_counter() - started))

Where the clock can be read, the table's latencies at that clock are corrected by the median of how
its own latencies differed lately; where it cannot, the clock itself is inferred from them. Going to
a faster level happens at once, to a better one only when it was predicted with a margin for some
time; that time doubles when it proved wrong, and switches a second are bounded whatever happens.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import json
import math
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hdap.device.measuring import (
    battery_pct,
    cpu_freq_mhz,
    cpu_ticks,
    gpu_freq_mhz,
    loadavg_pct,
    others_load_pct,
    power_w,
    read_number,
    temperature_c,
)

FORMAT = 1
LEAST_CLOCK, MOST_CLOCK = 0.02, 8.0


class DeviceError(Exception):
    """What must hold, what came, what to do; one line."""


# ---------------------------------------------------------------------------------- the table


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
    return _table(path, document, cluster)


def read_document(path: str, kind: str, maker: str) -> dict[str, Any]:
    """A JSON file that hdap wrote for devices, checked by its own digest; raises `DeviceError`."""
    try:
        with open(path, encoding="utf-8") as file:
            document: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise DeviceError(f"{path} must be a file of {maker} that can be read: {error}") from None
    if not isinstance(document, dict) or document.get("kind") != kind:
        raise DeviceError(f"{path} must be a file of {maker}; copy the right one")
    if document.get("format") != FORMAT:
        raise DeviceError(
            f"{path} must have format {FORMAT}, has {document.get('format')}; make anew"
        )
    rest = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest() != document.get("digest"):
        raise DeviceError(f"{path} is damaged or was changed by hand; copy it again")
    return document


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
    clocks = tuple(float(p["clock"]) for p in at)
    points = tuple(
        Point(i, clocks, tuple(float(p["latency_ms"][i]) for p in at), float(quality[i]))
        for i in range(len(levels))
    )
    mhz, column = mine["typical_mhz"], mine["clock_column"]
    return OperatingTable(document["model"], cluster, points, mhz, column, document["target_ms"])


def core_maps(root: str = "/") -> list[tuple[int, ...]]:
    """Sets of cores worth trying: all, and where they differ in speed each kind by itself."""
    kinds: dict[float, list[int]] = {}
    pattern = os.path.join(glob.escape(root), "sys/devices/system/cpu/cpu[0-9]*")
    for path in glob.glob(pattern):
        speed = read_number(path, "cpu_capacity") or read_number(path, "cpufreq/cpuinfo_max_freq")
        kinds.setdefault(speed or 0.0, []).append(int(os.path.basename(path)[3:]))
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


# ---------------------------------------------------------------------------------- the device


@dataclass(frozen=True)
class Reading:
    """What the device tells; None: it does not. `clock` is over the typical one."""

    clock: float | None = None
    mhz: float | None = None
    temperature_c: float | None = None
    load_pct: float | None = None
    battery_pct: float | None = None
    power_w: float | None = None


class Sensors:
    """Reads the device's own files; what may not be read is None."""

    def __init__(self, table: OperatingTable, root: str = "/") -> None:
        self.root, self.typical = root, table.typical_mhz
        self._mhz = gpu_freq_mhz if table.clock_column == "gpu_freq_mhz" else cpu_freq_mhz
        self._ticks, self._own = cpu_ticks(root), time.process_time()

    def read(self) -> Reading:
        """Everything at once; load since the last time, without this process."""
        mhz = self._mhz(self.root)
        ticks, own = cpu_ticks(self.root), time.process_time()
        load = others_load_pct(self._ticks, ticks, own - self._own)
        self._ticks, self._own = ticks, own
        return Reading(
            mhz / self.typical if mhz and self.typical else None,
            mhz,
            temperature_c(self.root),
            loadavg_pct(self.root) if ticks is None else load,
            battery_pct(self.root),
            power_w(self.root),
        )


# ------------------------------------------------------------------------------- the decisions


@dataclass(frozen=True)
class Budget:
    """What a run may cost; at least one of them."""

    latency_ms: float | None = None
    power_w: float | None = None
    energy_mj: float | None = None

    def __post_init__(self) -> None:
        values = [self.latency_ms, self.power_w, self.energy_mj]
        given = [value for value in values if value is not None]
        if not given or not all(math.isfinite(v) and v > 0 for v in given):
            raise DeviceError(f"a budget must be positive ms, W or mJ, but got {self}; give one")

    def excess(self, point: Point, ms: float) -> float:
        """By which factor the point is above the budget; at most 1 where it holds."""
        watts = point.power_w
        parts = [ms / self.latency_ms] if self.latency_ms else []
        if watts is not None:
            parts += [watts / self.power_w] if self.power_w else []
            parts += [watts * ms / self.energy_mj] if self.energy_mj else []
        return max(parts)

    @property
    def words(self) -> str:
        """The budget as the log names it."""
        named = ((self.latency_ms, "ms"), (self.power_w, "W"), (self.energy_mj, "mJ"))
        return ", ".join(f"{value:g} {unit}" for value, unit in named if value is not None)


@dataclass(frozen=True)
class ControllerSettings:
    """A better level needs `margin` (a fraction) to spare for `dwell_s`, longer after mistakes.

    At most `most_switches` happen within any second. No better level while hotter than `hot_c`;
    below `low_battery_pct` the least costly point within the budget. Medians are over `window`
    inferences; sensors are read every `sense_s`.
    """

    margin: float = 0.05
    dwell_s: float = 1.0
    longest_dwell_s: float = 60.0
    most_switches: int = 4
    hot_c: float = 90.0
    low_battery_pct: float = 15.0
    window: int = 5
    sense_s: float = 0.1


class Controller:
    """Decides before each inference which point runs; see the text at the top of this file."""

    def __init__(
        self,
        table: OperatingTable,
        budget: Budget,
        settings: ControllerSettings | None = None,
        read: Callable[[], Reading] | None = None,
        now: Callable[[], float] = time.monotonic,
        log: Callable[[str], None] = lambda line: None,
        cores: int | None = None,
    ) -> None:
        self.table, self.budget, self.settings = table, budget, settings or ControllerSettings()
        untold = any(point.power_w is None for point in table.points)
        if (budget.power_w or budget.energy_mj) and untold:
            raise DeviceError(
                "a power or energy budget needs a device that reports its power, but this one was "
                "profiled without; give a budget in ms"
            )
        self._read, self._now, self._log = read or Sensors(table).read, now, log
        self._cores = cores or os.cpu_count() or 1
        self._began = now()
        self._reading, self._read_at = self._read(), now()
        self._shifts: deque[float] = deque(maxlen=self.settings.window)
        self._clocks: deque[float] = deque(maxlen=self.settings.window)
        self._switched: deque[float] = deque(maxlen=max(1, self.settings.most_switches))
        self._dwell = self.settings.dwell_s
        self._wish: tuple[Point, float] | None = None
        self._risen_at = self._erred_at = -math.inf
        self._told = ""
        if self._reading.clock is None:
            self._tell(
                "the clock cannot be read here (no such file, or no permission): going by "
                "own latencies"
            )
        self.point = self._best(self._within(self._allowed(), 0.0) or self._allowed())
        self._tell(f"start with {self._words(self.point)}; budget {budget.words}")

    def decide(self) -> Point:
        """The point that the next inference runs."""
        now = self._now()
        if now - self._read_at >= self.settings.sense_s:
            self._reading, self._read_at = self._read(), now
        allowed = self._allowed()
        if self.point not in allowed or self._excess(self.point) > 1.0:
            self._down(allowed, now)
        else:
            self._up(allowed, now)
        return self.point

    def observe(self, latency_ms: float) -> None:
        """How long the inference of the decided point took."""
        if not (latency_ms > 0.0 and math.isfinite(latency_ms)):
            return
        if self._reading.clock is None:
            self._clocks.append(self.point.clock_of(latency_ms))
        else:
            self._shifts.append(latency_ms / self.point.ms_at(self._reading.clock))

    @property
    def clock(self) -> float:
        """The clock that predictions are made for: as read, else as own latencies tell."""
        if self._reading.clock is not None:
            return min(max(self._reading.clock, LEAST_CLOCK), MOST_CLOCK)
        return statistics.median(self._clocks) if self._clocks else 1.0

    def predicted_ms(self, point: Point) -> float:
        """Latency of a point now."""
        shift = 1.0
        if self._shifts and self._reading.clock is not None:
            shift = statistics.median(self._shifts)
        return shift * point.ms_at(self.clock)

    def _excess(self, point: Point) -> float:
        return self.budget.excess(point, self.predicted_ms(point))

    def _within(self, points: Iterable[Point], margin: float) -> list[Point]:
        return [p for p in points if self._excess(p) * (1.0 + margin) <= 1.0]

    def _allowed(self) -> list[Point]:
        """Points whose threads find idle cores; with all busy, those with the fewest threads."""
        load = self._reading.load_pct or 0.0
        free = max(1, round(self._cores * (1.0 - load / 100)))
        fewest = min(point.threads for point in self.table.points)
        return [p for p in self.table.points if p.threads <= max(free, fewest)]

    @property
    def _saving(self) -> bool:
        battery = self._reading.battery_pct
        return battery is not None and battery <= self.settings.low_battery_pct

    def _best(self, points: Sequence[Point]) -> Point:
        """Within the budget the most quality, or on a low battery the least work; else the one
        nearest to the budget."""
        within = self._within(points, 0.0)
        if not within:
            return min(points, key=self._excess)
        if self._saving:
            return min(within, key=self._cost)
        return max(within, key=lambda p: (p.kept, -self._cost(p)))

    def _cost(self, point: Point) -> float:
        """Energy in mJ where power is known, else milliseconds of cores."""
        return self.predicted_ms(point) * (point.power_w or point.threads)

    def _down(self, allowed: Sequence[Point], now: float) -> None:
        self._wish = None
        chosen = self._best(allowed)
        if chosen == self.point:
            self._tell(f"stay with {self._words(chosen)}: nothing here is within the budget")
            return
        was = f"{self.predicted_ms(self.point):.3g} ms predicted"
        if self._switch(chosen, now, f"{self.point.words} is above the budget ({was})"):
            if now - self._risen_at <= 2.0 * self._dwell:
                self._dwell = min(2.0 * self._dwell, self.settings.longest_dwell_s)
                self._erred_at = now
            self._risen_at = -math.inf

    def _up(self, allowed: Sequence[Point], now: float) -> None:
        if now - self._erred_at > 2.0 * self._dwell:
            self._dwell = self.settings.dwell_s
        chosen = self._best([self.point, *self._within(allowed, self.settings.margin)])
        if chosen == self.point:
            self._wish = None
            return
        heat = self._reading.temperature_c
        if heat is not None and heat >= self.settings.hot_c and chosen.kept > self.point.kept:
            self._wish = None
            self._tell(f"stay with {self._words(self.point)}: {heat:.0f} degrees are too hot")
            return
        if self._wish is None or self._wish[0] != chosen:
            # a wish for more than before still counts from when there was any
            since = now if self._wish is None or chosen.kept < self._wish[0].kept else self._wish[1]
            self._wish = (chosen, since)
        waited = now - self._wish[1]
        if waited < self._dwell:
            return
        reason = "low battery" if self._saving else f"room for more for {waited:.1f} s"
        if self._switch(chosen, now, reason):
            self._risen_at, self._wish = now, None

    def _switch(self, chosen: Point, now: float, why: str) -> bool:
        full = len(self._switched) == self._switched.maxlen
        if full and now - self._switched[0] <= 1.0:
            self._tell(
                f"stay with {self.point.words}: {len(self._switched)} switches in a second "
                "are enough"
            )
            return False
        self._switched.append(now)
        self.point = chosen
        self._tell(f"to {self._words(chosen)}: {why}")
        return True

    def _words(self, point: Point) -> str:
        how = "read" if self._reading.clock is not None else "inferred"
        at = f"{100 * self.clock:.0f} % clock {how}"
        return f"{point.words} ({self.predicted_ms(point):.3g} ms predicted at {at})"

    def _tell(self, text: str) -> None:
        # one that repeats itself but for its figures is told once
        plain = "".join(c for c in text if not c.isdigit())
        if plain != self._told or text.startswith("to "):
            self._log(f"{self._now() - self._began:.2f} s: {text}")
        self._told = plain


def apply_cores(point: Point) -> None:
    """Let this process run on the point's cores only, where the system can do that."""
    if point.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, point.cores)


def main(arguments: Sequence[str] | None = None) -> int:
    """Say, for some seconds, what it would run here now; no network runs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("levels", help="levels.json of hdap elastic plan")
    parser.add_argument("--cluster", type=int, required=True, help="the cluster of this device")
    parser.add_argument("--latency-ms", type=float, help="default: what the levels were made for")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to watch")
    asked = parser.parse_args(arguments)
    try:
        table = read_table(asked.levels, asked.cluster)
        budget = Budget(latency_ms=asked.latency_ms or table.target_ms)
        controller = Controller(table, budget, log=print)
    except DeviceError as problem:
        print(f"controller: {problem}", file=sys.stderr)
        return 1
    end = time.monotonic() + asked.seconds
    while time.monotonic() < end:
        controller.decide()
        time.sleep(controller.settings.sense_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
