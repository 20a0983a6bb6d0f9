"""Context columns as features: the median of each column that differs between devices."""

from dataclasses import dataclass

import numpy as np

from hdap.clustering.features import Feature
from hdap.clustering.grouping import grouped_less, grouped_medians, grouped_rows, median_size
from hdap.clustering.workload_effect import MAD_TO_SD
from hdap.fleet_data.records import Codes, Floats, Measurements, Reals
from hdap.fleet_data.row_blocks import row_blocks


@dataclass(frozen=True)
class Quantity:
    """How differences of a column count: as ratios (`ratio`) or as they are, from `material` on.

    `drives`: it is known to move latency, so that a small fleet need not prove it.
    """

    material: float
    ratio: bool = False
    drives: bool = False


QUANTITIES = {
    "cpu_freq_mhz": Quantity(0.03, ratio=True, drives=True),
    "gpu_freq_mhz": Quantity(0.03, ratio=True, drives=True),
    "temperature_c": Quantity(2.0, drives=True),
    "cpu_load_pct": Quantity(5.0, drives=True),
    "mem_available_mb": Quantity(0.2, ratio=True),
    "battery_pct": Quantity(10.0),
    "battery_health_pct": Quantity(5.0),
    "power_w": Quantity(0.05, ratio=True, drives=True),
    "energy_mj": Quantity(0.05, ratio=True),
}
BELIEF = 10.0
"""Devices that the belief in a column that drives latency counts for."""
OTHER_SHARE = 0.05
"""A column that nobody described: differences below this share of its own range do not count."""


def context_features(measurements: Measurements) -> list[Feature]:
    """A feature for each context column whose device medians differ materially, names in order."""
    found = []
    for name in sorted(measurements.context):
        feature = _feature(name, measurements.context[name], measurements)
        if feature is not None:
            found.append(feature)
    return found


def belief(name: str) -> float:
    """How many devices' worth of belief a column starts with that it goes with latency."""
    quantity = QUANTITIES.get(name)
    return BELIEF if quantity is not None and quantity.drives else 0.0


def _feature(name: str, column: Reals, measurements: Measurements) -> Feature | None:
    device, devices = measurements.device, len(measurements.devices.ids)
    quantity = QUANTITIES.get(name)
    value = grouped_medians(device, column, devices, measurements.reduced_rows)
    shown, known = value, value[np.isfinite(value)]
    if len(known) < 2:
        return None
    ratio = quantity is not None and quantity.ratio
    if ratio:
        if known.min() <= 0:
            return None
        # Distances are ratios; the column stays what it is for people to read.
        value, known = np.log(value), np.log(known)
    material = quantity.material if quantity else OTHER_SHARE * float(np.ptp(known))
    if np.ptp(known) <= material:
        return None
    counts = measurements.reduced_rows
    there = np.isfinite(column)
    rows = grouped_rows(device[there], devices, None if counts is None else counts[there])
    error = _noise(column, value, device, ratio) / np.sqrt(np.maximum(rows, 1))
    return Feature(name, value, error, material, shown=shown)


def _noise(column: Reals, middle: Floats, device: Codes, ratio: bool) -> float:
    """Standard deviation of rows (n) about the `middle` of their device (D)."""
    left = np.empty(len(column))
    for part in row_blocks(len(column)):
        value = column[part].astype(np.float64)
        left[part] = np.log(np.maximum(value, 1e-300)) if ratio else value
    return MAD_TO_SD * median_size(grouped_less(device, left, middle, out=left))
