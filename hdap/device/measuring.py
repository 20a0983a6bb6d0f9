#!/usr/bin/env python3
"""Measure the networks of an hdap bundle on this device and write a CSV of telemetry.

Usage, in the folder of the bundle:  python3 measure.py  (--help lists the options)

Needs Python 3.9 or later, numpy and onnxruntime, nothing else: this one file travels. It may be
stopped or lose power at any time; started again, it goes on where it was.

How a number is made, so that nobody needs to doubt it:

* batch 1, fixed threads, the same session options for every network; warm-up of at least 10 runs
  and 0.5 s, until the medians of two consecutive windows agree;
* configurations in random order, in rounds; a measurement is some fifteen short slices, and between
  any two slices the dense network (the reference) is timed again. Heat, a changed clock or other
  load therefore move both, and the ratio of the two stays;
* with one thread on the CPU the ratio is taken on the CPU time of the thread, because that does not
  count the time in which other processes had the core; the wall clock has a veto (a network that
  waits for memory or disk is slower than its CPU time says). Elsewhere it is the wall clock;
* ratios are those of slice means, not of single runs: most short inferences slip between two time
  slices of a competing process while each long one is hit, so medians of runs are not comparable;
* slices whose two neighbouring references differ by more than a threshold are replaced; where too
  few settled ones remain, the measurement is repeated, and marked if that does not help;
* latency_ms is the ratio (the mean of the middle half of the slices, with a bootstrap interval)
  times the reference's baseline, which load that comes and goes must not move: the lower quartile
  of the reference's CPU time, times how much longer than that it took in the calmest tenth of the
  session (a CPU quota or load that never pauses is part of the device). Without a CPU clock it is
  the lower quartile of the reference's medians; --baseline-ms or the manifest go before both.
  latency_raw_ms is the plain median of the same runs by the wall clock.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import errno
import functools
import gc
import glob
import hashlib
import importlib
import json
import math
import os
import platform
import random
import shutil
import signal
import stat
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any

try:
    import numpy as np
except ImportError:
    raise SystemExit(
        "measure: numpy is needed; install it: python3 -m pip install numpy onnxruntime"
    ) from None

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Row = dict[str, str]

FORMAT = 1
CONTEXT = (
    "cpu_freq_mhz",
    "gpu_freq_mhz",
    "temperature_c",
    "cpu_load_pct",
    "mem_available_mb",
    "battery_pct",
    "battery_health_pct",
    "power_w",
)
COLUMNS = (
    "device_id",
    "timestamp",
    "model",
    "channels",
    "latency_ms",
    "latency_p95_ms",
    "runs",
    "batch_size",
    "runtime",
    *CONTEXT,
    "energy_mj",
    "latency_raw_ms",
    "latency_ci_low_ms",
    "latency_ci_high_ms",
    "latency_p90_ms",
    "latency_p99_ms",
    "relative_latency",
    "baseline_ms",
    "reference_ms",
    "reference_quiet_ms",
    "reference_cpu_ms",
    "reference_wait",
    "reference_drift_pct",
    "slices",
    "slices_used",
    "attempts",
    "warmup_runs",
    "clock",
    "marked",
    "round",
    "role",
    "threads",
    "provider",
    "governor",
    "bundle",
)
SCALED = (
    "latency_ms",
    "latency_p95_ms",
    "latency_ci_low_ms",
    "latency_ci_high_ms",
    "latency_p90_ms",
    "latency_p99_ms",
)
"""Columns that are a ratio times the baseline."""

SLICES = 15
MOST_SLICES = 30
WARMUP_WINDOW = 5
WARMUP_AGREE = 0.05
MOST_WARMUP_RUNS = 100
MOST_RUNS_IN_A_SLICE = 20_000
WIDE_INTERVAL = 0.10
CLOCKS_AGREE = 0.05


class MeasureError(Exception):
    """What must hold, what came, what to do; printed in one line, exit 1."""


# ---------------------------------------------------------------- the statistics (pure functions)


@dataclass(frozen=True)
class Slice:
    """Consecutive inferences of one network: `start` and `latencies` in seconds.

    `cpu` is the CPU time (s) of all of them, None where it does not tell their cost.
    """

    start: float
    latencies: tuple[float, ...]
    cpu: float | None = None

    @property
    def middle(self) -> float:
        return self.start + math.fsum(self.latencies) / 2

    @property
    def level(self) -> float:
        return statistics.median(self.latencies)

    def mean(self, clock: str) -> float:
        """Seconds an inference by `wall` or `cpu` clock."""
        total = self.cpu if clock == "cpu" and self.cpu else math.fsum(self.latencies)
        return total / len(self.latencies)


@dataclass(frozen=True)
class Ratio:
    """A latency over the reference's at the same moment, with its 95 % interval."""

    value: float
    low: float
    high: float
    used: tuple[bool, ...]
    enough: bool

    @property
    def width(self) -> float:
        return (self.high - self.low) / self.value


@dataclass(frozen=True)
class Estimate:
    """What slices say about one network.

    `p90`, `p95` and `p99` are of single inferences, over the reference's mean. `reference_s` is the
    median of the reference's levels, `reference_quiet_s` their lower quartile. `reference_cpu_s` is
    the median CPU time of its inferences and `reference_wait` how many times longer they took in
    the calmest tenth of its slices (None without a CPU clock).
    """

    ratio: Ratio
    clock: str
    p90: float
    p95: float
    p99: float
    raw_s: float
    runs: int
    reference_s: float
    reference_quiet_s: float
    reference_cpu_s: float | None = None
    reference_wait: float | None = None


def clock_of(slices: Sequence[Slice]) -> str:
    """`cpu` where every slice has a CPU time, else `wall`."""
    return "cpu" if all(s.cpu for s in slices) else "wall"


