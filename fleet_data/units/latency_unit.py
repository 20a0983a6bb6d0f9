"""Units of latency: what a person may name, and what they are in milliseconds."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hdap.fleet_data.errors import InputError

UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4}
"""Milliseconds of each unit."""
_NAMES = {
    "ns": "nanoseconds",
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "min": "minutes",
}
_ALSO = {"µs": "us", "μs": "us"}
_SHAPE = re.compile(r"(?P<times>[0-9]+(\.[0-9]*)?|\.[0-9]+)?\s*(?P<unit>[a-zµμ]+)")
_SAME = 1e-5
"""Relative difference up to which two units are one: a multiple is written with six digits."""


@dataclass(frozen=True)
class LatencyUnits:
    """What somebody says of the latencies of a file: `of_all` is milliseconds per unit (None:
    nothing is said), `of_device` the same of single devices. `sure`: believed whatever the fleet
    says."""

    of_all: float | None = None
    of_device: Mapping[str, float] = field(default_factory=dict)
    sure: bool = False

    @property
    def said(self) -> bool:
        """Whether anything is said."""
        return self.of_all is not None or bool(self.of_device)


def parse_units(texts: Iterable[str], sure: bool = False) -> LatencyUnits:
    """From `us` for all devices and `DEVICE=us` for one, any number of them.

    Raises InputError for a unit that is not known, or two for one device.
    """
    of_all: float | None = None
    of_device: dict[str, float] = {}
    for text in texts:
        device, _, unit = text.rpartition("=")
        value = unit_ms(unit)
        before = of_device.get(device) if device else of_all
        if before is not None and before != value:
            raise InputError(
                f"`--unit` must be said once for {device or 'the whole file'}, but got {text!r} "
                f"after {unit_text(before)}: leave one out"
            )
        if device:
            of_device[device] = value
        else:
            of_all = value
    if sure and of_all is None and not of_device:
        raise InputError("`--sure` must go with a unit, but none is said: give --unit ms too")
    return LatencyUnits(of_all, of_device, sure)


def unit_ms(text: str) -> float:
    """Milliseconds of a unit or of a multiple of one (`us`, `60ms`). Raises InputError."""
    found = _SHAPE.fullmatch(text.strip())
    name = _ALSO.get(found["unit"], found["unit"]) if found else ""
    times = float(found["times"] or 1.0) if found else 0.0
    if name not in UNITS or not times > 0.0:
        raise InputError(
            f"a unit must be one of {', '.join(UNITS)}, a multiple (60ms), or one of them for a "
            f"device (cam-7=us), but got {text!r}"
        )
    return times * UNITS[name]


def unit_text(ms: float) -> str:
    """How a person writes the unit of so many milliseconds: `us`, `60ms`."""
    for name, value in UNITS.items():
        if abs(ms - value) <= _SAME * value:
            return name
    name = next((n for n in ("min", "s", "ms", "us") if ms >= UNITS[n]), "ns")
    return f"{ms / UNITS[name]:.6g}{name}"


def unit_name(ms: float) -> str:
    """The unit of so many milliseconds in words: `microseconds`, `another unit (60ms)`."""
    text = unit_text(ms)
    return _NAMES.get(text, f"another unit ({text})")
