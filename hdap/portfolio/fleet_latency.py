"""What the fleet makes of variants, as far as anything is known of it. No torch here."""

from dataclasses import dataclass, field

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import ClusteringRecord, VariantClusterRecord
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.surrogate.models.base import FleetSurrogate, Prediction


@dataclass(frozen=True)
class FleetLatency:
    """Predicted latency of one network, ms with 90 % intervals: fleet mean, and by cluster.

    All NaN and no cluster where nothing is known of the fleet.
    """

    mean_ms: float = float("nan")
    low_ms: float = float("nan")
    high_ms: float = float("nan")
    clusters: tuple[VariantClusterRecord, ...] = field(default=())


@dataclass(frozen=True)
class FleetPredictor:
    """The clusters of a fleet, their surrogates for one architecture, and the devices."""

    clustering: ClusteringRecord
    surrogate: FleetSurrogate
    weights: FleetWeights
    devices: DeviceSpeeds

    def latencies(self, counts: Counts) -> list[FleetLatency]:
        """Of n configurations (`n x groups`).

        The interval of a fleet mean takes the clusters' errors as fully correlated, as a search's
        trials do.
        """
        found = self.surrogate.predict(counts)
        ms, low, high = map(self.weights.fleet_mean, (found.ms, found.low_ms, found.high_ms))
        return [
            FleetLatency(float(ms[row]), float(low[row]), float(high[row]), _clusters(found, row))
            for row in range(len(counts))
        ]


def _clusters(found: Prediction, row: int) -> tuple[VariantClusterRecord, ...]:
    columns = zip(found.ms[row], found.low_ms[row], found.high_ms[row], strict=True)
    return tuple(
        VariantClusterRecord(cluster, float(ms), float(low), float(high))
        for cluster, (ms, low, high) in enumerate(columns)
    )
