"""Which measurements a surrogate learns from; what is left out is said in `notes`."""

import numpy as np

from hdap.clustering.grouping import compact
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import ClusteringRecord, Ints, Measurements

ROWS_PER_CELL = 1000
"""Rows of one configuration kept a cluster: a median of more would not move."""


def rows_of_model(architecture: Architecture, measurements: Measurements, notes: list[str]) -> Ints:
    """Rows of the model at the workload (batch size, runtime) with the most pruned rows.

    Raises NotEnoughDataError where there is none.
    """
    models = np.array([m == architecture.model for m in measurements.models], dtype=np.bool_)
    rows = np.flatnonzero(models[measurements.configuration])
    if len(rows) == 0:
        raise nothing_left(architecture.model, notes)
    runtimes = max(len(measurements.runtimes), 1)
    workload = measurements.batch_size[rows] * runtimes + measurements.runtime[rows]
    number, workloads = compact(workload)
    of_pruned = np.bincount(number[~measurements.dense[rows]], minlength=workloads)
    kept = number == int(np.lexsort((np.bincount(number), of_pruned))[-1])
    left_out = int((~kept).sum())
    if left_out:
        batch, runtime = divmod(int(workload[kept][0]), runtimes)
        name = measurements.runtimes[runtime] if measurements.runtimes else ""
        notes.append(
            f"{left_out:,} rows of other workloads left out "
            f"(kept: batch size {batch}, runtime {name or 'unknown'})"
        )
    result: Ints = rows[kept]
    return result


def rows_of_known_devices(
    measurements: Measurements, clustering: ClusteringRecord, rows: Ints, notes: list[str]
) -> tuple[Ints, Ints]:
    """Of `rows` those of devices that the clustering knows and does not call outliers, and each
    one's place in the clustering."""
    order = np.argsort(clustering.device_ids.astype(str))
    known = clustering.device_ids.astype(str)[order]
    ids = measurements.devices.ids.astype(str)
    place = np.minimum(np.searchsorted(known, ids), max(len(known) - 1, 0))
    found = known[place] == ids if len(known) else np.zeros(len(ids), dtype=np.bool_)
    member = order[place] if len(known) else place
    new = ~found[measurements.device[rows]]
    if new.any():
        notes.append(f"{int(new.sum()):,} rows of devices newer than the clustering left out")
    rows = rows[~new]
    odd = clustering.outlier[member[measurements.device[rows]]]
    if odd.any():
        notes.append(f"{int(odd.sum()):,} rows of outlier devices left out")
    rows = rows[~odd]
    return rows, member[measurements.device[rows]].astype(np.int64)


def capped(
    measurements: Measurements, cluster: Ints, rows: Ints, member: Ints
) -> tuple[Ints, Ints]:
    """At most `ROWS_PER_CELL` rows a cluster and configuration, evenly over the stored order."""
    cell, size = compact(cluster * len(measurements.channels) + measurements.configuration[rows])
    counts = np.bincount(cell, minlength=size)
    if size == 0 or counts.max() <= ROWS_PER_CELL:
        return rows, member
    # numpy sorts 16-bit integers by radix, ten times as fast as longer ones.
    order = np.argsort(cell.astype(np.uint16) if size < 2**16 else cell, kind="stable")
    rank = np.empty(len(cell), dtype=np.int64)
    rank[order] = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    take = rank % np.maximum(-(-counts[cell] // ROWS_PER_CELL), 1) == 0
    return rows[take], member[take]


def nothing_left(model: str, notes: list[str]) -> NotEnoughDataError:
    """What to raise where no row is left."""
    left_out = f" ({'; '.join(notes)})" if notes else ""
    return NotEnoughDataError(
        f"the data must hold measurements of {model} on clustered devices, but none is left"
        f"{left_out}; load some: hdap ingest telemetry.csv"
    )
