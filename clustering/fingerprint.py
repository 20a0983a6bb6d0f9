"""A device's fingerprint: what is left of its latencies once the workload is taken out.

Latency behaviour comes first: offset (how slow), slope (what it is slow at), tail (p95 over median)
and spread (how steady). Context counts only as far as it explains latency behaviour, because a
cluster is one latency function, not a group of devices with full batteries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from hdap.clustering.context_features import belief, context_features
from hdap.clustering.features import Feature, fill_from_neighbours, relevance, standardise
from hdap.clustering.grouping import (
    grouped_less,
    grouped_median,
    grouped_medians,
    grouped_rows,
    median_size,
)
from hdap.clustering.slope import Slopes, find_slopes
from hdap.clustering.software_effect import expected_by_software
from hdap.clustering.workload_effect import MAD_TO_SD, decompose, deviations
from hdap.fleet_data.records import Bools, Floats, Measurements, TextColumn
from hdap.fleet_data.row_blocks import row_blocks

OFFSET_MATERIAL = 0.02
SLOPE_MATERIAL = 0.01
TAIL_MATERIAL = 0.03
SPREAD_MATERIAL = 0.02
"""Differences below these (log latency: 0.02 is 2 %) change no decision about a network. A slope's
is the root mean square over networks, and adds to the error of every prediction."""
STEADINESS = ("tail", "spread")
SPREAD_ROWS = 4
PRIOR_ROWS = 4.0
"""Rows that the fleet's noise counts for in a device's own."""
ALIKE = 0.6
STEADINESS_WEIGHT = 0.5
CONTEXT_WEIGHT = 0.7


class Axis(Enum):
    """What a positive slope means: a device is relatively slow on workloads that are this."""

    MEMORY = "memory-bound"
    LARGE = "large"
    OTHER = "particular"


@dataclass(frozen=True)
class Fingerprint:
    """`standard` (D x F, about 1 within a kind, weighted for clustering) and `raw` values (D x F).

    `raw` is in the units of the feature (NaN: not measured): log latency for `offset`, slopes,
    `tail` and `spread`, the median of the column for context. `rows` (D) counts measurements.
    Context that counts for nothing is there with standard values of 0. `offset_sd` is the standard
    error of `offset` (D; NaN: rows are too few to tell). `axes` says what each of the slopes
    (`slope`, `slope_2`, ...) is along.
    """

    names: tuple[str, ...]
    standard: Floats
    raw: Floats
    rows: Floats
    offset_sd: Floats
    axes: Mapping[str, Axis]

    @property
    def offset(self) -> Floats:
        """Log latency (D) against the fleet's median device, NaN for a device without rows."""
        return self.raw[:, self.names.index("offset")]

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the features that are context columns."""
        latency = ("offset", *self.axes, *STEADINESS)
        return tuple(name for name in self.names if name not in latency)


def fingerprint(
    measurements: Measurements,
    rng: np.random.Generator,
    memory_boundness: Floats | None = None,
    software: Mapping[str, TextColumn] | None = None,
) -> Fingerprint:
    """Fingerprints of all D devices from n measurements (n >= 1).

    `memory_boundness` has a number for each configuration of `measurements` (say log bytes per
    multiply-accumulate; NaN where unknown); without it axes are found in the residuals alone.
    `software` has the columns of what the devices run (D).
    """
    behaviour = _behaviour(measurements, memory_boundness, rng)
    latency = _latency_features(measurements, behaviour)
    # What context must go with to count, and what software can foretell.
    shown = [f for f in latency if f.name not in STEADINESS]
    shown_values = [f.value for f in shown]
    context = []
    for feature in context_features(measurements):
        weight = CONTEXT_WEIGHT * relevance(feature.value, shown_values, belief(feature.name))
        context.append(feature.weighted(weight))
    guide = np.nan_to_num(behaviour.offset)
    foretold = expected_by_software(shown, software or {})
    features = foretold + [f for f in latency if f.name in STEADINESS] + context
    standard = [_standard(f, guide) for f in features]
    raw = np.column_stack([f.readable for f in features])
    names = tuple(f.name for f in features)
    rows = behaviour.rows
    offset_sd = latency[0].error * _lost_freedom(behaviour.effect, rows)
    axes = _axes(behaviour.slopes, behaviour.effect)
    return Fingerprint(names, np.column_stack(standard), raw, rows, offset_sd, axes)


@dataclass(frozen=True)
class _Behaviour:
    """What latencies say: the `effect` of workloads (W); of devices (D) `offset`, `rows`, `spread`
    of rows and their `noise`; slopes. The residuals, as many as rows, are gone."""

    effect: Floats
    offset: Floats
    rows: Floats
    spread: Floats
    noise: Floats
    slopes: Slopes | None


def _behaviour(
    measurements: Measurements, memory_boundness: Floats | None, rng: np.random.Generator
) -> _Behaviour:
    parts = decompose(measurements)
    device, devices = measurements.device, len(measurements.devices.ids)
    known = None if memory_boundness is None else memory_boundness[parts.configuration_of]
    slopes = find_slopes(parts, device, known, rng)
    rows = grouped_rows(device, devices, measurements.reduced_rows)
    away, counts = deviations(measurements, parts.residual)
    spread = MAD_TO_SD * grouped_medians(device, away, devices, counts)
    own = np.nan_to_num(spread)
    noise = np.sqrt((rows * own**2 + PRIOR_ROWS * parts.scale**2) / (rows + PRIOR_ROWS))
    return _Behaviour(parts.effect, parts.offset, rows, spread, noise, slopes)


def _lost_freedom(effect: Floats, rows: Floats) -> float:
    """By how much residuals look smaller than they are, because offsets and effects were fitted to
    them; NaN where nothing is left to tell the noise by."""
    left = float(rows.sum()) - np.count_nonzero(rows) - len(effect)
    return float(np.sqrt(rows.sum() / left)) if left >= 1.0 else np.nan


def _standard(feature: Feature, guide: Floats) -> Floats:
    """As `standardise`; but what a device never showed is taken from those of like speed, unless it
    is its steadiness, which nothing foretells."""
    standard = standardise(feature)
    if feature.name in STEADINESS:
        return standard
    return fill_from_neighbours(standard, feature.told, guide)


def _axes(slopes: Slopes | None, effect: Floats) -> dict[str, Axis]:
    """What each slope, by the name of its feature, is along."""
    found = {}
    for number, axis in enumerate([] if slopes is None else slopes.axes):
        # Slopes are signed along the workloads' latency, so a strong correlation is a positive one.
        likeness = float(np.corrcoef(axis, effect)[0, 1])
        kind = Axis.LARGE if likeness >= ALIKE else Axis.OTHER
        known = slopes is not None and slopes.known and number == 0
        found[_slope_name(number)] = Axis.MEMORY if known else kind
    return found


def _slope_name(number: int) -> str:
    return f"slope_{number + 1}" if number else "slope"


def _latency_features(measurements: Measurements, behaviour: _Behaviour) -> list[Feature]:
    rows, slopes = behaviour.rows, behaviour.slopes
    error = behaviour.noise / np.sqrt(np.maximum(rows, 1.0))
    found = [Feature("offset", behaviour.offset, error, OFFSET_MATERIAL)]
    for number in range(0 if slopes is None else len(slopes.axes)):
        assert slopes is not None
        own = slopes.value[:, number], slopes.error[:, number]
        found.append(Feature(_slope_name(number), *own, SLOPE_MATERIAL))
    tail = _tail(measurements)
    if tail is not None:
        found.append(Feature("tail", *tail, TAIL_MATERIAL, STEADINESS_WEIGHT))
    if np.any(rows >= SPREAD_ROWS):
        steady = np.where(rows >= SPREAD_ROWS, behaviour.spread, np.nan)
        found.append(Feature("spread", steady, error, SPREAD_MATERIAL, STEADINESS_WEIGHT))
    return found


def _tail(measurements: Measurements) -> tuple[Floats, Floats] | None:
    """Median of log(p95 / median) by device with its error, or None where no row has a p95.

    The p95 of three runs is nearly their maximum and that of a hundred is not, so rows are
    compared with those of about as many runs.
    """
    given = np.isfinite(measurements.latency_p95_ms)
    if not given.any():
        return None
    there: slice | Bools = slice(None) if given.all() else given
    device, devices = measurements.device[there], len(measurements.devices.ids)
    counts = None if measurements.reduced_rows is None else measurements.reduced_rows[there]
    runs, p95 = measurements.runs[there], measurements.latency_p95_ms[there]
    tail: Floats = np.divide(p95, measurements.latency_ms[there], dtype=np.float64)
    np.log(tail, out=tail)
    size = np.empty(len(tail), dtype=np.int32)
    for part in row_blocks(len(tail)):
        size[part] = np.rint(2 * np.log2(runs[part]))
    size -= size.min()
    by_size = grouped_median(size, tail, int(size.max()) + 1) - float(np.median(tail))
    grouped_less(size, tail, by_size, out=tail)
    value = grouped_medians(device, tail, devices, counts)
    noise = MAD_TO_SD * median_size(grouped_less(device, tail, value, out=tail))
    return value, noise / np.sqrt(np.maximum(grouped_rows(device, devices, counts), 1.0))
