"""Where what devices measured themselves contradicts their everyday telemetry.

A device that measures pruned networks times the dense one beside them. Everyday rows of another
scale would be mixed with these, and every latency would be off by the factor between them: a scale
of its own is only what a device itself just measured.
"""

import numpy as np

from hdap.clustering.device_software import current_software, runs_current
from hdap.clustering.grouping import compact, grouped_median
from hdap.fleet_data.records import Bools, Floats, Ints, Measurements

CONTRADICTS = 1.6
"""Heat and other load make everyday telemetry slower than a session, by less than this."""


def own_dense(measurements: Measurements) -> tuple[Floats, Floats]:
    """Median dense ms of each of D devices in everyday telemetry, and beside what it measured
    itself (NaN: no such rows); of the runtime and batch size in which it has both, if any."""
    devices = len(measurements.devices.ids)
    # What other software took says nothing of the scale of this one.
    current = runs_current(measurements, current_software(measurements))
    current &= measurements.rested
    dense, usual = measurements.dense & current, measurements.everyday & current
    runtimes = max(len(measurements.runtimes), 1)
    workload, _ = compact(measurements.batch_size * runtimes + measurements.runtime)
    cell, cells = compact(workload * devices + measurements.device)
    kinds = (usual, dense & ~usual)
    counts = [np.bincount(cell[rows], minlength=cells) for rows in kinds]
    both = (counts[0] > 0) & (counts[1] > 0)
    has_both = np.bincount(measurements.device[both[cell]], minlength=devices) > 0
    fitting = both[cell] | ~has_both[measurements.device]
    found = [
        grouped_median(measurements.device[rows], measurements.latency_ms[rows], devices)
        for rows in (kind & fitting for kind in kinds)
    ]
    return found[0], found[1]


def contradicted(usual: Floats, own: Floats) -> Bools:
    """Devices (D) whose own runs are another scale than their telemetry, of both `own_dense`."""
    # NaN is no contradiction
    apart: Bools = np.abs(np.log(own) - np.log(usual)) > np.log(CONTRADICTS)
    return apart


def rows_of_one_scale(
    measurements: Measurements, cluster: Ints, rows: Ints, member: Ints, notes: list[str]
) -> tuple[Ints, Ints]:
    """Of `rows` those that are no everyday rows where own runs contradict them.

    Where most devices of a cluster that measured do so, all everyday rows of the cluster go: its
    dense latency is then what was measured. `cluster` is each row's.
    """
    usual, own = own_dense(measurements)
    odd = contradicted(usual, own)
    if not odd.any():
        return rows, member
    device = measurements.device[rows]
    left_out = odd[device]
    measured = np.isfinite(own)
    for k in np.unique(cluster[left_out]):
        here = np.unique(device[(cluster == k) & measured[device]])
        if odd[here].mean() > 0.5:
            left_out |= cluster == k
    left_out &= measurements.everyday[rows]
    first = int(np.flatnonzero(odd)[0])
    notes.append(
        f"{int(left_out.sum()):,} everyday rows left out: {int(odd.sum()):,} devices measured "
        f"another dense latency themselves ({measurements.devices.ids[first]}: {own[first]:.3g} ms "
        f"where telemetry says {usual[first]:.3g})"
    )
    return rows[~left_out], member[~left_out]
