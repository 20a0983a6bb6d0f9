"""What is special about a cluster, in words, from its fingerprint."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hdap.clustering.fingerprint import Axis, Fingerprint
from hdap.fleet_data.records import Bools, TextColumn
from hdap.fleet_data.software import format_software, show_software
from hdap.fleet_data.wording import percent, times

TYPICAL = "typical"
LATENCY_MATERIAL = 1.03
IN_TIMES = 1.2
SLOPE_MATERIAL = 0.03
TAIL_MATERIAL = 0.05
SPREAD_MATERIAL = 0.03
NEARLY_ALL = 0.9
THROTTLED_CLOCK = 0.75
THROTTLED_LATENCY = 1.1


@dataclass(frozen=True)
class FeatureWords:
    """How a column is told: from `material` on (a ratio or a difference), in which words."""

    material: float
    high: str
    low: str
    unit: str
    ratio: bool = False


CONTEXT_WORDS = {
    "cpu_freq_mhz": FeatureWords(0.08, "high clock", "low clock", "{:,.0f} MHz", ratio=True),
    "gpu_freq_mhz": FeatureWords(
        0.08, "high GPU clock", "low GPU clock", "{:,.0f} MHz", ratio=True
    ),
    "temperature_c": FeatureWords(5.0, "hot", "cool", "{:.0f} °C"),
    "cpu_load_pct": FeatureWords(15.0, "busy", "idle", "{:.0f} % load"),
    "mem_available_mb": FeatureWords(
        0.3, "much free memory", "little free memory", "{:,.0f} MB", True
    ),
    "battery_pct": FeatureWords(20.0, "full battery", "low battery", "{:.0f} %"),
    "battery_health_pct": FeatureWords(8.0, "healthy battery", "worn battery", "{:.0f} %"),
    "power_w": FeatureWords(0.15, "high power", "low power", "{:.2g} W", ratio=True),
    "energy_mj": FeatureWords(0.15, "much energy", "little energy", "{:.3g} mJ", ratio=True),
}
CLOCKS = ("cpu_freq_mhz", "gpu_freq_mhz")


def describe(
    prints: Fingerprint,
    member: Bools,
    relative_latency: float,
    software: Mapping[str, TextColumn] | None = None,
) -> str:
    """What is materially different about the `member` devices (D), or "typical".

    Everything is compared with the fleet's median device; `relative_latency` is the cluster's
    latency over the fleet's. `software` are the columns of what the devices run.
    """
    said = [_latency(relative_latency)]
    for name in prints.names:
        column = prints.raw[:, prints.names.index(name)]
        known = np.isfinite(column)
        if not (known & member).any():
            continue
        here, fleet = float(np.median(column[known & member])), float(np.median(column[known]))
        if name in prints.axes:
            said.append(_slope(here, fleet, prints.axes[name]))
        elif name in LATENCY_WORDS:
            said.append(LATENCY_WORDS[name](here, fleet))
        elif name in CLOCKS and here <= THROTTLED_CLOCK * fleet:
            said.append(_slow_clock(name, here, fleet, relative_latency))
        elif name != "offset":
            said.append(_context(name, here, fleet, float(np.ptp(column[known]))))
    said.append(_software(software or {}, member))
    # Several slopes may say the same.
    return "; ".join(words for words in dict.fromkeys(said) if words) or TYPICAL


def _software(software: Mapping[str, TextColumn], member: Bools) -> str:
    """What nearly all members run, and not nearly all of the fleet."""
    found = {}
    for name, column in software.items():
        share = np.bincount(column.codes[member], minlength=len(column.texts)) / member.sum()
        common = int(share.argmax())
        if share[common] >= NEARLY_ALL > float(np.mean(column.codes == common)):
            found[name] = column.texts[common]
    told = format_software(found)
    return f"runs {show_software(told)}" if told else ""


def _latency(relative: float) -> str:
    ratio, word = (relative, "slower") if relative >= 1 else (1 / relative, "faster")
    if ratio < LATENCY_MATERIAL:
        return ""
    if ratio >= IN_TIMES:
        return f"{times(ratio)} {word} than the fleet"
    return f"{percent(ratio - 1, 0)} {word} than the fleet"


def _slope(here: float, fleet: float, axis: Axis) -> str:
    if abs(here - fleet) < SLOPE_MATERIAL:
        return ""
    more = here > fleet
    if axis is Axis.MEMORY:
        return "memory-bound" if more else "compute-bound"
    if axis is Axis.LARGE:
        return f"slow on {'large' if more else 'small'} networks"
    return "ranks networks in its own way"


def _tail(here: float, fleet: float) -> str:
    if here - fleet < TAIL_MATERIAL:
        return ""
    return f"unsteady tail (p95 {percent(np.expm1(here), 0)} above the median)"


def _spread(here: float, fleet: float) -> str:
    return f"unsteady (varies by {percent(here, 0)})" if here - fleet >= SPREAD_MATERIAL else ""


LATENCY_WORDS: dict[str, Callable[[float, float], str]] = {
    "tail": _tail,
    "spread": _spread,
}


def _slow_clock(name: str, here: float, fleet: float, relative_latency: float) -> str:
    words = CONTEXT_WORDS[name]
    value = words.unit.format(here)
    if relative_latency < THROTTLED_LATENCY:
        return f"{words.low} ({value})"
    return f"throttles ({words.low[4:]} {value}, {percent(1 - here / fleet, 0)} below the fleet's)"


def _context(name: str, here: float, fleet: float, span: float) -> str:
    words = CONTEXT_WORDS.get(name)
    if words is None:
        words = FeatureWords(0.25 * span, f"high {name}", f"low {name}", "{:.3g}")
    apart = np.log(here / fleet) if words.ratio else here - fleet
    if abs(apart) < words.material:
        return ""
    return f"{words.high if apart > 0 else words.low} ({words.unit.format(here)})"
