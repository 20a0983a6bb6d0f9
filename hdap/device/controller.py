"""Choose level, threads and cores of an elastic network while it runs, under a budget.

Runs on the device: Python 3.9 or later and numpy, nothing else; controller.pyz is one file. In an
application (with `sys.path.insert(0, "controller.pyz")` where hdap is not installed):

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
import math
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hdap.device.hysteresis import Hysteresis
from hdap.device.messages import DecisionLog, DeviceError
from hdap.device.one_line import end_in_a_line
from hdap.device.operating_table import (
    LEAST_CLOCK,
    MOST_CLOCK,
    OperatingTable,
    Point,
    core_maps,
    profiled,
    read_table,
)
from hdap.device.sensors import Reading, Sensors

__all__ = [
    "Budget",
    "Controller",
    "ControllerSettings",
    "DeviceError",
    "OperatingTable",
    "Point",
    "Reading",
    "apply_cores",
    "core_maps",
    "profiled",
    "read_table",
]


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
        sensors = Sensors(typical_mhz=table.typical_mhz, clock_column=table.clock_column)
        self._read, self._now, self._log = read or sensors.read, now, DecisionLog(log, now)
        self._cores = cores or os.cpu_count() or 1
        self._reading, self._read_at = self._read(), now()
        self._shifts: deque[float] = deque(maxlen=self.settings.window)
        self._clocks: deque[float] = deque(maxlen=self.settings.window)
        self._steady: Hysteresis[float] = Hysteresis(
            self.settings.dwell_s, self.settings.longest_dwell_s, self.settings.most_switches, 1.0
        )
        if self._reading.clock is None:
            self._log.tell(
                "the clock cannot be read here (no such file, or no permission): going by "
                "own latencies"
            )
        self.point = self._best(self._within(self._allowed(), 0.0) or self._allowed())
        self._log.tell(f"start with {self._words(self.point)}; budget {budget.words}")

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
        load = self._reading.cpu_load_pct or 0.0
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
        chosen = self._best(allowed)
        if chosen == self.point:
            self._steady.stay(now)
            self._log.tell(f"stay with {self._words(chosen)}: nothing here is within the budget")
        elif self._steady.down(now):
            was = f"{self.predicted_ms(self.point):.3g} ms predicted"
            self._switch(chosen, f"{self.point.words} is above the budget ({was})")
        else:
            self._enough(now)

    def _up(self, allowed: Sequence[Point], now: float) -> None:
        within = self._within(allowed, self.settings.margin)
        chosen = self._best([self.point, *within])
        if chosen == self.point:
            self._steady.stay(now)
            return
        heat = self._reading.temperature_c
        if heat is not None and heat >= self.settings.hot_c and chosen.kept > self.point.kept:
            self._steady.stay(now)
            self._log.tell(f"stay with {self._words(self.point)}: {heat:.0f} degrees are too hot")
            return
        waited = self._steady.waited(now)
        least = self._steady.up(chosen.kept, now)
        if least is None:
            if self._steady.refused:
                self._enough(now)
            return
        reason = "low battery" if self._saving else f"room for more for {waited:.1f} s"
        # what was within the budget all along, no more
        self._switch(self._best([p for p in within if p.kept <= least] or [chosen]), reason)

    def _enough(self, now: float) -> None:
        self._log.tell(
            f"stay with {self.point.words}: {self._steady.used(now)} switches in a second "
            "are enough"
        )

    def _switch(self, chosen: Point, why: str) -> None:
        self.point = chosen
        self._log.tell(f"to {self._words(chosen)}: {why}")

    def _words(self, point: Point) -> str:
        how = "read" if self._reading.clock is not None else "inferred"
        at = f"{100 * self.clock:.0f} % clock {how}"
        return f"{point.words} ({self.predicted_ms(point):.3g} ms predicted at {at})"


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
    return end_in_a_line("controller", lambda: _watch(asked))


def _watch(asked: argparse.Namespace) -> int:
    table = read_table(asked.levels, asked.cluster)
    budget = Budget(latency_ms=asked.latency_ms or table.target_ms)
    controller = Controller(table, budget, log=print)
    end = time.monotonic() + asked.seconds
    while time.monotonic() < end:
        controller.decide()
        time.sleep(controller.settings.sense_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
