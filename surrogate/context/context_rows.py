"""The rows that the effect of context is learned from: few devices, clocks as far apart as seen."""

from dataclasses import dataclass

import numpy as np

from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.surrogate.context.context_effect import UNIT
from hdap.surrogate.training_data.training_cells import TrainingData

CLOCKS = ("cpu_freq_mhz", "gpu_freq_mhz")
LINES = ("temperature_c", "cpu_load_pct")
DEVICES, ROWS = 40, 320


@dataclass(frozen=True)
class Rows:
    """n rows of few devices: log latency over the base, share of computing, who and what, log clock
    over the reference (NaN: unknown) and lines (n x 2, 0 where unknown), in units."""

    log_ms: Floats
    compute_share: Floats
    cluster: Ints
    device: Ints
    configuration: Ints
    log_clock: Floats
    lines: Floats

    def at(self, chosen: Bools | Ints) -> "Rows":
        """The chosen rows."""
        return Rows(*(value[chosen] for value in vars(self).values()))


def typical_of_clusters(data: TrainingData, values: Floats) -> Floats:
    """Median over a cluster's devices of each one's median (K), NaN where unknown."""
    of_device, cluster = by_device(data, values)
    there = np.isfinite(of_device)
    return grouped_median(cluster[there], of_device[there], data.clusters)


def by_device(data: TrainingData, values: Floats) -> tuple[Floats, Ints]:
    """Median of each device's known values (NaN: none), and its cluster."""
    devices = int(data.device.max()) + 1
    there = np.isfinite(values)
    cluster = np.zeros(devices, dtype=np.int64)
    cluster[data.device] = data.cluster
    return grouped_median(data.device[there], values[there], devices), cluster


def reported(data: TrainingData, column: str) -> Bools:
    values = data.context.get(column)
    if values is None:
        return np.zeros(len(data), dtype=np.bool_)
    there: Bools = np.isfinite(values) & ((values > 0) | (column not in CLOCKS))
    return there


def sample_rows(data: TrainingData, column: str, rng: np.random.Generator) -> Ints:
    """Rows of at most `DEVICES` devices, those with pruned rows first, alike from all clusters; of
    each such that its clock is as different as it was."""
    there = np.flatnonzero(reported(data, column)) if column else np.arange(len(data))
    devices = int(data.device.max()) + 1
    pruned = np.bincount(data.device[there[~data.dense[there]]], minlength=devices) > 0
    seen, first = np.unique(data.device[there], return_index=True)
    cluster = data.cluster[there[first]]
    order = np.lexsort((rng.random(len(seen)), ~pruned[seen], cluster))
    sizes = np.bincount(cluster, minlength=data.clusters)
    place = np.arange(len(seen)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = seen[order[np.argsort(place, kind="stable")][:DEVICES]]
    rows = there[np.isin(data.device[there], chosen)]
    value = data.context[column][rows] if column else np.zeros(len(rows))
    rows = rows[np.lexsort((rng.random(len(rows)), value, data.device[rows]))]
    count = np.bincount(data.device[rows], minlength=devices)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    # Evenly over the ranks of a device's clocks, the ends among them.
    size = count[data.device[rows]]
    kept = np.minimum(size, ROWS // max(len(chosen), 1))
    step = rank * np.maximum(kept - 1, 1) // np.maximum(size - 1, 1)
    fresh = np.ones(len(rows), dtype=np.bool_)
    fresh[1:] = (np.diff(step) != 0) | (np.diff(data.device[rows]) != 0)
    result: Ints = rows[fresh]
    return result


def context_rows(
    data: TrainingData, chosen: Ints, column: str, base_log_ms: Floats, compute_share: Floats
) -> Rows:
    log_clock = np.full(len(chosen), np.nan)
    if column:
        clock = data.context[column]
        with np.errstate(divide="ignore", invalid="ignore"):
            log_clock = np.log(clock[chosen] / np.nanmedian(clock))
    lines = np.zeros((len(chosen), len(LINES)))
    for i, name in enumerate(LINES):
        if reported(data, name).any():
            values = data.context[name]
            lines[:, i] = np.nan_to_num((values[chosen] - np.nanmedian(values)) / UNIT)
    design = data.configuration[chosen]
    log_ms = np.log(data.latency_ms / data.drift)[chosen] - base_log_ms[design]
    return Rows(
        log_ms,
        compute_share[design],
        data.cluster[chosen],
        data.device[chosen],
        design,
        np.where(np.isfinite(log_clock), log_clock, 0.0),
        lines,
    )
