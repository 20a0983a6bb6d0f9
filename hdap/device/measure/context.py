"""The context of a measurement, and a stable name for the device."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
from dataclasses import asdict
from functools import partial

from hdap.device.checked_files import finite
from hdap.device.sensors import Sensors, known, read_text

QUICK = ("cpu_freq_mhz", "gpu_freq_mhz", "temperature_c", "power_w")
"""What changes within a measurement."""


def termux_battery(command: str = "termux-battery-status") -> dict[str, float]:
    """Battery under Termux, where Android hides sysfs; empty without Termux:API."""
    found: dict[str, float] = {}
    if shutil.which(command) is None:
        return found
    with contextlib.suppress(OSError, ValueError, RecursionError, subprocess.SubprocessError):
        done = subprocess.run([command], capture_output=True, timeout=5, check=True)
        status = json.loads(done.stdout)
        if not isinstance(status, dict):
            return found
        for ours, theirs in (("battery_pct", "percentage"), ("temperature_c", "temperature")):
            value = known(ours, partial(finite, status.get(theirs)))
            if value is not None:
                found[ours] = value
    return found


class ContextSampler:
    """Samples the context between slices; `summary` gives the medians of one measurement."""

    def __init__(self, root: str = "/") -> None:
        self.sensors = Sensors(root)
        self._seen: dict[str, list[float]] = {name: [] for name in QUICK}

    def sample(self) -> None:
        """Read everything that changes quickly."""
        reading = self.sensors.read(QUICK)
        for name, values in self._seen.items():
            value = getattr(reading, name)
            if value is not None:
                values.append(value)

    def summary(self) -> dict[str, float]:
        """Context of the measurement; what is unknown is absent."""
        told = asdict(self.sensors.read())
        told |= {name: statistics.median(values) for name, values in self._seen.items() if values}
        here = {name: value for name, value in told.items() if value is not None}
        if self.sensors.root == "/" and "battery_pct" not in here:
            here = {**termux_battery(), **here}
        return here


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