def reference_at(times: Floats, references: Sequence[Slice], clock: str = "wall") -> Floats:
    """The reference's mean latency (s) at `times`: its log, linear between slices."""
    at = [r.middle for r in references]
    levels = [math.log(r.mean(clock)) for r in references]
    return np.asarray(np.exp(np.interp(times, at, levels)), dtype=np.float64)


def settled(references: Sequence[Slice], threshold: float, clock: str = "wall") -> list[bool]:
    """Whether the references around each slice differ by at most `threshold` (a fraction)."""
    limit = math.log1p(threshold)
    levels = [math.log(r.mean(clock)) for r in references]
    return [abs(levels[i + 1] - levels[i]) <= limit for i in range(len(levels) - 1)]


def middle_mean(values: Floats) -> Floats:
    """Mean of the middle half along the last axis: nearly as robust as the median, less noisy."""
    cut = values.shape[-1] // 4
    kept = np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut]
    return np.asarray(kept.mean(axis=-1), dtype=np.float64)


def ratio_of(
    candidates: Sequence[Slice],
    references: Sequence[Slice],
    threshold: float,
    clock: str = "wall",
    seed: int = 0,
) -> Ratio:
    """The ratio of a network's latency to the reference's, from interleaved slices.

    Candidate slice i was taken between references i and i + 1. Slices around which the reference
    moved by more than `threshold` are left out, unless fewer than half would remain. The interval
    resamples whole slices: inferences of one slice share their disturbances (Davison and Hinkley,
    Bootstrap Methods, 1997, section 3.8).
    """
    calm = settled(references, threshold, clock)
    enough = 2 * sum(calm) >= len(calm)
    used = np.array(calm) if enough else np.ones(len(calm), dtype=bool)
    times = np.array([c.middle for c in candidates])
    means = np.array([c.mean(clock) for c in candidates])
    logs = np.log(means / reference_at(times, references, clock))[used]
    chosen = np.random.default_rng(seed).integers(len(logs), size=(1000, len(logs)))
    low, high = np.quantile(middle_mean(logs[chosen]), [0.025, 0.975])
    value = float(middle_mean(logs))
    return Ratio(
        value=math.exp(value),
        low=math.exp(min(value, float(low))),
        high=math.exp(max(value, float(high))),
        used=tuple(bool(x) for x in used),
        enough=enough,
    )


def estimate(
    candidates: Sequence[Slice], references: Sequence[Slice], threshold: float, seed: int = 0
) -> Estimate:
    """Everything a row needs from interleaved slices (see `ratio_of`).

    The CPU clock is used where there is one and where the wall clock does not contradict it.
    """
    clock = clock_of([*candidates, *references])
    ratio = ratio_of(candidates, references, threshold, "wall", seed)
    if clock == "cpu":
        sharp = ratio_of(candidates, references, threshold, "cpu", seed)
        if abs(math.log(sharp.value / ratio.value)) <= max(CLOCKS_AGREE, ratio.width):
            ratio = sharp
        else:
            clock = "wall"
    single = [
        np.array(c.latencies) / reference_at(np.array([c.middle]), references) for c in candidates
    ]
    p90, p95, p99 = np.quantile(np.concatenate(single), [0.90, 0.95, 0.99])
    levels = [r.level for r in references]
    cpu = [r.mean("cpu") for r in references] if all(r.cpu for r in references) else []
    waits = [r.mean("wall") / c for r, c in zip(references, cpu)]  # noqa: B905
    used = [len(c.latencies) * keep for c, keep in zip(candidates, ratio.used)]  # noqa: B905
    return Estimate(
        ratio=ratio,
        clock=clock,
        p90=float(p90),
        p95=float(p95),
        p99=float(p99),
        raw_s=statistics.median([x for c in candidates for x in c.latencies]),
        runs=sum(used),
        reference_s=statistics.median(levels),
        reference_quiet_s=float(np.quantile(levels, 0.25)),
        reference_cpu_s=statistics.median(cpu) if cpu else None,
        reference_wait=float(np.quantile(waits, 0.1)) if cpu else None,
    )


def baseline(
    quiet_ms: Sequence[float], cpu_ms: Sequence[float] = (), waits: Sequence[float] = ()
) -> float:
    """The reference's undisturbed latency (ms) in a session, one value a measurement.

    From its CPU times and how much longer it took at calm moments where both are known of every
    measurement, else from the lower quartile of its wall clock levels.
    """
    if len(cpu_ms) == len(waits) == len(quiet_ms):
        return float(np.quantile(cpu_ms, 0.25) * max(1.0, float(np.quantile(waits, 0.1))))
    return float(np.quantile(quiet_ms, 0.25))


# ------------------------------------------------------------------------------- the protocol


@dataclass(frozen=True)
class Protocol:
    """At least `runs` inferences and `seconds` a measurement; `threshold` is a fraction."""

    runs: int = 50
    seconds: float = 3.0
    threshold: float = 0.05
    attempts: int = 2
    warmup_runs: int = 10
    warmup_seconds: float = 0.5

    @property
    def longest(self) -> float:
        """Seconds after which a measurement is cut short (slow devices)."""
        return max(10 * self.seconds, 1.0)


