"""What the fleet makes of variants, as far as anything is known of it. No torch here."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.records import ClusteringRecord, VariantClusterRecord
from hdap.search.fleet_weights import FleetWeights
from hdap.stages import Say, current_architecture, current_clustering, current_surrogates
from hdap.surrogate.base import FleetSurrogate, Prediction

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store


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
class FleetView:
    """The clusters of a fleet and their surrogates for one architecture."""

    clustering: ClusteringRecord
    surrogate: FleetSurrogate
    weights: FleetWeights

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


def fleet_view(store: "Store", architecture: Architecture, say: Say) -> FleetView | None:
    """Clusters and surrogates, made current; None, and one line why, where there can be none.

    Raises InputError where the store knows another architecture under the model's name.
    """
    model = architecture.model
    if model not in store.measured_models():
        say(
            f"nothing was measured of {model}, so no latency is predicted; load telemetry with "
            "hdap ingest and build again"
        )
        return None
    stored = current_architecture(store, model, say)
    if stored.digest != architecture.digest:
        raise InputError(
            f"the variants must be of the {model} that was measured, but the database knows "
            f"architecture {stored.digest[:12]} and they have {architecture.digest[:12]}; use "
            "another --db"
        )
    clustering = current_clustering(store, say)
    try:
        surrogate = current_surrogates(store, architecture, clustering, say)
    except NotEnoughDataError as error:
        say(f"no latency is predicted: {error}")
        return None
    return FleetView(clustering, surrogate, FleetWeights.of(clustering, store.devices()))
