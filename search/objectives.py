"""What a search minimises: one number for each configuration, from the clusters' latencies."""

from abc import ABC, abstractmethod

from hdap.fleet_data.records import Floats
from hdap.search.fleet_weights import FleetWeights


class Objective(ABC):
    """`of` maps latencies of K clusters (`n x K`, ms, all > 0) to `n` milliseconds, less is better.

    It must grow with every cluster's latency.
    """

    @abstractmethod
    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        """One number a configuration: `n x K` -> `n`."""


class Mean(Objective):
    """The device-weighted mean."""

    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        return fleet.fleet_mean(cluster_ms)


class P95(Objective):
    """What 95 % of the weight of devices does not exceed."""

    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        return fleet.percentile(cluster_ms)


class Worst(Objective):
    """The slowest cluster."""

    def of(self, fleet: FleetWeights, cluster_ms: Floats) -> Floats:
        return fleet.worst(cluster_ms)[0]


OBJECTIVES: dict[str, Objective] = {"mean": Mean(), "p95": P95(), "worst": Worst()}