@dataclass
class Stopwatch:
    """Times calls of `run` with the clock `now` (s) and, where it tells their cost, `cpu` (s)."""

    run: Callable[[], None]
    now: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] | None = None
    warmups: int = 0
    stable: bool = False

    def slice(self, runs: int, seconds: float) -> Slice:
        """At least `runs` inferences and `seconds`, after one that only fills the caches."""
        self.run()
        latencies: list[float] = []
        worked = self.cpu() if self.cpu else 0.0
        start = last = self.now()
        while len(latencies) < MOST_RUNS_IN_A_SLICE:
            self.run()
            after = self.now()
            latencies.append(max(after - last, 1e-9))
            last = after
            if len(latencies) >= runs and last - start >= seconds:
                break
        cost = max(self.cpu() - worked, 1e-9) if self.cpu else None
        return Slice(start, tuple(latencies), cost)

    def warm_up(self, protocol: Protocol) -> None:
        """Run until two consecutive windows have medians within 5 %, or a bound is reached."""
        seen: list[float] = []
        start = last = self.now()
        while len(seen) < MOST_WARMUP_RUNS and not self.stable:
            self.run()
            after = self.now()
            seen.append(after - last)
            last = after
            if len(seen) >= max(protocol.warmup_runs, 2 * WARMUP_WINDOW):
                early = statistics.median(seen[-2 * WARMUP_WINDOW : -WARMUP_WINDOW])
                late = statistics.median(seen[-WARMUP_WINDOW:])
                agree = abs(late - early) <= WARMUP_AGREE * max(late, early)
                self.stable = agree and last - start >= protocol.warmup_seconds
                if last - start >= protocol.longest:
                    break
        # 100 runs of a very small network last less than the time asked for.
        while last - start < protocol.warmup_seconds and len(seen) < MOST_RUNS_IN_A_SLICE:
            self.run()
            after = self.now()
            seen.append(after - last)
            last = after
            self.stable = True
        self.warmups = len(seen)


def interleave(
    candidate: Stopwatch,
    reference: Stopwatch,
    protocol: Protocol,
    between: Callable[[], None] = lambda: None,
) -> tuple[list[Slice], list[Slice]]:
    """Slices of `candidate` with one more of `reference` around them; `between` samples context."""
    start = candidate.now()
    share = protocol.seconds / SLICES
    runs = math.ceil(protocol.runs / SLICES)
    references = [reference.slice(2, share)]
    candidates: list[Slice] = []
    while len(candidates) < MOST_SLICES:
        # As long as the reference's slices: both then meet the same share of other load.
        candidates.append(candidate.slice(runs, max(share, 2 * references[-1].level)))
        between()
        references.append(reference.slice(2, share))
        clock = clock_of([*candidates, *references])
        calm = settled(references, protocol.threshold, clock)
        total = sum(len(c.latencies) * ok for c, ok in zip(candidates, calm))  # noqa: B905
        if sum(calm) >= SLICES and total >= protocol.runs:
            break
        if len(candidates) >= 3 and candidate.now() - start > protocol.longest:
            break
    return candidates, references


def measure_one(
    candidate: Stopwatch,
    reference: Stopwatch,
    protocol: Protocol,
    seed: int = 0,
    between: Callable[[], None] = lambda: None,
) -> tuple[Estimate, int]:
    """Measure a network against the reference; the estimate and how many attempts it took.

    Where the reference did not hold still, the measurement is repeated at most
    `protocol.attempts - 1` times, and the attempt with the narrowest interval is kept.
    """
    candidate.warm_up(protocol)
    found: list[Estimate] = []
    for attempt in range(max(1, protocol.attempts)):
        slices, references = interleave(candidate, reference, protocol, between)
        found.append(estimate(slices, references, protocol.threshold, seed + attempt))
        if found[-1].ratio.enough:
            break
    good = [e for e in found if e.ratio.enough] or found
    return min(good, key=lambda e: e.ratio.width), len(found)


def marks(result: Estimate, candidate: Stopwatch, protocol: Protocol) -> str:
    """Why a row is suspicious, joined by `;`; empty where it is not."""
    why = [] if result.ratio.enough else ["reference-moved"]
    if not candidate.stable:
        why.append("warm-up-unstable")
    if result.runs < protocol.runs:
        why.append("few-runs")
    if result.ratio.width > WIDE_INTERVAL:
        why.append("wide-interval")
    return ";".join(why)


# ------------------------------------------------- what the operating system tells (sysfs, procfs)


