"""What the operating system tells of the device (sysfs, procfs); what it does not is None.

The one set of sensors of measuring, controller and switcher: `Sensors.read`.
"""

from __future__ import annotations

import contextlib
import glob
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial


def read_text(*parts: str) -> str:
    """The stripped text of a file, empty where it cannot be read."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as file:
            return file.read().strip().strip("\0")
    except (OSError, ValueError):  # a name with a zero byte is a ValueError
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
    if len(ticks) < 5 or not all(map(math.isfinite, ticks)):
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


PLAUSIBLE = {
    "cpu_freq_mhz": (1.0, 20_000.0),
    "gpu_freq_mhz": (1.0, 20_000.0),
    "temperature_c": (-40.0, 150.0),
    "cpu_load_pct": (0.0, 100_000.0),  # a load average counts what waits too
    "mem_available_mb": (0.0, 1e9),
    "battery_pct": (0.0, 100.0),
    "battery_health_pct": (0.0, 100.0),
    "power_w": (0.0, 100_000.0),
}
"""What a device can be like; a reading beyond is a broken sensor's, or another unit's."""


def known(name: str, read: Callable[[], float | None]) -> float | None:
    """What `read` gives for the column `name`; None for garbage, whatever files hold."""
    try:
        value = read()
    except (OSError, LookupError, TypeError, ValueError, ArithmeticError):
        return None
    low, high = PLAUSIBLE[name]
    # not so for NaN either
    return value if value is not None and low <= value <= high else None


@dataclass(frozen=True)
class Reading:
    """What the device tells; None: it does not. `clock` is over the typical one."""

    clock: float | None = None
    cpu_freq_mhz: float | None = None
    gpu_freq_mhz: float | None = None
    temperature_c: float | None = None
    cpu_load_pct: float | None = None
    mem_available_mb: float | None = None
    battery_pct: float | None = None
    battery_health_pct: float | None = None
    power_w: float | None = None


READERS = {
    read.__name__: read
    for read in (
        cpu_freq_mhz,
        gpu_freq_mhz,
        temperature_c,
        mem_available_mb,
        battery_pct,
        battery_health_pct,
        power_w,
    )
}
CONTEXT = tuple(field.name for field in fields(Reading) if field.name != "clock")
"""Names of all that is read: columns of telemetry."""


class Sensors:
    """Reads the device's own files below `root`.

    `typical_mhz` is what clock 1.0 is of the column `clock_column`; without it nobody knows the
    clock.
    """

    def __init__(
        self,
        root: str = "/",
        typical_mhz: float | None = None,
        clock_column: str | None = "cpu_freq_mhz",
    ) -> None:
        self.root, self.typical_mhz = root, typical_mhz
        self.clock_column = clock_column or "cpu_freq_mhz"
        self._ticks, self._own = cpu_ticks(root), time.process_time()

    def read(self, names: Sequence[str] = CONTEXT) -> Reading:
        """All of `names` at once; load since it was last read, without this process."""
        found = {
            name: known(name, partial(READERS[name], self.root))
            for name in names
            if name in READERS
        }
        if "cpu_load_pct" in names:
            found["cpu_load_pct"] = known("cpu_load_pct", self._load_pct)
        mhz, clock = found.get(self.clock_column), None
        if mhz and self.typical_mhz:
            clock = mhz / self.typical_mhz
        return Reading(clock, **found)

    def _load_pct(self) -> float | None:
        ticks, own = cpu_ticks(self.root), time.process_time()
        hertz = float(os.sysconf("SC_CLK_TCK")) if hasattr(os, "sysconf") else 100.0
        load = others_load_pct(self._ticks, ticks, own - self._own, hertz)
        self._ticks, self._own = ticks, own
        return loadavg_pct(self.root) if load is None else load
