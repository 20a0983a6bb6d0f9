"""What a device did (its workloads) taken out of how long it took (its log latencies).

A workload is a model, a configuration and a batch size; what ran it belongs to the device (see
`device_software`): were a runtime part of the workload, devices of two runtimes would share none.
The log latency of a row is
modelled as `effect[workload] + offset[device] + residual`, so that devices that measured different
things can be compared. It is the two-way decomposition of Tukey's median polish ("Exploratory Data
Analysis", 1977) as a start, refined by iteratively reweighted least squares with Huber's weights
("Robust Statistics", 1981).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hdap.clustering.grouping import compact, grouped_median, grouped_sum, weighted_median
from hdap.fleet_data.records import Floats, Ints, Measurements

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

    workload: Ints
    configuration_of: Ints
    effect: Floats
    offset: Floats
    residual: Floats
    weight: Floats
    scale: float
    within: Floats | None = None


def decompose(measurements: Measurements) -> Decomposition:
    """Split log latencies into workload effects and device offsets; at least one row must be there.

    Devices that share no workload with the rest, directly or over others, cannot be compared with
    them: each such connected part has its own median device at offset 0.
    """
    device, devices = measurements.device, len(measurements.devices.ids)
    workload, configuration_of = workloads(measurements)
    log_latency = np.log(measurements.latency_ms)
    by_runs = measurements.runs / (measurements.runs + RUNS_HALF)
    if measurements.reduced_rows is not None:
        by_runs = by_runs * measurements.reduced_rows
    effect, offset = _polish(log_latency, device, workload, devices, len(configuration_of))
    weight = by_runs
    scale = 0.0
    for _ in range(REWEIGHTINGS):
        residual = log_latency - effect[workload] - offset[device]
        scale = max(MAD_TO_SD * _typical(deviations(measurements, residual)), LEAST_SCALE)
        weight = by_runs / np.maximum(1.0, np.abs(residual) / (HUBER * scale))
        rows = _Rows(device, workload, weight, devices, len(effect))
        more_effect, more_offset = _least_squares(rows, residual)
        effect, offset = effect + more_effect, offset + more_offset
    part = _parts(device, workload, devices, len(effect))
    middle = grouped_median(part[:devices], _measured(offset, device), int(part.max()) + 1)
    middle = np.nan_to_num(middle)
    offset = _measured(offset, device) - middle[part[:devices]]
    effect = effect + middle[part[devices:]]
    residual = log_latency - effect[workload] - offset[device]
    within = measurements.reduced_spread
    return Decomposition(
        workload, configuration_of, effect, offset, residual, weight, scale, within
    )


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
    return float(np.median(away)) if rows is None else weighted_median(away, rows)


def workloads(measurements: Measurements) -> tuple[Ints, Ints]:
    """Workload of each row (n, 0..W-1) and each one's configuration (W)."""
    batch, batches = compact(measurements.batch_size)
    joint, _ = compact(measurements.configuration * batches + batch)
    configuration_of = np.zeros(int(joint.max()) + 1, dtype=np.int64)
    configuration_of[joint] = measurements.configuration
    return joint, configuration_of


def _polish(
    log_latency: Floats, device: Ints, workload: Ints, devices: int, workloads: int
) -> tuple[Floats, Floats]:
    offset = np.zeros(devices)
    effect = np.zeros(workloads)
    for _ in range(POLISH_SWEEPS):
        effect = grouped_median(workload, log_latency - offset[device], workloads)
        offset = np.nan_to_num(grouped_median(device, log_latency - effect[workload], devices))
    return effect, offset


@dataclass(frozen=True)
class _Rows:
    """Where each row stands (n) in the two-way layout, and its weight (n)."""

    device: Ints
    workload: Ints
    weight: Floats
    devices: int
    workloads: int


def _least_squares(rows: _Rows, residual: Floats) -> tuple[Floats, Floats]:
    """Weighted two-way fit of `residual` (n): effects (W) and offsets (D).

    Conjugate gradients on the workloads' normal equations. The devices are eliminated (a division
    each), so one step is two gathers and two sums by group, and badly connected designs converge
    far sooner than by alternating.
    """
    weight, device, workload = rows.weight, rows.device, rows.workload
    device_sum = np.maximum(grouped_sum(device, weight, rows.devices), 1e-300)
    workload_sum = np.maximum(grouped_sum(workload, weight, rows.workloads), 1e-300)

    def by_device(values: Floats) -> Floats:
        return grouped_sum(device, weight * values, rows.devices) / device_sum

    def by_workload(values: Floats) -> Floats:
        return grouped_sum(workload, weight * values, rows.workloads)

    change = np.zeros(rows.workloads)
    gap = by_workload(residual - by_device(residual)[device])
    direction = gap / workload_sum
    product = float(gap @ direction)
    goal = SOLVER_TOLERANCE**2 * float(workload_sum.sum())
    for _ in range(min(SOLVER_STEPS, 2 * rows.workloads)):
        if product <= goal:
            break
        image = workload_sum * direction - by_workload(by_device(direction[workload])[device])
        curvature = float(direction @ image)
        if curvature <= 0.0:
            break
        change = change + product / curvature * direction
        gap = gap - product / curvature * image
        scaled = gap / workload_sum
        product, before = float(gap @ scaled), product
        direction = scaled + product / before * direction
    return change, by_device(residual - change[workload])


def _parts(device: Ints, workload: Ints, devices: int, workloads: int) -> Ints:
    """Connected part of each device and then of each workload: `devices + workloads`."""
    pairs = np.bincount(compact(workload)[0], minlength=workloads)
    if workloads == 1 or (pairs.max() >= devices and _covers(device, workload, devices, pairs)):
        return np.zeros(devices + workloads, dtype=np.int64)
    nodes = devices + workloads
    links = coo_array((np.ones(len(device), np.int8), (device, workload + devices)), (nodes, nodes))
    _, part = connected_components(links, directed=False)
    return part.astype(np.int64)


def _covers(device: Ints, workload: Ints, devices: int, rows: Ints) -> bool:
    """Whether the workload with the most rows was measured by all devices: then all connects."""
    common = np.zeros(devices, dtype=bool)
    common[device[workload == int(np.argmax(rows))]] = True
    return bool(common.all())


def _measured(offset: Floats, device: Ints) -> Floats:
    rows = np.bincount(device, minlength=len(offset))
    return np.where(rows > 0, offset, np.nan)