def read_text(*parts: str) -> str:
    """The stripped text of a file, empty where it cannot be read."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as file:
            return file.read().strip().strip("\0")
    except OSError:
        return ""


def read_number(*parts: str) -> float | None:
    """The number in a file, None where there is none."""
    try:
        value = float(read_text(*parts))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _numbers(root: str, pattern: str) -> list[float]:
    paths = sorted(glob.glob(os.path.join(glob.escape(root), pattern)))
    return [x for x in map(read_number, paths) if x is not None]


def cpu_freq_mhz(root: str = "/") -> float | None:
    """Clock of the fastest core: with some cores idle, that is the one that works."""
    khz = _numbers(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    if khz:
        return max(khz) / 1000
    lines = read_text(root, "proc/cpuinfo").splitlines()
    mhz = [x.split(":")[1] for x in lines if x.startswith("cpu MHz") and ":" in x]
    with contextlib.suppress(ValueError):
        return max((float(x) for x in mhz), default=None)
    return None


def gpu_freq_mhz(root: str = "/") -> float | None:
    """Clock of the GPU: Jetson and others (devfreq), Adreno (kgsl)."""
    names = ("gpu", "gv11b", "ga10b", "gp10b", "gm20b", "mali", "gb10b")
    for path in sorted(glob.glob(os.path.join(glob.escape(root), "sys/class/devfreq/*"))):
        if any(name in os.path.basename(path).lower() for name in names):
            hertz = read_number(path, "cur_freq")
            if hertz is not None:
                return hertz / 1e6
    hertz = read_number(root, "sys/class/kgsl/kgsl-3d0/gpuclk")
    return None if hertz is None else hertz / 1e6


def temperature_c(root: str = "/") -> float | None:
    """The hottest zone of the processor, or of anything where none is named so."""
    chip: list[float] = []
    other: list[float] = []
    for zone in sorted(
        glob.glob(os.path.join(glob.escape(root), "sys/class/thermal/thermal_zone*"))
    ):
        value = read_number(zone, "temp")
        if value is None:
            continue
        # A few kernels write degrees where most write thousandths.
        degrees = value / 1000 if abs(value) >= 200 else value
        if not -40 <= degrees <= 150 or degrees == 0:
            continue
        kind = read_text(zone, "type").lower()
        processor = any(name in kind for name in ("cpu", "soc", "pkg", "tj", "gpu"))
        (chip if processor else other).append(degrees)
    if not chip:
        for monitor in glob.glob(os.path.join(glob.escape(root), "sys/class/hwmon/hwmon*")):
            if read_text(monitor, "name") in ("coretemp", "k10temp", "zenpower", "cpu_thermal"):
                chip += [x / 1000 for x in _numbers(monitor, "temp*_input")]
    return max(chip or other, default=None)


def mem_available_mb(root: str = "/") -> float | None:
    """MemAvailable."""
    for line in read_text(root, "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            with contextlib.suppress(ValueError, IndexError):
                return float(line.split()[1]) / 1024
    return None


def _batteries(root: str) -> Iterator[str]:
    for path in sorted(glob.glob(os.path.join(glob.escape(root), "sys/class/power_supply/*"))):
        if read_text(path, "type").lower() == "battery":
            yield path


def battery_pct(root: str = "/") -> float | None:
    """Charge of the first battery."""
    found = (read_number(path, "capacity") for path in _batteries(root))
    return next((x for x in found if x is not None), None)


def battery_health_pct(root: str = "/") -> float | None:
    """Full charge over the charge it was designed for."""
    for path in _batteries(root):
        for name in ("charge_full", "energy_full"):
            full, design = read_number(path, name), read_number(path, name + "_design")
            if full and design:
                return min(100.0, 100 * full / design)
    return None


def power_w(root: str = "/") -> float | None:
    """Power of the whole device: Jetson's INA monitors, or what the battery gives."""
    base = glob.escape(root)
    for pattern in (
        "sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power0_input",
        "sys/bus/i2c/drivers/ina3221x/*/iio_device/in_power0_input",
    ):
        milliwatts = _numbers(root, pattern)
        if milliwatts:
            return max(milliwatts) / 1000
    for monitor in sorted(glob.glob(os.path.join(base, "sys/class/hwmon/hwmon*"))):
        if read_text(monitor, "name").startswith("ina"):
            millivolts, milliamperes = (read_number(monitor, f"{x}1_input") for x in ("in", "curr"))
            if millivolts and milliamperes:
                return millivolts * milliamperes / 1e6
    for path in _batteries(root):
        if read_text(path, "status") != "Discharging":
            continue
        microwatts = read_number(path, "power_now")
        if microwatts:
            return abs(microwatts) / 1e6
        volts, amperes = read_number(path, "voltage_now"), read_number(path, "current_now")
        if volts and amperes:
            return abs(volts * amperes) / 1e12
    return None


def governor(root: str = "/") -> str:
    """The clock governors of all cores, joined by `+`."""
    pattern = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
    paths = glob.glob(os.path.join(glob.escape(root), pattern))
    return "+".join(sorted({read_text(path) for path in paths} - {""}))


def cpu_ticks(root: str = "/") -> tuple[float, float] | None:
    """Busy and all ticks of all cores since boot."""
    first = read_text(root, "proc/stat").split("\n", 1)[0].split()
    try:
        ticks = [float(x) for x in first[1:9]]
    except ValueError:
        return None
    if len(ticks) < 5:
        return None
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def others_load_pct(
    before: tuple[float, float] | None,
    after: tuple[float, float] | None,
    own_seconds: float,
    ticks_a_second: float = 100.0,
) -> float | None:
    """Share of all cores that others than this process used between two `cpu_ticks`."""
    if before is None or after is None or after[1] <= before[1]:
        return None
    busy = after[0] - before[0] - own_seconds * ticks_a_second
    return min(100.0, max(0.0, 100 * busy / (after[1] - before[1])))


def loadavg_pct(root: str = "/") -> float | None:
    """The last minute's load average over the cores (Android hides /proc/stat)."""
    parts = read_text(root, "proc/loadavg").split()
    with contextlib.suppress(ValueError, IndexError):
        return 100 * float(parts[0]) / (os.cpu_count() or 1)
    return None


def termux_battery(command: str = "termux-battery-status") -> dict[str, float]:
    """Battery under Termux, where Android hides sysfs; empty without Termux:API."""
    found: dict[str, float] = {}
    if shutil.which(command) is None:
        return found
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run([command], capture_output=True, timeout=5, check=True)
        status = json.loads(done.stdout)
        for ours, theirs in (("battery_pct", "percentage"), ("temperature_c", "temperature")):
            if isinstance(status.get(theirs), (int, float)):
                found[ours] = float(status[theirs])
    return found


@dataclass
class Watch:
    """Samples the context between slices; `summary` gives the medians of one measurement."""

    root: str = "/"
    seen: dict[str, list[float]] = field(default_factory=dict)
    _ticks: tuple[float, float] | None = None
    _own: float = 0.0

    def restart(self) -> None:
        """Forget what was seen; a new measurement begins."""
        self.seen = {}
        self._ticks, self._own = cpu_ticks(self.root), time.process_time()

    def sample(self) -> None:
        """Read everything that changes quickly."""
        for read in (cpu_freq_mhz, gpu_freq_mhz, temperature_c, power_w):
            value = read(self.root)
            if value is not None:
                self.seen.setdefault(read.__name__, []).append(value)

    def summary(self) -> dict[str, float]:
        """Context of the measurement; what is unknown is absent."""
        known = {name: statistics.median(values) for name, values in self.seen.items()}
        for read in (mem_available_mb, battery_pct, battery_health_pct):
            value = read(self.root)
            if value is not None:
                known[read.__name__] = value
        own = time.process_time() - self._own
        hertz = float(os.sysconf("SC_CLK_TCK")) if hasattr(os, "sysconf") else 100.0
        load = others_load_pct(self._ticks, cpu_ticks(self.root), own, hertz)
        load = loadavg_pct(self.root) if load is None else load
        if load is not None:
            known["cpu_load_pct"] = load
        if self.root == "/" and "battery_pct" not in known:
            known = {**termux_battery(), **known}
        return known


