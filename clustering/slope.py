"""What a device is slow at: its residuals along the one axis on which workloads differ most.

Devices that share a bottleneck (memory traffic, a low clock) are slow on the same workloads. With a
known memory-boundness of each workload the axis is that; else it is the leading rank-one part of
the sparse device x workload residuals, by alternating ridge regressions (as in probabilistic
principal components with missing values, Ilin and Raiko, JMLR 11, 2010).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array

from hdap.clustering.grouping import grouped_sum
from hdap.clustering.workload_effect import Decomposition
from hdap.fleet_data.records import Bools, Floats, Ints

SWEEPS = 6
LEAST_AXIS = 1e-9
FOLDS = 2
LEAST_WORKLOADS = 2
LEAST_GAIN = 0.02
"""Share of a held-out row's residual variance that a found axis must explain to be kept."""
CLIP = 3.0
"""Residuals count up to so many scales: one stalled row must not turn the axis."""
ROWS_FOR_AXIS = 400_000
MOST_WORKLOADS = 1_000
RIDGE = 1.0


@dataclass(frozen=True)
class Slopes:
    """`value` (D, log latency per unit of axis), its standard `error` (D), and the `axis` (W).

    The axis has mean 0 and mean square 1 over workloads, so a slope of 0.05 is about 5 % of latency
    on a workload one standard deviation along it. `known`: the axis is memory-boundness.
    """

    value: Floats
    error: Floats
    axis: Floats
    known: bool


@dataclass(frozen=True)
class _Rows:
    """The rows that slopes are fitted to; `noise` is the variance of `residual`."""

    device: Ints
    workload: Ints
    residual: Floats
    weight: Floats
    devices: int
    workloads: int
    noise: float


def find_slopes(
    parts: Decomposition, device: Ints, memory_boundness: Floats | None, rng: np.random.Generator
) -> Slopes | None:
    """Slopes of D devices, or None where no axis is given and the data hold none.

    `memory_boundness` has one number a workload (NaN where unknown, counted as the mean). A found
    axis must predict residuals of rows that it was not fitted to (two folds), else it is noise.
    """
    if len(parts.effect) < LEAST_WORKLOADS:
        return None
    rows = _rows(parts, device)
    if memory_boundness is not None:
        axis = _standard_axis(memory_boundness, rows)
        return None if axis is None else Slopes(*_on_axis(rows, axis), axis, known=True)
    few = _some_devices(rows, rng)
    axis = _leading_axis(few)
    if axis is None or _held_out_gain(few) < LEAST_GAIN:
        return None
    # The sign of a found axis means nothing by itself: positive is towards slow workloads.
    axis = axis if float(axis @ (parts.effect - parts.effect.mean())) >= 0 else -axis
    return Slopes(*_on_axis(rows, axis), axis, known=False)


def _rows(parts: Decomposition, device: Ints) -> _Rows:
    limit = CLIP * parts.scale
    residual = np.clip(parts.residual, -limit, limit)
    sizes = len(parts.offset), len(parts.effect)
    noise = max(float(np.average(residual**2, weights=parts.weight)), 1e-12)
    return _Rows(device, parts.workload, residual, parts.weight, *sizes, noise)


def _some_devices(rows: _Rows, rng: np.random.Generator) -> _Rows:
    """All rows of as many random devices as fill ROWS_FOR_AXIS: an axis needs no more."""
    if len(rows.device) <= ROWS_FOR_AXIS:
        return rows
    share = ROWS_FOR_AXIS / len(rows.device)
    return _only(rows, (rng.random(rows.devices) < share)[rows.device])


def _only(rows: _Rows, kept: Bools) -> _Rows:
    columns = (rows.device[kept], rows.workload[kept], rows.residual[kept], rows.weight[kept])
    return _Rows(*columns, rows.devices, rows.workloads, rows.noise)


def _standard_axis(values: Floats, rows: _Rows) -> Floats | None:
    """`values` (W) with mean 0 and mean square 1 over the workloads measured; None if all equal."""
    known = np.isfinite(values) & (np.bincount(rows.workload, minlength=rows.workloads) > 0)
    if not known.any():
        return None
    centred = np.where(known, values - np.mean(values[known]), 0.0)
    size = float(np.sqrt(np.mean(centred[known] ** 2)))
    return centred / size if size > LEAST_AXIS else None


def _leading_axis(rows: _Rows) -> Floats | None:
    axis = _standard_axis(_covariance_axis(rows), rows)
    for _ in range(SWEEPS):
        if axis is None:
            return None
        along = _on_axis(rows, axis)[0][rows.device]
        power = grouped_sum(rows.workload, rows.weight * along**2, rows.workloads)
        target = grouped_sum(rows.workload, rows.weight * along * rows.residual, rows.workloads)
        # A workload seen by few devices rests at the axis' mean, 0, until rows say otherwise.
        axis = _standard_axis(target / (power + rows.noise), rows)
    return axis


def _covariance_axis(rows: _Rows) -> Floats:
    """Leading eigenvector of the workloads' covariances over devices, variances left out (W).

    Variances are mostly noise, and so are workloads with few rows: those beyond MOST_WORKLOADS
    start at 0.
    """
    mass = np.bincount(rows.workload, rows.weight, rows.workloads)
    common = np.sort(np.argsort(-mass, kind="stable")[:MOST_WORKLOADS])
    pull = rows.weight * rows.residual / np.sqrt(np.maximum(mass, 1e-12))[rows.workload]
    shape = (rows.devices, rows.workloads)
    cells = coo_array((pull, (rows.device, rows.workload)), shape).tocsc()[:, common]
    products = (cells.T @ cells).toarray()
    np.fill_diagonal(products, 0.0)
    _, vectors = np.linalg.eigh(products)
    axis = np.zeros(rows.workloads)
    axis[common] = vectors[:, -1] / np.sqrt(np.maximum(mass[common], 1e-12))
    return axis


def _on_axis(rows: _Rows, axis: Floats) -> tuple[Floats, Floats]:
    """Each device's residuals regressed on the axis, within the device: slope and its error (D).

    The ridge is one row's worth of belief in slope 0, for devices whose rows say nothing.
    """
    total = np.maximum(np.bincount(rows.device, rows.weight, rows.devices), 1e-12)
    place = axis[rows.workload]
    mean = grouped_sum(rows.device, rows.weight * place, rows.devices) / total
    place = place - mean[rows.device]
    power = grouped_sum(rows.device, rows.weight * place**2, rows.devices) + RIDGE
    raw = grouped_sum(rows.device, rows.weight * place * rows.residual, rows.devices)
    return raw / power, np.sqrt(rows.noise / power)


def _held_out_gain(rows: _Rows) -> float:
    """Share of residual variance explained on rows left out, each device's rows in two folds."""
    # Ordered by what the rows say, not by where they stand, so that their order does not matter.
    order = np.lexsort((rows.residual, rows.workload, rows.device))
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    left, missed = 0.0, 0.0
    for tested in range(FOLDS):
        learned, test = _only(rows, fold != tested), _only(rows, fold == tested)
        axis = _leading_axis(learned)
        if axis is None:
            return 0.0
        guess = _on_axis(learned, axis)[0][test.device] * axis[test.workload]
        left += float(np.sum(test.weight * test.residual**2))
        missed += float(np.sum(test.weight * (test.residual - guess) ** 2))
    return 1.0 - missed / left if left > 0 else 0.0
