"""What a device did (its workloads) taken out of how long it took (its log latencies).

A workload is a model, a configuration and a batch size; what ran it belongs to the device (see
`device_software`): were a runtime part of the workload, devices of two runtimes would share none.
The log latency of a row is
modelled as `effect[workload] + offset[device] + residual`, so that devices that measured different
things can be compared. It is the two-way decomposition of Tukey's median polish ("Exploratory Data
Analysis", 1977) as a start, refined by iteratively reweighted least squares with Huber's weights
("Robust Statistics", 1981).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hdap.clustering.grouping import (
    grouped_count,
    grouped_less,
    grouped_median,
    grouped_sum,
    median_size,
    numbering,
    occurring,
    weighted_median,
)
from hdap.fleet_data.records import Codes, Floats, Ints, Measurements, Reals
from hdap.fleet_data.row_blocks import row_blocks, taken

POLISH_SWEEPS = 2
REWEIGHTINGS = 4
SOLVER_STEPS = 60
SOLVER_TOLERANCE = 1e-7
HUBER = 1.345
"""Huber's constant: 95 % efficient where residuals are normal."""
MAD_TO_SD = 1.4826
RUNS_HALF = 3.0
"""Runs at which a row has half of the largest weight: rows differ by more than averaging mends."""
LEAST_SCALE = 1e-6


@dataclass(frozen=True)
class Decomposition:
    """Log latency in its parts.

    `workload` (n, 0..W-1) and `configuration_of` (W: its configuration); `effect` (W, log ms) is
    the workload's latency on the fleet's median device; `offset` (D) the device's, NaN for a device
    without rows; `residual` (n) what is left; `weight` (n) a row's weight, by runs and robustness;
    `scale` the residuals' standard deviation, by the median absolute deviation; `within` (n) that
    of the rows that a reduced row stands for (None: there is no such row).
    """

    workload: Codes
    configuration_of: Ints
    effect: Floats
    offset: Floats
    residual: Floats
    weight: Reals
    scale: float
    within: Floats | None = None


def decompose(measurements: Measurements) -> Decomposition:
    """Split log latencies into workload effects and device offsets; at least one row must be there.

    Devices that share no workload with the rest, directly or over others, cannot be compared with
    them: each such connected part has its own median device at offset 0.
    """
    workload, configuration_of = workloads(measurements)
    sizes = len(measurements.devices.ids), len(configuration_of)
    layout = _Layout(measurements.device, workload, *sizes)
    log_latency = np.log(measurements.latency_ms)
    residual = np.empty(len(measurements))
    weight = np.empty(len(measurements), dtype=np.float32)
    effect, offset = _polish(log_latency, layout, residual)
    scale = 0.0
    for _ in range(REWEIGHTINGS):
        layout.left(log_latency, effect, offset, residual)
        scale = max(MAD_TO_SD * _typical(deviations(measurements, residual)), LEAST_SCALE)
        _weigh(measurements, residual, HUBER * scale, weight)
        more_effect, more_offset = _least_squares(layout, weight, residual)
        effect, offset = effect + more_effect, offset + more_offset
    part, devices = _parts(layout), layout.devices
    offset = np.where(grouped_count(layout.device, devices) > 0, offset, np.nan)
    middle = np.nan_to_num(grouped_median(part[:devices], offset, int(part.max()) + 1))
    offset -= middle[part[:devices]]
    effect = effect + middle[part[devices:]]
    layout.left(log_latency, effect, offset, residual)
    within = measurements.reduced_spread
    return Decomposition(
        workload, configuration_of, effect, offset, residual, weight, scale, within
    )


@dataclass(frozen=True)
class _Layout:
    """Where each row stands (n) in the two-way layout of devices and workloads."""

    device: Codes
    workload: Codes
    devices: int
    workloads: int

    def left(self, log_latency: Floats, effect: Floats, offset: Floats, out: Floats) -> None:
        """What effects (W) and offsets (D) leave of log latencies (n), into `out` (n)."""
        grouped_less(self.workload, log_latency, effect, out)
        grouped_less(self.device, out, offset, out)


def _weigh(measurements: Measurements, residual: Floats, limit: float, out: Reals) -> None:
    """Weights of rows (n) by their runs, by what they stand for, and by Huber, into `out`."""
    for part in row_blocks(len(residual)):
        runs = measurements.runs[part].astype(np.float64)
        weight = runs / (runs + RUNS_HALF)
        if measurements.reduced_rows is not None:
            weight *= measurements.reduced_rows[part]
        out[part] = weight / np.maximum(1.0, np.abs(residual[part]) / limit)