def device_identity(root: str = "/", home: str = "~") -> str:
    """A stable name for this device; serial numbers enter only as a hash.

    The machine id alone is not enough: devices flashed from one image often share it, so the device
    tree's serial number is added where there is one. Where neither exists (Android), a random
    number is kept in the home folder.
    """
    found = [
        read_text(root, "etc/machine-id"),
        read_text(root, "proc/device-tree/serial-number"),
        read_text(root, "sys/class/dmi/id/product_uuid"),
    ]
    if not any(found):
        found = [_kept_identity(os.path.expanduser(home))]
    return "device-" + hashlib.sha256("|".join(["hdap", *found]).encode()).hexdigest()[:12]


def _kept_identity(home: str) -> str:
    path = os.path.join(home, ".hdap-device")
    kept = read_text(path)
    if kept:
        return kept
    drawn = f"{random.SystemRandom().getrandbits(128):032x}"
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(drawn + "\n")
    except OSError:
        return platform.node()
    return drawn


# ------------------------------------------------------------------------------------ the bundle


@dataclass(frozen=True)
class Entry:
    """One network of the bundle."""

    file: str
    sha256: str
    channels: str
    role: str


@dataclass(frozen=True)
class BundleManifest:
    """What a bundle holds; `baselines` are the reference's latencies (ms) by device."""

    folder: str
    bundle: str
    model: str
    input_shape: tuple[int, ...]
    entries: tuple[Entry, ...]
    shared: tuple[tuple[str, str], ...]
    baselines: dict[str, float]

    @property
    def reference(self) -> Entry:
        return next(e for e in self.entries if e.role == "reference")


