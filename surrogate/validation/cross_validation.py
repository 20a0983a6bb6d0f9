"""How good a surrogate is on configurations that it has not seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from hdap.clustering.grouping import compact, grouped_sum
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats, Ints
from hdap.surrogate.models.base import Z90, FleetSurrogate
from hdap.surrogate.training_data.training_cells import Cells, TrainingData

FOLDS = 5
COVERAGE = 0.9
LEAST_DEVICE_ROWS = 3
"""Pruned rows from which a device's own error is told."""
CALIBRATION_CELLS = 40.0
"""Cells at which a cluster's own calibration weighs as much as the fleet's."""
MEDIAN_LOSS = 1.2533
"""A median is noisier than a mean by this factor (normal noise, many rows)."""


@dataclass(frozen=True)
class HeldOut:
    """Predictions of m cells (cluster, configuration) by surrogates that never saw the
    configuration, in any cluster. `fold` is the cell's."""

    cells: Cells
    fold: Ints
    predicted_log_ms: Floats
    predicted_log_sd: Floats

    @property
    def error(self) -> Floats:
        """Predicted minus measured log latency, m."""
        return self.predicted_log_ms - self.cells.log_ms


@dataclass(frozen=True)
class Score:
    """Held-out figures of one cluster; fractions, NaN where nothing pruned was measured.

    `noise_floor` is the mean error that a perfect surrogate would show, from repeated rows (drift
    that all rows of a configuration share is not in it). `mape` is against medians over a cluster's
    devices, which hide that some of them rank networks in their own way: `device_error` is the
    median over the cluster's `devices` (with LEAST_DEVICE_ROWS rows) of a device's mean error on
    its own rows, and `worst_device` the one with the largest, `worst_error`.
    """

    cluster: int
    cells: int
    mape: float
    kendall_tau: float
    coverage: float
    noise_floor: float
    devices: int
    device_error: float
    worst_device: str
    worst_error: float


@dataclass(frozen=True)
class DeviceErrors:
    """Mean absolute relative `error` on held-out rows of d devices, of each its `cluster`."""

    ids: NDArray[np.object_]
    cluster: Ints
    error: Floats

    def of_cluster(self, cluster: int) -> "DeviceErrors":
        """Those of one cluster."""
        mine = self.cluster == cluster
        return DeviceErrors(self.ids[mine], self.cluster[mine], self.error[mine])

    @property
    def typical(self) -> float:
        """Median over the devices; NaN without any."""
        return float(np.median(self.error)) if len(self.error) else float("nan")

    @property
    def worst(self) -> tuple[str, float]:
        """The device with the largest error, and that; "" and NaN without any."""
        if not len(self.error):
            return "", float("nan")
        at = int(np.argmax(self.error))
        return str(self.ids[at]), float(self.error[at])


def cross_validate(
    kind: type[FleetSurrogate], data: TrainingData, folds: int = FOLDS, seed: int = 0
) -> HeldOut:
    """Grouped cross-validation: a configuration is never on both sides, over all clusters.

    Dense rows are always learned from: every device sends them. Raises NotEnoughDataError where
    there are fewer pruned configurations than folds.
    """
    pruned = np.unique(data.configuration[~data.dense])
    if len(pruned) < folds:
        raise NotEnoughDataError(
            f"validation needs at least {folds} pruned configurations, but got {len(pruned)}; "
            "measure more: hdap plan"
        )
    rng = np.random.default_rng(seed)
    fold_of = np.full(len(data.designs), -1, dtype=np.int64)
    fold_of[rng.permutation(pruned)] = np.arange(len(pruned)) % folds
    cells = data.at(~data.dense).cells
    fold = fold_of[cells.configuration]
    log_ms, log_sd = np.empty(len(cells)), np.empty(len(cells))
    for number in range(folds):
        surrogate = kind.fit(data.at(fold_of[data.configuration] != number), seed)
        held = np.flatnonzero(fold == number)
        prediction = surrogate.predict(cells.counts[held])
        rows = np.arange(len(held))
        log_ms[held] = prediction.log_ms[rows, cells.cluster[held]]
        log_sd[held] = prediction.log_sd[rows, cells.cluster[held]]
    return HeldOut(cells, fold, log_ms, log_sd)


