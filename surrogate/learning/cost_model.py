"""The pooled cost model: what each physical term costs, for the whole fleet.

Latency is a non-negative sum of terms, and errors are relative. So costs are the non-negative
least squares solution of `sum_j costs_j * terms_j / latency = 1` (Lawson and Hanson, "Solving Least
Squares Problems", 1974), with Huber's weights against odd rows and a level for each cluster.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.records import Floats, Ints

SWEEPS = 6
HUBER = 2.0
RIDGE = 0.1
"""Shrinks costs that the data cannot tell apart; a row weighs 1."""
LEAST_SD = 0.002
MAD_TO_SD = 1.4826
SPREAD_ROWS = 5.0
"""Cells at which a cluster's own spread weighs as much as the fleet's."""


@dataclass(frozen=True)
class CostModel:
    """`costs` of the terms (J), relative to the network at full width; `level` (K) its log
    milliseconds in each cluster, NaN where a cluster has no cells; `spread` (K) the relative
    standard deviation of single cells around the model."""

    costs: Floats
    level: Floats
    spread: Floats


def fit_costs(totals: Floats, dense: Floats, cluster: Ints, log_ms: Floats, size: int) -> CostModel:
    """Fit to m cells: `totals` their terms (m x J), `dense` (J) those of full width, K = `size`."""
    costs = dense / max(float(dense @ dense), 1e-12)
    weight = np.ones(len(log_ms))
    fleet = np.zeros(len(log_ms), dtype=np.int64)
    level = spread = np.zeros(size)
    for _ in range(SWEEPS):
        residual = log_ms - np.log(totals @ costs)
        level = grouped_median(cluster, residual, size)
        residual -= level[cluster]
        spread = _spreads(residual, cluster, fleet, size)
        # The square root of Huber's weight over the cluster's spread: rows enter squared.
        distance = np.abs(residual) / spread[cluster]
        weight = 1.0 / np.sqrt(np.maximum(1.0, distance / HUBER)) / spread[cluster]
        weight /= weight.mean()
        relative = totals * np.exp(level[cluster] - log_ms)[:, None] * weight[:, None]
        system = np.vstack([relative, RIDGE * np.eye(totals.shape[1])])
        target = np.concatenate([weight, np.zeros(totals.shape[1])])
        costs = nnls(system, target, maxiter=30 * totals.shape[1])[0]
        costs = costs / max(float(dense @ costs), 1e-12)
    level = grouped_median(cluster, log_ms - np.log(totals @ costs), size)
    return CostModel(costs, level, spread)


def _spreads(residual: Floats, cluster: Ints, fleet: Ints, size: int) -> Floats:
    """Robust standard deviations by cluster, shrunk towards the fleet's in few cells."""
    every = MAD_TO_SD * grouped_median(fleet, np.abs(residual), 1)[0]
    own = MAD_TO_SD * np.nan_to_num(grouped_median(cluster, np.abs(residual), size))
    rows = np.bincount(cluster, minlength=size)
    shrunk: Floats = (own * rows + every * SPREAD_ROWS) / (rows + SPREAD_ROWS)
    return np.maximum(shrunk, LEAST_SD)
