"""Which device runs which network: the one that keeps most of those that it runs in time."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.surrogate.models.base import Prediction


@dataclass(frozen=True)
class Assignment:
    """For each of D devices the `row` of its network, and how likely it is in time (D, 0..1)."""

    row: Ints
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
    return Assignment(row, probability)
