"""A device's fingerprint: what is left of its latencies once the workload is taken out.

Latency behaviour comes first: offset (how slow), slope (what it is slow at), tail (p95 over median)
and spread (how steady). Context counts only as far as it explains latency behaviour, because a
cluster is one latency function, not a group of devices with full batteries.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from hdap.clustering.context_features import belief, context_features
from hdap.clustering.features import Feature, fill_from_neighbours, relevance, standardise
from hdap.clustering.grouping import Groups, grouped_median, grouped_sum
from hdap.clustering.slope import Slopes, find_slopes
from hdap.clustering.workload_effect import MAD_TO_SD, Decomposition, decompose
from hdap.fleet_data.records import Floats, Measurements

OFFSET_MATERIAL = 0.02
SLOPE_MATERIAL = 0.02
TAIL_MATERIAL = 0.03
SPREAD_MATERIAL = 0.02
"""Differences below these (log latency: 0.02 is 2 %) change no decision about a network."""
LATENCY_FEATURES = ("offset", "slope", "tail", "spread")
BEHAVIOURS = ("offset", "slope")
"""What context must go with to count."""
SPREAD_ROWS = 4
PRIOR_ROWS = 4.0
"""Rows that the fleet's noise counts for in a device's own."""
ALIKE = 0.6
STEADINESS_WEIGHT = 0.5
CONTEXT_WEIGHT = 0.7


class Axis(Enum):
    """What a positive slope means: a device is relatively slow on workloads that are this."""

    NONE = "nothing"
    MEMORY = "memory-bound"
    LARGE = "large"
    OTHER = "particular"


@dataclass(frozen=True)
class Fingerprint:
    """`standard` (D x F, about 1 within a kind, weighted for clustering) and `raw` values (D x F).

    `raw` is in the units of the feature (NaN: not measured): log latency for `offset`, `slope`,
    `tail` and `spread`, the median of the column for context. `rows` (D) counts measurements.
    Context that counts for nothing is there with standard values of 0. `offset_sd` is the standard
    error of `offset` (D; NaN: rows are too few to tell). `axis` says what the slope is along.
    """

    names: tuple[str, ...]
    standard: Floats
    raw: Floats
    rows: Floats
    offset_sd: Floats
    axis: Axis

    @property
    def offset(self) -> Floats:
        """Log latency (D) against the fleet's median device, NaN for a device without rows."""
        return self.raw[:, self.names.index("offset")]

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the features that are context columns."""
        return tuple(name for name in self.names if name not in LATENCY_FEATURES)


def fingerprint(
    measurements: Measurements,
    rng: np.random.Generator,
    memory_boundness: Floats | None = None,
) -> Fingerprint:
    """Fingerprints of all D devices from n measurements (n >= 1).

    `memory_boundness` has a number for each configuration of `measurements` (say log bytes per
    multiply-accumulate; NaN where unknown); without it the axis is found in the residuals.
    """
    parts = decompose(measurements)
    device, devices = measurements.device, len(measurements.devices.ids)
    known = None if memory_boundness is None else memory_boundness[parts.configuration_of]
    slopes = find_slopes(parts, device, known, rng)
    rows = np.bincount(device, minlength=devices).astype(np.float64)
    latency = _latency_features(measurements, parts, slopes, rows)
    behaviours = [f.value for f in latency if f.name in BEHAVIOURS]
    context = []
    for feature in context_features(measurements):
        weight = CONTEXT_WEIGHT * relevance(feature.value, behaviours, belief(feature.name))
        context.append(feature.weighted(weight))
    guide = np.nan_to_num(parts.offset)
    standard = [standardise(f) for f in latency] + [
        fill_from_neighbours(standardise(f), np.isfinite(f.value), guide) for f in context
    ]
    features = latency + context
    raw = np.column_stack([f.readable for f in features])
    names = tuple(f.name for f in features)
    offset_sd = latency[0].error * _lost_freedom(parts, rows)
    axis = _axis(slopes, parts)
    return Fingerprint(names, np.column_stack(standard), raw, rows, offset_sd, axis)


def _lost_freedom(parts: Decomposition, rows: Floats) -> float:
    """By how much residuals look smaller than they are, because offsets and effects were fitted to
    them; NaN where nothing is left to tell the noise by."""
    left = float(rows.sum()) - np.count_nonzero(rows) - len(parts.effect)
    return float(np.sqrt(rows.sum() / left)) if left >= 1.0 else np.nan


def _axis(slopes: Slopes | None, parts: Decomposition) -> Axis:
    if slopes is None:
        return Axis.NONE
    if slopes.known:
        return Axis.MEMORY
    # Slopes are signed along the workloads' latency, so a strong correlation is a positive one.
    likeness = float(np.corrcoef(slopes.axis, parts.effect)[0, 1])
    return Axis.LARGE if likeness >= ALIKE else Axis.OTHER


def _latency_features(
    measurements: Measurements, parts: Decomposition, slopes: Slopes | None, rows: Floats
) -> list[Feature]:
    device, devices = measurements.device, len(rows)
    spread = MAD_TO_SD * grouped_median(device, np.abs(parts.residual), devices)
    own = np.nan_to_num(spread)
    noise = np.sqrt((rows * own**2 + PRIOR_ROWS * parts.scale**2) / (rows + PRIOR_ROWS))
    per_row = 1.0 / np.sqrt(np.maximum(rows, 1.0))
    found = [Feature("offset", parts.offset, noise * per_row, OFFSET_MATERIAL)]
    if slopes is not None:
        found.append(Feature("slope", slopes.value, slopes.error, SLOPE_MATERIAL))
    tail = _tail(measurements)
    if tail is not None:
        value, error = tail
        found.append(Feature("tail", value, error, TAIL_MATERIAL, STEADINESS_WEIGHT))
    if np.any(rows >= SPREAD_ROWS):
        steady = np.where(rows >= SPREAD_ROWS, spread, np.nan)
        found.append(Feature("spread", steady, noise * per_row, SPREAD_MATERIAL, STEADINESS_WEIGHT))
    return found


def _tail(measurements: Measurements) -> tuple[Floats, Floats] | None:
    """Median of log(p95 / median) by device with its error, or None where no row has a p95.

    The p95 of three runs is nearly their maximum and that of a hundred is not, so rows are
    compared with those of about as many runs.
    """
    given = np.isfinite(measurements.latency_p95_ms)
    if not given.any():
        return None
    device, devices = measurements.device[given], len(measurements.devices.ids)
    tail = np.log(measurements.latency_p95_ms[given] / measurements.latency_ms[given])
    size: Groups = np.rint(2 * np.log2(measurements.runs[given])).astype(np.int64)
    size = size - size.min()
    by_size = grouped_median(size, tail, int(size.max()) + 1)
    centred = tail - by_size[size] + float(np.median(tail))
    value = grouped_median(device, centred, devices)
    left = np.abs(centred - value[device])
    noise = MAD_TO_SD * float(np.median(left))
    count = grouped_sum(device, np.ones(len(device)), devices)
    return value, noise / np.sqrt(np.maximum(count, 1.0))
