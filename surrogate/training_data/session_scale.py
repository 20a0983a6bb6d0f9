"""The scale of each measuring session against the everyday telemetry of its device.

A session is scaled to what telemetry said of the dense network when its bundle was made, or to what
the device measured itself where nothing was said. Months or a firmware later that is another
number, and rows of two sessions would differ by the factor between. Each session has the dense
network beside its pruned ones: what it says there against what everyday rows say is that factor.
"""

import numpy as np

from hdap.clustering.cluster_drift import CERTAIN, MAD_TO_SD, MATERIAL, MEDIAN_LOSS
from hdap.clustering.grouping import compact, grouped_median
from hdap.fleet_data.records import Bools, Floats, Ints, Measurements
from hdap.fleet_data.telemetry import SESSION_S
from hdap.fleet_data.wording import counted, times

PAUSE_S = 300.0
"""Seconds: a bundle measures a network in less, also the slowest."""


def session_scale(measurements: Measurements, rows: Ints, notes: list[str]) -> Floats:
    """Of each of n `rows` the factor of its session; 1 of an everyday row, and where there is no
    more of it than noise or a decision can tell.

    Of a device without everyday rows the session with most dense rows sets the scale. What is
    brought to another scale is said in `notes`.
    """
    scale = np.ones(len(rows))
    dense = measurements.dense[rows]
    usual = measurements.everyday[rows]
    measuring = ~usual & np.isfinite(measurements.measured_at[rows])
    references = measuring & dense
    if not references.any() or not (measuring & ~dense).any():
        return scale
    log_ms = np.log(measurements.latency_ms[rows])
    device, devices = compact(measurements.device[rows])
    number = _sessions(device, measurements.measured_at[rows], measuring, references)
    sessions = int(number.max()) + 1
    said = grouped_median(number[references], log_ms[references], sessions)
    level, level_rows = _levels(device, number, (dense & usual, references), log_ms, devices)
    apart = said[number] - level[device]
    spread = _spread(log_ms[references] - said[number[references]], log_ms, level, device, usual)
    count = np.bincount(number[references], minlength=sessions)
    several = 1.0 / np.maximum(count[number], 1) + 1.0 / np.maximum(level_rows[device], 1)
    certain = np.abs(apart) > np.maximum(
        MATERIAL, CERTAIN * MEDIAN_LOSS * spread * np.sqrt(several)
    )
    chosen = measuring & np.isfinite(apart) & certain
    scale[chosen] = np.exp(apart[chosen])
    if chosen.any():
        notes.append(_note(measurements, rows[chosen], scale[chosen]))
    return scale


def _note(measurements: Measurements, rows: Ints, scale: Floats) -> str:
    device = measurements.device[rows]
    several = counted(len(np.unique(device)), "device")
    return (
        f"{counted(len(rows), 'row')} of {several} brought to the scale of everyday telemetry, of "
        f"which their dense network was {times(float(scale[0]))} "
        f"({measurements.devices.ids[device[0]]})"
    )


def _sessions(device: Ints, times: Floats, measuring: Bools, references: Bools) -> Ints:
    """The session of each row, a stretch of a device's rows without a pause; 0 of rows of none.

    One without a dense row went on with that before it: a device was switched off in between.
    """
    found = np.zeros(len(device), dtype=np.int64)
    chosen = np.flatnonzero(measuring)
    order = chosen[np.lexsort((times[chosen], device[chosen]))]
    another = np.append(True, np.diff(device[order]) != 0)
    after = np.append(np.inf, np.diff(times[order]))
    number = np.cumsum(another | (after > PAUSE_S))
    day = np.cumsum(another | (after > SESSION_S))
    day_of = np.zeros(int(number[-1]) + 1, dtype=np.int64)
    day_of[number] = day
    told = np.bincount(number, references[order], minlength=len(day_of)) > 0
    before = np.maximum.accumulate(np.where(told, np.arange(len(day_of)), 0))
    goes_on = ~told & (day_of[before] == day_of)
    found[order] = np.where(goes_on[number], before[number], number)
    return found


def _levels(
    device: Ints, session: Ints, kinds: tuple[Bools, Bools], log_ms: Floats, devices: int
) -> tuple[Floats, Ints]:
    """Each device's log latency of the dense network, and of how many rows: its everyday ones, else
    those of its largest session."""
    usual, references = kinds
    level = grouped_median(device[usual], log_ms[usual], devices)
    rows = np.bincount(device[usual], minlength=devices)
    count = np.bincount(session[references], minlength=int(session.max()) + 1)
    left = np.flatnonzero(references & (rows[device] == 0))
    # the largest session of a device comes last, and stays
    left = left[np.lexsort((-session[left], count[session[left]]))]
    largest = np.full(devices, -1, dtype=np.int64)
    largest[device[left]] = session[left]
    middle = grouped_median(session[references], log_ms[references], len(count))
    without = largest >= 0
    level[without], rows[without] = middle[largest[without]], count[largest[without]]
    return level, rows


def _spread(within: Floats, log_ms: Floats, level: Floats, device: Ints, usual: Bools) -> float:
    """Standard deviation of a dense row, of the larger kind: everyday rows, those of sessions."""
    everyday_rows = np.abs(log_ms[usual] - level[device[usual]])
    spreads = [MAD_TO_SD * float(np.median(x)) for x in (np.abs(within), everyday_rows) if len(x)]
    return max(spreads, default=0.0)
