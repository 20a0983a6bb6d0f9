"""Which device runs which network: the one that keeps most of those that it runs in time."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.surrogate.models.base import Prediction

HYSTERESIS = 4.0
"""With 95 % asked for, a device leaves a network below 80 % and rises to one above 98.75 %."""


@dataclass(frozen=True)
class Assignment:
    """For each of D devices the `row` of its network, its predicted latency there (D), and how
    likely it is in time (D, 0..1)."""

    row: Ints
    latency_ms: Floats
    probability: Floats

    def in_time(self, confidence: float) -> Bools:
        """Which devices are in time that surely: D."""
        return np.asarray(self.probability >= confidence)


def assign(
    devices: DeviceSpeeds, seen: Prediction, kept: Floats, deadline_ms: float, confidence: float
) -> Assignment:
    """Of m networks (`seen`: m x K, `kept`: m) the one for each device.

    That which keeps most and is in time with `confidence`; where none is, the one that is most
    likely in time.
    """
    row = np.full(len(devices), -1, dtype=np.int64)
    probability = np.full(len(devices), -1.0)
    sure = np.zeros(len(devices), dtype=np.bool_)
    for network in np.argsort(kept, kind="stable").tolist():
        found = devices.probabilities(seen, network, deadline_ms)
        better = (found >= confidence) | (~sure & (found > probability))
        row[better], probability[better] = network, found[better]
        sure |= found >= confidence
    return _on(devices, seen, row, probability)


def reassign(
    devices: DeviceSpeeds,
    seen: Prediction,
    kept: Floats,
    deadline_ms: float,
    confidence: float,
    now: Ints,
) -> Assignment:
    """As `assign`, for devices that run a network already (`now`: D rows, -1: none yet).

    A device stays where it is until it is clearly wrong there: it leaves a network that it is
    `HYSTERESIS` times as likely late on as was asked, and goes to one that keeps more where it is
    so many times less likely late. So a device at an edge does not go to and fro with each row.
    """
    best = assign(devices, seen, kept, deadline_ms, confidence)
    surely = 1.0 - (1.0 - confidence) / HYSTERESIS
    surer = assign(devices, seen, kept, deadline_ms, surely)
    probability = np.full(len(devices), np.nan)
    for network in range(len(kept)):
        mine = now == network
        if mine.any():
            probability[mine] = devices.probabilities(seen, network, deadline_ms)[mine]
    late = (1.0 - confidence) * HYSTERESIS
    rises = (now >= 0) & (kept[surer.row] > kept[now]) & surer.in_time(surely)
    # Where no network is sure, a slightly likelier one is no reason to move.
    sure = best.probability >= confidence
    leaves = (probability < 1.0 - late) & (sure | (best.probability > probability + late))
    stays = (now >= 0) & ~leaves
    row = np.select([rises, stays], [surer.row, now], best.row)
    chance = np.select([rises, stays], [surer.probability, probability], best.probability)
    return _on(devices, seen, row, chance)


def _on(devices: DeviceSpeeds, seen: Prediction, row: Ints, probability: Floats) -> Assignment:
    ms = np.exp(seen.log_ms[row, devices.cluster] + devices.log_factor)
    return Assignment(row, ms, probability)