def calibration(held: HeldOut, clusters: int, learn: Floats | None = None) -> Floats:
    """Factors (K) on `log_sd` that make the 90 % interval hold 90 % of held-out medians.

    `learn` (m, 0 or 1) chooses the cells to learn from; by default all of them.
    """
    chosen = np.ones(len(held.fold), dtype=np.bool_) if learn is None else learn.astype(np.bool_)
    distance = np.abs(held.error[chosen]) / held.predicted_log_sd[chosen]
    cluster = held.cells.cluster[chosen]
    fleet = np.log(_upper_quantile(distance) / Z90)
    factors = np.full(clusters, fleet)
    for number in np.unique(cluster):
        mine = distance[cluster == number]
        own = np.log(_upper_quantile(mine) / Z90)
        share = len(mine) / (len(mine) + CALIBRATION_CELLS)
        factors[number] = share * own + (1 - share) * fleet
    result: Floats = np.exp(factors)
    return result


def score(held: HeldOut, data: TrainingData, calibrated: bool = False) -> tuple[Score, ...]:
    """Figures by cluster.

    Coverage is of intervals calibrated on the other folds only, or of the intervals as they are
    where they are `calibrated` already.
    """
    error = np.abs(np.expm1(held.error))
    if calibrated:
        inside = (np.abs(held.error) <= Z90 * held.predicted_log_sd).astype(np.float64)
    else:
        inside = _covered(held, data.clusters)
    floors = noise_floor(data, held.cells)
    by_device = device_errors(held, data)
    result = []
    for number in range(data.clusters):
        mine = np.flatnonzero(held.cells.cluster == number)
        devices = by_device.of_cluster(number)
        tau = float("nan")
        if len(mine) > 1:
            measured, predicted = held.cells.log_ms[mine], held.predicted_log_ms[mine]
            tau = float(kendalltau(measured, predicted).statistic)
        result.append(
            Score(
                cluster=number,
                cells=len(mine),
                mape=_mean(error[mine]),
                kendall_tau=tau,
                coverage=_mean(inside[mine]),
                noise_floor=floors[number],
                devices=len(devices.ids),
                device_error=devices.typical,
                worst_device=devices.worst[0],
                worst_error=devices.worst[1],
            )
        )
    return tuple(result)


def device_errors(held: HeldOut, data: TrainingData) -> DeviceErrors:
    """Held-out errors of single devices: each pruned row against what its cluster's surrogate says
    of a device of that speed."""
    rows = data.at(~data.dense)
    cell, _ = compact(rows.cluster * len(rows.designs) + rows.configuration)
    error = np.abs(np.expm1(held.predicted_log_ms[cell] - rows.log_ms))
    size = int(rows.device.max(initial=-1)) + 1
    count = np.bincount(rows.device, minlength=size)
    mean = grouped_sum(rows.device, error, size) / np.maximum(count, 1)
    cluster = np.zeros(size, dtype=np.int64)
    cluster[rows.device] = rows.cluster
    judged = np.flatnonzero(count >= LEAST_DEVICE_ROWS)
    names = data.device_ids if len(data.device_ids) else np.arange(size).astype(str).astype(object)
    return DeviceErrors(names[judged], cluster[judged], mean[judged])


def noise_floor(data: TrainingData, cells: Cells) -> tuple[float, ...]:
    """Mean absolute relative error of the cells' medians by noise alone, from pairs of rows."""
    rows = data.at(~data.dense)
    cell, _ = compact(rows.cluster * len(rows.designs) + rows.configuration)
    order = np.lexsort((rows.device, cell))
    same = cell[order][1:] == cell[order][:-1]
    gap = np.abs(np.diff(rows.log_ms[order]))[same]
    cluster = rows.cluster[order][1:][same]
    pairs = np.bincount(cluster, minlength=data.clusters)
    single = grouped_sum(cluster, gap, data.clusters) / np.sqrt(2) / np.maximum(pairs, 1)
    loss = np.where(cells.rows > 2, MEDIAN_LOSS, 1.0) / np.sqrt(cells.rows)
    mean_loss = grouped_sum(cells.cluster, loss, data.clusters)
    mean_loss /= np.maximum(np.bincount(cells.cluster, minlength=data.clusters), 1)
    floors = np.where(pairs > 0, single * mean_loss, np.nan)
    return tuple(float(f) for f in floors)


def _covered(held: HeldOut, clusters: int) -> Floats:
    """Whether each held-out median lies in its interval (m, 0 or 1)."""
    inside = np.zeros(len(held.fold))
    for number in np.unique(held.fold):
        mine = held.fold == number
        factors = calibration(held, clusters, learn=(~mine).astype(np.float64))
        half = Z90 * held.predicted_log_sd * factors[held.cells.cluster]
        inside[mine] = (np.abs(held.error) <= half)[mine]
    return inside


def _upper_quantile(distance: Floats) -> float:
    """The 90 % quantile with the correction for few values (Vovk et al., split conformal)."""
    level = min(1.0, COVERAGE * (len(distance) + 1) / max(len(distance), 1))
    return max(float(np.quantile(distance, level)), 1e-6)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
