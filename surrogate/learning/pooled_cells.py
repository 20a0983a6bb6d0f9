"""Training cells for surrogates that learn each cluster alone."""

from dataclasses import replace

import numpy as np

from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats
from hdap.surrogate.training_data.training_cells import Cells, TrainingData

LEAST_OWN = 8
"""Pruned cells below which a cluster cannot be learned alone."""
LEAST_FLEET = 8
"""Pruned configurations below which nothing can be learned."""
LEAST_FOLD = 6
"""Those that are left of so few while a fifth of them is held out."""


def require_configurations(data: TrainingData, least: int = LEAST_FLEET) -> None:
    """Raises NotEnoughDataError where the fleet has too few pruned configurations to learn from."""
    have = len(np.unique(data.configuration[~data.dense]))
    if have < least:
        raise NotEnoughDataError(
            f"a surrogate of {data.architecture.model} needs measurements of at least "
            f"{LEAST_FLEET} pruned configurations, but got {have} ({len(data):,} rows in all); "
            f"measure {LEAST_FLEET - have} or more: hdap plan"
        )


def cells_by_cluster(data: TrainingData) -> tuple[Cells, ...]:
    """The cells that each of the K clusters learns from: its own, or where they are too few those
    of the whole fleet moved to its level."""
    require_configurations(data, LEAST_FOLD)
    cells = data.cells
    dense = (cells.counts == data.architecture.widths).all(axis=1)
    level = _levels(data, cells, dense)
    result = []
    for cluster in range(data.clusters):
        mine = cells.cluster == cluster
        if (mine & ~dense).sum() >= LEAST_OWN:
            result.append(cells.at(mine))
        else:
            moved = cells.log_ms + level[cluster] - level[cells.cluster]
            result.append(replace(cells, log_ms=np.where(mine, cells.log_ms, moved)))
    return tuple(result)


def _levels(data: TrainingData, cells: Cells, dense: np.ndarray) -> Floats:
    """Log ms of the dense network in each cluster (K); where it was not measured, from the pruned
    ones or the clustering."""
    effect = grouped_median(cells.configuration, cells.log_ms, len(data.designs))
    of_rows = cells.log_ms - effect[cells.configuration]
    from_pruned = grouped_median(cells.cluster, of_rows, data.clusters)
    from_dense = grouped_median(cells.cluster[dense], cells.log_ms[dense], data.clusters)
    if dense.any():
        shift = np.nanmedian(from_dense - from_pruned)
        from_pruned = from_pruned + shift
    level = np.where(np.isfinite(from_dense), from_dense, from_pruned)
    return filled_offsets(level, data.relative_latency)


def filled_offsets(level: Floats, relative_latency: Floats) -> Floats:
    """Log levels (K) with NaN replaced by the others' mean level, moved by relative latency.

    Raises NotEnoughDataError where no cluster has a level.
    """
    known = np.isfinite(level)
    if not known.any():
        raise NotEnoughDataError("at least one cluster must have measurements, but none has")
    relative = np.log(relative_latency)
    typical = float((level[known] - relative[known]).mean())
    return np.where(known, level, typical + relative)