def read_manifest(folder: str) -> BundleManifest:
    """Read and check manifest.json; raises `MeasureError`."""
    path = os.path.join(folder, "manifest.json")
    try:
        with open(path, encoding="utf-8") as file:
            raw = json.load(file)
        if raw["format"] != FORMAT:
            raise MeasureError(
                f"{path} must have format {FORMAT}, but has {raw['format']!r}; "
                "use the measure.py that came with the bundle"
            )
        names = ("file", "sha256", "channels", "role")
        manifest = BundleManifest(
            folder=folder,
            bundle=str(raw["bundle"]),
            model=str(raw["model"]),
            input_shape=tuple(int(x) for x in raw["input_shape"]),
            entries=tuple(Entry(*(str(e[n]) for n in names)) for e in raw["configurations"]),
            shared=tuple((str(s["file"]), str(s["sha256"])) for s in raw.get("shared", [])),
            baselines={str(k): float(v) for k, v in raw.get("baseline_ms", {}).items()},
        )
    except OSError as error:
        raise MeasureError(
            f"a bundle must hold manifest.json: {error}; start in its folder"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise MeasureError(f"{path} is damaged ({why}); copy the bundle again") from None
    if sum(e.role == "reference" for e in manifest.entries) != 1:
        raise MeasureError(f"{path} must name exactly one reference; make the bundle again")
    return manifest


def damage(folder: str, file: str, sha256: str) -> str:
    """What is wrong with a file of the bundle; empty where nothing is."""
    digest = hashlib.sha256()
    try:
        with open(os.path.join(folder, file), "rb") as stream:
            for block in iter(functools.partial(stream.read, 1 << 20), b""):
                digest.update(block)
    except OSError as error:
        return f"{file} cannot be read ({error.strerror})"
    if digest.hexdigest() == sha256:
        return ""
    return f"{file} is not what the manifest says (cut or changed)"


def check_files(manifest: BundleManifest) -> tuple[list[Entry], list[str]]:
    """Entries whose files are whole, and what is wrong with the others.

    Raises `MeasureError` where the reference or a file that all networks share is damaged.
    """
    needed = [*manifest.shared, (manifest.reference.file, manifest.reference.sha256)]
    for file, sha256 in needed:
        wrong = damage(manifest.folder, file, sha256)
        if wrong:
            raise MeasureError(
                f"{wrong}, and nothing can be measured without it; copy the bundle again"
            )
    whole, broken = [], []
    for entry in manifest.entries:
        wrong = damage(manifest.folder, entry.file, entry.sha256)
        if wrong:
            broken.append(wrong)
        else:
            whole.append(entry)
    return whole, broken


# ------------------------------------------------------------------------------------ the results


class Results:
    """The CSV: append-only while measuring, repaired on opening, rescaled at the end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.repaired = ""
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        """Read what is there, cut a torn end off, lock. Raises `MeasureError`."""
        try:
            self._file = open(self.path, "a+b")  # noqa: SIM115
        except OSError as error:
            raise MeasureError(
                f"{self.path} must be writable: {error.strerror}; use --out"
            ) from None
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise MeasureError(f"{self.path} must be a regular file; use another --out")
        self._lock()
        self._file.seek(0)
        data = self._file.read()
        good = self._parse(data)
        if good < len(data):
            self.repaired = f"cut a torn line off {self.path}"
            self._file.truncate(good)
        if good == 0:
            self._write(",".join(COLUMNS) + "\n")

    def _lock(self) -> None:
        with contextlib.suppress(ImportError):
            fcntl = importlib.import_module("fcntl")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise MeasureError(
                        f"another measure.py writes {self.path}; wait for it"
                    ) from None

    def _parse(self, data: bytes) -> int:
        """Fill `rows`; how many bytes of `data` are whole lines of ours."""
        header = (",".join(COLUMNS) + "\n").encode()
        if not data.startswith(header):
            # A power cut leaves the start of the header, or zero bytes in its place.
            if header.startswith(data.rstrip(b"\0")):
                return 0
            raise MeasureError(f"{self.path} was not written by this measure.py; use another --out")
        good = len(header)
        while good < len(data):
            end = data.find(b"\n", good) + 1
            row = _row_of_line(data[good:end]) if end else None
            if row is None:
                if end and data.find(b"\n", end) >= 0:
                    number = data[:end].count(b"\n")
                    raise MeasureError(
                        f"{self.path} line {number} is damaged; remove it or use --out"
                    )
                break
            self.rows.append(row)
            good = end
        return good

    def _write(self, text: str) -> None:
        assert self._file is not None
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise MeasureError(
                f"{self.path} cannot be written: {error.strerror}; free space"
            ) from None

    def append(self, row: Row) -> None:
        """Add a row and force it to the disk."""
        # Known before it is written: an interrupt in between must not lose it in `finish`.
        self.rows.append(row)
        try:
            self._write(_line(row))
        except MeasureError:
            self.rows.remove(row)
            raise

    def of(self, session: tuple[str, str, str]) -> list[Row]:
        """The rows of one (bundle, runtime, device)."""
        return [r for r in self.rows if (r["bundle"], r["runtime"], r["device_id"]) == session]

    def finish(self, session: tuple[str, str, str], fixed_ms: float | None) -> None:
        """Give all rows of `session` one baseline; replaces the file at once."""
        mine = self.of(session)
        if not mine:
            return
        rescale(mine, fixed_ms)
        temporary = self.path + ".new"
        try:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                file.write(",".join(COLUMNS) + "\n" + "".join(map(_line, self.rows)))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise MeasureError(
                f"{self.path} cannot be written: {error.strerror}; free space"
            ) from None

    def close(self) -> None:
        """Close the file and give up the lock."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _row_of_line(line: bytes) -> Row | None:
    """The row, None where the line is no whole row of ours."""
    try:
        fields = next(csv.reader([line.decode().rstrip("\n")]), [])
        row = dict(zip(COLUMNS, fields))  # noqa: B905
        whole = len(fields) == len(COLUMNS) and b"\0" not in line
        for name in (*SCALED, "baseline_ms", "reference_ms", "reference_quiet_ms"):
            whole = whole and float(row[name]) > 0
    except (ValueError, csv.Error):
        return None
    return row if whole else None


def _line(row: Row) -> str:
    values = [row.get(name, "") for name in COLUMNS]
    quoted = ['"' + v.replace('"', '""') + '"' if set(v) & set(',"\n\r') else v for v in values]
    return ",".join(quoted) + "\n"


def rescale(rows: Sequence[Row], fixed_ms: float | None = None) -> None:
    """Give `rows` one baseline (ms): `fixed_ms`, or what `baseline` makes of them."""
    names = ("reference_quiet_ms", "reference_cpu_ms", "reference_wait")
    quiet, cpu, waits = ([float(r[name]) for r in rows if r[name]] for name in names)
    common = fixed_ms or baseline(quiet, cpu, waits)
    for row in rows:
        old = float(row["baseline_ms"])
        for name in SCALED:
            row[name] = number_text(float(row[name]) * common / old)
        if row["power_w"]:
            row["energy_mj"] = number_text(float(row["power_w"]) * float(row["latency_ms"]))
        row["baseline_ms"] = number_text(common)
        drift = 100 * (float(row["reference_ms"]) / common - 1)
        row["reference_drift_pct"] = f"{drift:.2f}"


def number_text(value: float | None) -> str:
    """Seven significant digits; empty for None."""
    return "" if value is None else f"{value:.7g}"


# ---------------------------------------------------------------------------------- the sessions

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "nnapi": "NnapiExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "dml": "DmlExecutionProvider",
    "acl": "ACLExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
}


@dataclass(frozen=True)
class Engine:
    """onnxruntime with one provider; all sessions get the same options."""

    ort: Any
    provider: str
    threads: int

    @classmethod
    def load(cls, provider: str, threads: int) -> Engine:
        """Import onnxruntime and check the provider; raises `MeasureError`."""
        try:
            ort = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise MeasureError(
                f"onnxruntime is needed ({error}); install it: python3 -m pip install onnxruntime"
            ) from None
        full = PROVIDERS.get(provider.lower(), provider)
        there = ort.get_available_providers()
        if full not in there:
            raise MeasureError(
                f"--provider must be available here, but got {provider!r}; there are: "
                + ", ".join(there)
            )
        return cls(ort, full, threads)

    @property
    def runtime(self) -> str:
        """For example `onnxruntime-1.31.1-cpu-1t`."""
        short = {v: k for k, v in PROVIDERS.items()}.get(self.provider, self.provider)
        return f"onnxruntime-{self.ort.__version__}-{short}-{self.threads}t"

    def stopwatch(self, manifest: BundleManifest, entry: Entry) -> Stopwatch:
        """Open a session on `entry`; raises `MeasureError`."""
        options = self.ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Two sessions are open at a time: the idle one's threads must not spin beside the other.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        path = os.path.join(manifest.folder, entry.file)
        wanted = list(dict.fromkeys([self.provider, "CPUExecutionProvider"]))
        try:
            session = self.ort.InferenceSession(path, options, providers=wanted)
            name = session.get_inputs()[0].name
            values = np.random.default_rng(0).standard_normal(manifest.input_shape)
            feed = {name: values.astype(np.float32)}
            session.run(None, feed)
        except Exception as error:
            # onnxruntime's own exceptions share no base class but this.
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise MeasureError(
                f"{entry.file} does not run on {self.provider}: {first[:300]}"
            ) from None
        if session.get_providers()[0] != self.provider:
            raise MeasureError(
                f"{self.provider} must run the network, but onnxruntime fell back to "
                f"{session.get_providers()[0]}; check its driver or use --provider"
            )

        def run() -> None:
            session.run(None, feed)

        # With more threads CPU times add up, and an accelerator's work is not in them.
        alone = self.threads == 1 and self.provider == PROVIDERS["cpu"]
        return Stopwatch(run, cpu=time.thread_time if alone else None)


