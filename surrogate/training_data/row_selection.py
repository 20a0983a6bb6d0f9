"""Which measurements a surrogate learns from; what is left out is said in `notes`."""

import numpy as np

from hdap.clustering.cluster_drift import places
from hdap.clustering.device_software import Texts, current_software, runs_current
from hdap.clustering.grouping import compact
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Bools, ClusteringRecord, Ints, Measurements
from hdap.fleet_data.software import format_software, show_software

ROWS_PER_CELL = 1000
"""Rows of one configuration kept a cluster: a median of more would not move."""


def rows_of_model(
    architecture: Architecture,
    measurements: Measurements,
    clustering: ClusteringRecord,
    notes: list[str],
) -> Ints:
    """Rows of the model in what each device runs, all of one batch size: 1 where a pruned network
    was measured so, else that with the most pruned rows, which is said.

    Where no pruned network was measured in what any device runs (a bundle that brings its own
    runtime, say), the rows of the software with the most of them. Raises NotEnoughDataError where
    there is no row.
    """
    models = np.array([m == architecture.model for m in measurements.models], dtype=np.bool_)
    rows = np.flatnonzero(models[measurements.configuration])
    busy = ~measurements.rested[rows]
    if busy.any():
        notes.append(f"{int(busy.sum()):,} rows of devices kept busy without rest left out")
        rows = rows[~busy]
    if len(rows) == 0:
        raise nothing_left(architecture.model, notes)
    pruned = ~measurements.dense[rows]
    current = runs_current(measurements, _software(measurements, clustering))[rows]
    if pruned.any() and not (pruned & current).any():
        current, name = _most_measured(measurements, rows, pruned)
        notes.append(f"no device measured a pruned network in what it runs: learning from {name}")
    if not current.all():
        notes.append(f"{int((~current).sum()):,} rows of other software left out")
    rows, pruned = rows[current], pruned[current]
    if len(rows) == 0:
        raise nothing_left(architecture.model, notes)
    batch = measurements.batch_size[rows]
    number, sizes = compact(batch)
    counts = np.bincount(number), np.bincount(number[pruned], minlength=sizes)
    single = (batch == 1) & (pruned if pruned.any() else True)
    kept = batch == 1 if single.any() else number == int(np.lexsort(counts)[-1])
    size = int(batch[kept][0])
    if size != 1:
        notes.append(f"latencies are of batches of {size}: no other was measured as much")
    if not kept.all():
        notes.append(
            f"{int((~kept).sum()):,} rows of other batch sizes left out (kept: batch size {size})"
        )
    result: Ints = rows[kept]
    return result


def _software(measurements: Measurements, clustering: ClusteringRecord) -> Texts:
    """What each of D devices runs, as the clustering saw it; else as these rows say."""
    found, member = places(measurements, clustering)
    software = np.full(len(found), "", dtype=object)
    software[found] = clustering.software[member[found]]
    silent = software == ""
    return np.where(silent, current_software(measurements), software) if silent.any() else software


def _most_measured(measurements: Measurements, rows: Ints, pruned: Bools) -> tuple[Bools, str]:
    """Which of `rows` are of the software with the most pruned ones, and its name."""
    state, states = compact(measurements.runtime[rows])
    for column in measurements.software.values():
        state, states = compact(state * len(column.texts) + column.codes[rows])
    most = state == int(np.argmax(np.bincount(state[pruned], minlength=states)))
    row = int(rows[most][0])
    known = {name: c.texts[c.codes[row]] for name, c in measurements.software.items()}
    known["runtime"] = measurements.runtimes[measurements.runtime[row]]
    return most, show_software(format_software(known))


def rows_of_known_devices(
    measurements: Measurements, clustering: ClusteringRecord, rows: Ints, notes: list[str]
) -> tuple[Ints, Ints]:
    """Of `rows` those of devices that the clustering knows and does not call outliers, and each
    one's place in the clustering."""
    found, member = places(measurements, clustering)
    new = ~found[measurements.device[rows]]
    if new.any():
        notes.append(f"{int(new.sum()):,} rows of devices newer than the clustering left out")
    rows = rows[~new]
    odd = clustering.outlier[member[measurements.device[rows]]]
    if odd.any():
        notes.append(f"{int(odd.sum()):,} rows of outlier devices left out")
    rows = rows[~odd]
    return rows, member[measurements.device[rows]]


def capped(measurements: Measurements, cluster: Ints, rows: Ints) -> Bools:
    """Which of `rows` are kept: at most `ROWS_PER_CELL` a cluster and configuration, evenly over
    the stored order."""
    cell, size = compact(cluster * len(measurements.channels) + measurements.configuration[rows])
    counts = np.bincount(cell, minlength=size)
    if size == 0 or counts.max() <= ROWS_PER_CELL:
        return np.ones(len(rows), dtype=np.bool_)
    # numpy sorts 16-bit integers by radix, ten times as fast as longer ones.
    order = np.argsort(cell.astype(np.uint16) if size < 2**16 else cell, kind="stable")
    rank = np.empty(len(cell), dtype=np.int64)
    rank[order] = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    take: Bools = rank % np.maximum(-(-counts[cell] // ROWS_PER_CELL), 1) == 0
    return take


def nothing_left(model: str, notes: list[str]) -> NotEnoughDataError:
    """What to raise where no row is left."""
    left_out = f" ({'; '.join(notes)})" if notes else ""
    return NotEnoughDataError(
        f"the data must hold measurements of {model} on clustered devices, but none is left"
        f"{left_out}; load some: hdap ingest telemetry.csv"
    )
