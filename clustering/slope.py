"""What a device is slow at: its residuals along the few axes on which workloads differ most.

Devices that share a bottleneck (memory traffic, a low clock) or a runtime are slow on the same
workloads. Two runtimes that take equally long for the dense network may rank pruned ones each in
its own way, and kinds that differ in several ways need several axes. The first is memory-boundness
where that is known; the others are leading rank-one parts of the sparse device x workload
residuals, each of what the ones before leave, by alternating ridge regressions (as in probabilistic
principal components with missing values, Ilin and Raiko, JMLR 11, 2010). An axis is kept only where
it predicts rows that it was not fitted to.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array

from hdap.clustering.grouping import grouped_sum
from hdap.clustering.workload_effect import Decomposition
from hdap.fleet_data.records import Bools, Codes, Floats, Reals
from hdap.fleet_data.row_blocks import taken

SWEEPS = 6
LEAST_AXIS = 1e-9
FOLDS, MANY_FOLDS = 2, 4
FEW_ROWS = 50_000
"""Up to so many rows are held out in four folds: halves of a few hundred show no axis."""
LEAST_WORKLOADS = 2
LEAST_GAIN = 0.02
"""Share of a held-out row's residual variance that an axis must explain to be kept."""
MOST_AXES = 4
"""Four axes tell five kinds apart that each rank networks in their own way."""
CLIP = 3.0
"""Residuals count up to so many scales: one stalled row must not turn the axis."""
ROWS_FOR_AXIS = 400_000
MOST_WORKLOADS = 1_000
RIDGE = 1.0


@dataclass(frozen=True)
class Slopes:
    """Of D devices along A >= 1 axes: `value` and its standard `error` (D x A, log latency per unit
    of axis; NaN for a device whose rows say less than one row's worth), and the `axes` (A x W).

    An axis has mean 0 and mean square 1 over workloads, so a slope of 0.05 is about 5 % of latency
    on a workload one standard deviation along it. `known`: the first axis is memory-boundness.
    """

    value: Floats
    error: Floats
    axes: Floats
    known: bool


@dataclass(frozen=True)
class _Rows:
    """The rows that slopes are fitted to; `noise` is the variance of `residual`."""

    device: Codes
    workload: Codes
    residual: Floats
    weight: Reals
    devices: int
    workloads: int
    within: Floats | None = None

    @cached_property
    def noise(self) -> float:
        square = self.residual**2
        if self.within is not None:
            square += self.within**2
        return max(float(np.average(square, weights=self.weight)), 1e-12)

    def only(self, kept: Bools) -> "_Rows":
        return replace(
            self,
            device=self.device[kept],
            workload=self.workload[kept],
            residual=self.residual[kept],
            weight=self.weight[kept],
            within=None if self.within is None else self.within[kept],
        )

    def without(self, axes: Floats) -> "_Rows":
        """What `axes` (A x W), fitted to these rows, leave."""
        value, _, _ = _on_axes(self, axes)
        along = np.einsum("na,an->n", value[self.device], axes[:, self.workload])
        return replace(self, residual=self.residual - along)


def find_slopes(
    parts: Decomposition, device: Codes, memory_boundness: Floats | None, rng: np.random.Generator
) -> Slopes | None:
    """Slopes of D devices, or None where the data hold no axis.

    `memory_boundness` has one number a workload (NaN where unknown, counted as the mean).
    """
    if len(parts.effect) < LEAST_WORKLOADS:
        return None
    rows = _rows(parts, device)
    few = _some_devices(rows, rng)
    if not len(few.device):
        return None
    given = None
    if memory_boundness is not None:
        given = _standard_axis(memory_boundness, np.isfinite(memory_boundness))
    known = given is not None and _held_out_gain(few, given) >= LEAST_GAIN
    axes = given[None, :] if given is not None and known else np.empty((0, len(parts.effect)))
    left = few.without(axes) if known else few
    while len(axes) < MOST_AXES:
        axis = _leading_axis(left)
        if axis is None or _held_out_gain(left) < LEAST_GAIN:
            break
        # The sign of a found axis means nothing by itself: positive is towards slow workloads.
        axis = axis if float(axis @ (parts.effect - parts.effect.mean())) >= 0 else -axis
        axes = np.vstack([axes, axis])
        left = few.without(axes)
    if not len(axes):
        return None
    value, error, power = _on_axes(rows, axes, left.noise)
    silent = power < RIDGE
    return Slopes(np.where(silent, np.nan, value), np.where(silent, np.nan, error), axes, known)


