"""How much slower devices are once they have run inferences without rest (`sustained_s`).

A ranking of devices in the first minute need not hold in the thirtieth: what a device keeps when it
is hot is a property of its case and not of its clock. A device's ratio is of its own rows, of the
same network before and after; a device that was never kept busy is taken to do as its cluster does.
"""

from dataclasses import dataclass

import numpy as np

from hdap.clustering.cluster_drift import places
from hdap.clustering.device_software import runs_current
from hdap.clustering.grouping import compact, grouped_median
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, Measurements
from hdap.fleet_data.telemetry import SUSTAINED
from hdap.fleet_data.wording import counted, number, times

LONGEST = 0.5
"""Rows from so much of a device's longest run on count: the first minutes are not yet hot."""


@dataclass(frozen=True)
class SustainedRatios:
    """Latency when hot over that when rested, of D clustered devices; of which it was `measured`,
    and after how many `seconds` without rest (the median over those)."""

    ratio: Floats
    measured: Bools
    seconds: float

    @property
    def words(self) -> str:
        """What is known, in a line."""
        own = self.ratio[self.measured]
        return (
            f"sustained: {counted(len(own), 'device')} of {len(self.ratio):,} ran for "
            f"{number(self.seconds / 60)} min without rest, {times(float(np.median(own)))} as long "
            f"an inference ({times(float(own.min()))} to {times(float(own.max()))}); others are "
            "taken to do as their cluster"
        )


def sustained_ratios(measurements: Measurements, clustering: ClusteringRecord) -> SustainedRatios:
    """Of the devices of a clustering. Raises NotEnoughDataError where none was kept busy."""
    known, place = places(measurements, clustering)
    busy = measurements.context.get(SUSTAINED, np.full(len(measurements), np.nan))
    software = np.full(len(known), "", dtype=object)
    software[known] = clustering.software[place[known]]
    usable = known[measurements.device] & runs_current(measurements, software)
    usable &= measurements.dense
    hot = usable & (busy > 0.0) & (busy >= LONGEST * _longest(measurements, busy))
    log_ratio = _log_ratios(measurements, hot, usable & (busy == 0.0), measurements.everyday)
    measured = np.isfinite(log_ratio)
    if not measured.any():
        raise NotEnoughDataError(
            f"a sustained state needs devices that were measured without rest, rows with "
            f"`{SUSTAINED}` above 0 beside others of the same network, but there are none; run a "
            "bundle so: hdap measure BUNDLE --sustained 20m"
        )
    mine = np.full(len(clustering.device_ids), np.nan)
    mine[place[measured]] = log_ratio[measured]
    of_cluster = grouped_median(clustering.cluster, mine, len(clustering.clusters))
    of_cluster = np.where(np.isfinite(of_cluster), of_cluster, np.nanmedian(mine))
    own = np.isfinite(mine)
    ratio = np.exp(np.where(own, mine, of_cluster[clustering.cluster]))
    return SustainedRatios(ratio, own, float(np.median(busy[hot])))


def _longest(measurements: Measurements, busy: Floats) -> Floats:
    """The longest run of each row's device, seconds."""
    longest = np.zeros(len(measurements.devices.ids))
    np.maximum.at(longest, measurements.device, np.nan_to_num(busy))
    return longest[measurements.device]


def _log_ratios(measurements: Measurements, hot: Bools, first: Bools, usual: Bools) -> Floats:
    """Of each of D devices, NaN where unknown: hot rows of a network over its first rows in such a
    run, or over everyday rows where there are none."""
    devices = len(measurements.devices.ids)
    networks = len(measurements.models)
    key = measurements.device.astype(np.int64) * networks + measurements.configuration
    cell, cells = compact(key)
    log_ms = np.log(measurements.latency_ms)
    after, start, everyday_ms = (
        grouped_median(cell[rows], log_ms[rows], cells) for rows in (hot, first, usual)
    )
    before = np.where(np.isfinite(start), start, everyday_ms)
    device = np.zeros(cells, dtype=np.int64)
    device[cell] = measurements.device
    return grouped_median(device, after - before, devices)