def deviations(measurements: Measurements, residual: Floats) -> tuple[Floats, Floats | None]:
    """How far the rows that each row stands for lie from what is expected (n), and how many these
    are (n; None: one each)."""
    if measurements.reduced_rows is None:
        return np.abs(residual), None
    within = np.zeros(len(residual))
    if measurements.reduced_spread is not None:
        within = measurements.reduced_spread / MAD_TO_SD
    return np.hypot(residual, within), measurements.reduced_rows


def _typical(found: tuple[Floats, Floats | None]) -> float:
    away, rows = found
    return median_size(away) if rows is None else weighted_median(away, rows)


def workloads(measurements: Measurements) -> tuple[Codes, Ints]:
    """Workload of each row (n, 0..W-1) and each one's configuration (W)."""
    sizes = occurring(measurements.batch_size)
    batch = numbering(sizes)
    joint = np.empty(len(measurements), dtype=np.int32)
    for part in row_blocks(len(joint)):
        own = batch[measurements.batch_size[part]]
        joint[part] = measurements.configuration[part].astype(np.int64) * len(sizes) + own
    used = occurring(joint)
    return taken(numbering(used).astype(np.int32), joint), used // max(len(sizes), 1)


def _polish(log_latency: Floats, layout: _Layout, out: Floats) -> tuple[Floats, Floats]:
    """Effects (W) and offsets (D) to begin with; what is in `out` (n) is lost."""
    device, workload = layout.device, layout.workload
    offset = np.zeros(layout.devices)
    effect = np.zeros(layout.workloads)
    for _ in range(POLISH_SWEEPS):
        left = grouped_less(device, log_latency, offset, out)
        effect = grouped_median(workload, left, layout.workloads)
        left = grouped_less(workload, log_latency, effect, out)
        offset = np.nan_to_num(grouped_median(device, left, layout.devices))
    return effect, offset


def _least_squares(rows: _Layout, weight: Reals, residual: Floats) -> tuple[Floats, Floats]:
    """Weighted two-way fit of `residual` (n): effects (W) and offsets (D).

    Conjugate gradients on the workloads' normal equations. The devices are eliminated (a division
    each), so one step is two gathers and two sums by group, and badly connected designs converge
    far sooner than by alternating.
    """
    device, workload = rows.device, rows.workload
    device_sum = np.maximum(grouped_sum(device, weight, rows.devices), 1e-300)
    workload_sum = np.maximum(grouped_sum(workload, weight, rows.workloads), 1e-300)

    def summed(codes: Codes, size: int, value: Callable[[slice], Floats]) -> Floats:
        total = np.zeros(size)
        for part in row_blocks(len(codes)):
            total += np.bincount(codes[part], weight[part] * value(part), minlength=size)
        return total

    def by_device(value: Callable[[slice], Floats]) -> Floats:
        return summed(device, rows.devices, value) / device_sum

    def by_workload(value: Callable[[slice], Floats]) -> Floats:
        return summed(workload, rows.workloads, value)

    change = np.zeros(rows.workloads)
    own = by_device(lambda part: residual[part])
    gap = by_workload(lambda part: residual[part] - own[device[part]])
    direction = gap / workload_sum
    product = float(gap @ direction)
    goal = SOLVER_TOLERANCE**2 * float(workload_sum.sum())
    for _ in range(min(SOLVER_STEPS, 2 * rows.workloads)):
        if product <= goal:
            break
        mean = by_device(_of(direction, workload))
        image = workload_sum * direction - by_workload(_of(mean, device))
        curvature = float(direction @ image)
        if curvature <= 0.0:
            break
        change = change + product / curvature * direction
        gap = gap - product / curvature * image
        scaled = gap / workload_sum
        product, before = float(gap @ scaled), product
        direction = scaled + product / before * direction
    return change, by_device(lambda part: residual[part] - change[workload[part]])


def _of(values: Floats, codes: Codes) -> Callable[[slice], Floats]:
    """`values` of the rows of a block."""
    return lambda part: values[codes[part]]


def _parts(layout: _Layout) -> Ints:
    """Connected part of each device and then of each workload: `devices + workloads`."""
    devices, workloads = layout.devices, layout.workloads
    rows = grouped_count(layout.workload, workloads)
    if workloads == 1 or (rows.max() >= devices and _covers(layout, int(np.argmax(rows)))):
        return np.zeros(devices + workloads, dtype=np.int64)
    nodes = devices + workloads
    ends = layout.device, layout.workload + devices
    links = coo_array((np.ones(len(layout.device), np.int8), ends), (nodes, nodes))
    _, part = connected_components(links, directed=False)
    return part.astype(np.int64)


def _covers(layout: _Layout, workload: int) -> bool:
    """Whether all devices measured a workload: then all connects."""
    common = np.zeros(layout.devices, dtype=bool)
    common[layout.device[layout.workload == workload]] = True
    return bool(common.all())