def _rows(parts: Decomposition, device: Codes) -> _Rows:
    """The rows of devices that measured more than one workload: others say nothing of an axis."""
    devices, workloads = len(parts.offset), len(parts.effect)
    low, high = np.full(devices, workloads), np.full(devices, -1)
    np.minimum.at(low, device, parts.workload)
    np.maximum.at(high, device, parts.workload)
    limit = CLIP * parts.scale
    kept = np.flatnonzero(taken(low < high, device))
    within = None if parts.within is None else parts.within[kept]
    residual = np.clip(parts.residual[kept], -limit, limit)
    columns = device[kept], parts.workload[kept], residual, parts.weight[kept]
    return _Rows(*columns, devices, workloads, within)


def _some_devices(rows: _Rows, rng: np.random.Generator) -> _Rows:
    """All rows of as many random devices as fill ROWS_FOR_AXIS: an axis needs no more."""
    if len(rows.device) <= ROWS_FOR_AXIS:
        return rows
    share = ROWS_FOR_AXIS / len(rows.device)
    return rows.only((rng.random(rows.devices) < share)[rows.device])


def _standard_axis(values: Floats, known: Bools) -> Floats | None:
    """`values` (W) with mean 0 and mean square 1 over the workloads known; None if all equal."""
    if not known.any():
        return None
    centred = np.where(known, values - np.mean(values[known]), 0.0)
    size = float(np.sqrt(np.mean(centred[known] ** 2)))
    return centred / size if size > LEAST_AXIS else None


def _leading_axis(rows: _Rows) -> Floats | None:
    measured = np.bincount(rows.workload, minlength=rows.workloads) > 0
    axis = _standard_axis(_covariance_axis(rows), measured)
    for _ in range(SWEEPS):
        if axis is None:
            return None
        along = _on_axes(rows, axis[None, :])[0][rows.device, 0]
        power = grouped_sum(rows.workload, rows.weight * along**2, rows.workloads)
        target = grouped_sum(rows.workload, rows.weight * along * rows.residual, rows.workloads)
        # A workload seen by few devices rests at the axis' mean, 0, until rows say otherwise.
        axis = _standard_axis(target / (power + rows.noise), measured)
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


def _on_axes(
    rows: _Rows, axes: Floats, noise: float | None = None
) -> tuple[Floats, Floats, Floats]:
    """Each device's residuals regressed on the axes (A x W) together, within the device.

    Slopes, their errors and what the device's rows say of each axis, in rows (D x A). The ridge is
    one row's worth of belief in slope 0, for devices whose rows say nothing.
    """
    count = len(axes)
    total = np.maximum(np.bincount(rows.device, rows.weight, rows.devices), 1e-12)
    places = []
    for axis in axes:
        place = axis[rows.workload]
        mean = grouped_sum(rows.device, rows.weight * place, rows.devices) / total
        places.append(place - mean[rows.device])
    product = np.empty((rows.devices, count, count))
    raw = np.empty((rows.devices, count))
    for a in range(count):
        weighted = rows.weight * places[a]
        raw[:, a] = grouped_sum(rows.device, weighted * rows.residual, rows.devices)
        for b in range(a, count):
            cross = grouped_sum(rows.device, weighted * places[b], rows.devices)
            product[:, a, b] = product[:, b, a] = cross
    power = np.einsum("daa->da", product).copy()
    inverse = np.linalg.inv(product + RIDGE * np.eye(count))
    value = np.einsum("dab,db->da", inverse, raw)
    variance = np.einsum("daa->da", inverse) * (rows.noise if noise is None else noise)
    return value, np.sqrt(variance), power


def _held_out_gain(rows: _Rows, given: Floats | None = None) -> float:
    """Share of residual variance that one axis explains on rows left out, each device's rows in
    folds; the axis is `given` (W) or found in the other folds."""
    folds = MANY_FOLDS if len(rows.device) <= FEW_ROWS else FOLDS
    # Ordered by what the rows say, not by where they or their devices stand: no order matters.
    order = np.lexsort((rows.residual, rows.workload, rows.device))
    count = np.bincount(rows.device, minlength=rows.devices)
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = (np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)) % folds
    left, missed = 0.0, 0.0
    for tested in range(folds):
        learned, test = rows.only(fold != tested), rows.only(fold == tested)
        axis = _leading_axis(learned) if given is None else given
        if axis is None:
            return 0.0
        slope = _on_axes(learned, axis[None, :])[0][:, 0]
        guess = slope[test.device] * axis[test.workload]
        left += float(np.sum(test.weight * test.residual**2))
        missed += float(np.sum(test.weight * (test.residual - guess) ** 2))
    return 1.0 - missed / left if left > 0 else 0.0