# ----------------------------------------------------------------------------------- the session


def schedule(entries: Sequence[Entry], rounds: int, seed: int) -> list[tuple[int, Entry]]:
    """(round, entry) in the order of measuring.

    The reference opens each round, the rest is shuffled. In the first round the anchors come
    before the others: they tie devices together and must be there when time runs out.
    """
    order: list[tuple[int, Entry]] = []
    for number in range(1, rounds + 1):
        mixed = sorted(entries, key=lambda e: e.file)
        random.Random(f"{seed}/{number}").shuffle(mixed)
        first = ("reference", "anchor") if number == 1 else ("reference",)
        mixed.sort(key=lambda e: first.index(e.role) if e.role in first else len(first))
        order += [(number, e) for e in mixed]
    return order


@dataclass
class Progress:
    """A line on stderr that tells what is done and how long the rest takes."""

    total: int
    shown: bool
    started: float = field(default_factory=time.monotonic)
    done: int = 0

    def show(self, text: str) -> None:
        if not self.shown:
            return
        left = ""
        if self.done:
            seconds = (time.monotonic() - self.started) / self.done * (self.total - self.done)
            left = f"  ETA {duration(seconds)}"
        width = shutil.get_terminal_size().columns - 1
        line = f"[{self.done}/{self.total}]{left}  {text}"
        sys.stderr.write("\r" + line[:width].ljust(width))
        sys.stderr.flush()

    def end(self) -> None:
        if self.shown:
            sys.stderr.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def say(text: str) -> None:
    """One line to the person, on stderr."""
    print(f"measure: {text}", file=sys.stderr, flush=True)


def row_of(
    manifest: BundleManifest,
    entry: Entry,
    engine: Engine,
    result: Estimate,
    context: dict[str, float],
    extra: Row,
) -> Row:
    """The CSV row with the measurement's own quiet reference as a provisional baseline."""
    base, cpu = 1000 * result.reference_quiet_s, result.reference_cpu_s
    row = {name: number_text(context.get(name)) for name in CONTEXT}
    for name, ratio in (
        ("latency_ms", result.ratio.value),
        ("latency_p95_ms", result.p95),
        ("latency_ci_low_ms", result.ratio.low),
        ("latency_ci_high_ms", result.ratio.high),
        ("latency_p90_ms", result.p90),
        ("latency_p99_ms", result.p99),
    ):
        row[name] = number_text(ratio * base)
    return {
        **row,
        "energy_mj": "",
        "model": manifest.model,
        "channels": entry.channels,
        "role": entry.role,
        "bundle": manifest.bundle,
        "runs": str(result.runs),
        "batch_size": str(manifest.input_shape[0]),
        "runtime": engine.runtime,
        "threads": str(engine.threads),
        "provider": engine.provider,
        "governor": governor(),
        "latency_raw_ms": number_text(1000 * result.raw_s),
        "relative_latency": number_text(result.ratio.value),
        "baseline_ms": number_text(base),
        "reference_ms": number_text(1000 * result.reference_s),
        "reference_quiet_ms": number_text(base),
        "reference_cpu_ms": number_text(cpu and 1000 * cpu),
        "reference_wait": number_text(result.reference_wait),
        "slices": str(len(result.ratio.used)),
        "slices_used": str(sum(result.ratio.used)),
        "clock": result.clock,
        **extra,
    }


@dataclass
class Session:
    """One run of the program over what is left to measure."""

    manifest: BundleManifest
    engine: Engine
    results: Results
    protocol: Protocol
    device: str
    seed: int
    fixed_ms: float | None
    stop_at: float
    left: list[tuple[int, Entry]]
    failed: int = 0

    def run(self, progress: Progress) -> int:
        """Measure until nothing is left or the time is over; how many remain."""
        reference = self.engine.stopwatch(self.manifest, self.manifest.reference)
        reference.warm_up(self.protocol)
        longest = 0.0
        for position, (number, entry) in enumerate(self.left):
            started = time.monotonic()
            if started + longest > self.stop_at:
                return len(self.left) - position
            progress.show(f"round {number}  {entry.channels or 'dense'}")
            progress.done += 1
            try:
                candidate = self._open(entry, reference)
            except MeasureError as problem:
                say(f"skipped: {problem}")
                self.failed += 1
                continue
            row = self._measure(entry, number, candidate, reference)
            del candidate  # its memory, before the next is opened
            # Provisional until the end: the baseline of what is known so far.
            rescale([*map(dict, self.results.of(self.key)), row], self.fixed_ms)
            self.results.append(row)
            longest = max(longest, time.monotonic() - started)
        return 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What rows must share to have one baseline: bundle, runtime, device."""
        return self.manifest.bundle, self.engine.runtime, self.device

    def _open(self, entry: Entry, reference: Stopwatch) -> Stopwatch:
        if entry.role == "reference":
            return Stopwatch(reference.run, cpu=reference.cpu)
        return self.engine.stopwatch(self.manifest, entry)

    def _measure(
        self, entry: Entry, number: int, candidate: Stopwatch, reference: Stopwatch
    ) -> Row:
        watch = Watch()
        watch.restart()
        began = datetime.now(timezone.utc)  # noqa: UP017 (Python 3.9)
        gc.collect()
        gc.disable()
        try:
            result, attempts = measure_one(
                candidate, reference, self.protocol, self.seed, watch.sample
            )
        finally:
            gc.enable()
        extra = {
            "device_id": self.device,
            "timestamp": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "round": str(number),
            "attempts": str(attempts),
            "warmup_runs": str(candidate.warmups),
            "marked": marks(result, candidate, self.protocol),
        }
        return row_of(self.manifest, entry, self.engine, result, watch.summary(), extra)


# ------------------------------------------------------------------------------ the command line


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def _device(text: str) -> str:
    if not 1 <= len(text) <= 128:
        raise argparse.ArgumentTypeError("must have 1 to 128 characters")
    return text


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(
        prog="measure.py",
        description="Measure the networks of this bundle and write a CSV for `hdap ingest`.",
    )
    add = result.add_argument
    add("--bundle", default=os.path.dirname(os.path.abspath(__file__)), help="folder of the bundle")
    add("--threads", type=_count, default=1, help="threads of an inference (default 1)")
    add("--runs", type=_count, default=50, help="least inferences a measurement (default 50)")
    add("--min-seconds", type=_positive, default=3.0, help="least seconds (default 3)")
    add("--rounds", type=_count, default=1, help="how often each is measured (default 1)")
    add("--threshold", type=_positive, default=5.0, help="%% the reference may move (default 5)")
    add("--provider", default="cpu", help=f"{', '.join(PROVIDERS)} or a full name (default cpu)")
    add("--device-id", type=_device, help="default: a hash of the machine's id")
    add("--baseline-ms", type=_positive, help="the reference's latency on this device, if known")
    add("--max-seconds", type=_positive, default=math.inf, help="stop after this time")
    add("--out", help="the CSV (default: measured-DEVICE.csv in the bundle)")
    add("--seed", type=int, default=0, help="order of measuring")
    add("--list", action="store_true", help="list the networks and what is done; measure nothing")
    add("--dry-run", action="store_true", help="run each network once; write nothing")
    return result


def _list(manifest: BundleManifest, entries: Sequence[Entry], done: set[tuple[str, str]]) -> None:
    print("rounds done  role       file  channels")
    for entry in entries:
        count = sum(channels == entry.channels for channels, _ in done)
        print(f"{count:11d}  {entry.role:9}  {entry.file}  {entry.channels or '(dense)'}")


def _dry_run(manifest: BundleManifest, engine: Engine, entries: Sequence[Entry]) -> None:
    for entry in entries:
        watch = engine.stopwatch(manifest, entry)
        level = watch.slice(1, 0.0).level
        print(f"{1000 * level:9.2f} ms (one run)  {entry.file}  {entry.channels or '(dense)'}")


def _default_out(manifest: BundleManifest, device: str) -> str:
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in device)
    return os.path.join(manifest.folder, f"measured-{safe}.csv")


def measure(options: argparse.Namespace) -> int:
    """Do what the options say; the exit status."""
    manifest = read_manifest(options.bundle)
    entries, broken = check_files(manifest)
    for wrong in broken:
        say(f"skipped: {wrong}")
    device = options.device_id or device_identity()
    out = options.out or _default_out(manifest, device)
    engine = Engine.load(options.provider, options.threads)
    if options.dry_run:
        _dry_run(manifest, engine, entries)
        return int(bool(broken))
    results = Results(out)
    if options.list and not os.path.exists(out):
        _list(manifest, entries, set())
        return int(bool(broken))
    results.open()
    try:
        mine = results.of((manifest.bundle, engine.runtime, device))
        done = {(r["channels"], r["round"]) for r in mine}
        if options.list:
            _list(manifest, entries, done)
            return int(bool(broken))
        return _measure_rest(options, manifest, engine, results, entries, device, done) or int(
            bool(broken)
        )
    finally:
        results.close()


def _measure_rest(
    options: argparse.Namespace,
    manifest: BundleManifest,
    engine: Engine,
    results: Results,
    entries: Sequence[Entry],
    device: str,
    done: set[tuple[str, str]],
) -> int:
    order = schedule(entries, options.rounds, options.seed)
    left = [(n, e) for n, e in order if (e.channels, str(n)) not in done]
    if results.repaired:
        say(results.repaired)
    if len(left) < len(order):
        say(f"going on: {len(order) - len(left)} of {len(order)} were measured before")
    session = Session(
        manifest=manifest,
        engine=engine,
        results=results,
        protocol=Protocol(options.runs, options.min_seconds, options.threshold / 100),
        device=device,
        seed=options.seed,
        fixed_ms=options.baseline_ms or manifest.baselines.get(device),
        stop_at=time.monotonic() + options.max_seconds,
        left=left,
    )
    progress = Progress(len(left), sys.stderr.isatty())
    remain = len(left)
    try:
        remain = session.run(progress) if left else 0
    except KeyboardInterrupt:
        progress.end()
        say("stopped; what was measured is kept, start again to go on")
        return 130
    finally:
        progress.end()
        results.finish(session.key, session.fixed_ms)
    if remain:
        say(f"the time is over with {remain} of {len(order)} left; start again to go on")
    marked = sum(bool(r["marked"]) for r in results.rows)
    say(f"{results.path}: {len(results.rows)} rows, {marked} marked; next: hdap ingest on it")
    return int(session.failed > 0)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0, 1 (a problem), 2 (usage) or 130 (stopped)."""
    options = parser().parse_args(argv)
    with contextlib.suppress(ValueError):  # only the main thread may set a handler
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        return measure(options)
    except MeasureError as problem:
        say(f"error: {problem}")
        return 1
    except MemoryError:
        say("error: the memory is not enough for the reference and one more network")
        return 1
    except KeyboardInterrupt:
        say("stopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
