"""How clusters' latencies add up to the fleet's: mean, percentile over devices, worst cluster."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import ClusteringRecord, Devices, Floats, Ints

POINTS = 256
"""Quantile points that stand for a cluster's devices; a cluster of no more devices is exact."""


@dataclass(frozen=True)
class FleetWeights:
    """The fleet seen from its K clusters.

    A device's latency is its cluster's times its own `factor`. `mean[k]` is the sum over cluster
    k's devices of weight x factor, over the sum of all weights, so the fleet mean is
    `cluster_ms @ mean`. `factors` and `shares` (K x P) are points that stand for the cluster's
    devices: factors ascending, shares of the fleet's weight (0 where a row is filled up).
    """

    mean: Floats
    factors: Floats
    shares: Floats

    @classmethod
    def of(cls, clustering: ClusteringRecord, devices: Devices) -> "FleetWeights":
        """From a clustering and the devices' weights; devices that are not in it are left out.

        Raises:
            InputError: no device of the clustering has a weight.
        """
        weights = aligned_weights(clustering, devices)
        if not weights.sum() > 0.0:
            raise InputError(
                f"the clustered devices must have a positive total weight, but got "
                f"{weights.sum()}: run `hdap cluster` again"
            )
        total = weights.sum()
        k = len(clustering.clusters)
        mean = np.bincount(clustering.cluster, weights * clustering.factor, minlength=k) / total
        members = [clustering.cluster == i for i in range(k)]
        points = [_points(clustering.factor[m], weights[m] / total) for m in members]
        width = max(len(factors) for factors, _ in points)
        rows = [[np.pad(x, (0, width - len(x))) for x in pair] for pair in points]
        return cls(mean, np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows]))

    @property
    def largest(self) -> int:
        """The cluster with the largest share of the fleet's weight."""
        return int(self.shares.sum(axis=1).argmax())

    def only(self, *clusters: int) -> "FleetWeights":
        """The fleet as one who knew these clusters alone would see it."""
        chosen = np.isin(np.arange(len(self.mean)), clusters).astype(np.float64)
        shares = self.shares * chosen[:, None]
        mean = self.mean * chosen / shares.sum()
        return FleetWeights(mean, self.factors, shares / shares.sum())

    def fleet_mean(self, cluster_ms: Floats) -> Floats:
        """Device-weighted mean latency: `n x K` -> `n`."""
        found: Floats = cluster_ms @ self.mean
        return found

    def percentile(self, cluster_ms: Floats, share: float = 0.95) -> Floats:
        """The latency that `share` of the weight of devices does not exceed: `n x K` -> `n`."""
        latency, shares = self._devices(cluster_ms)
        order = latency.argsort(axis=1)
        reached = np.cumsum(shares[order], axis=1) >= share - 1e-12
        line = np.arange(len(cluster_ms))
        found: Floats = latency[line, order[line, reached.argmax(axis=1)]]
        return found

    def tail_mean(self, cluster_ms: Floats, level: float) -> Floats:
        """Mean latency of the slowest `1 - level` of the weight of devices: `n x K` -> `n`.

        The device at the edge counts with the part of its weight that lies beyond it: conditional
        value at risk of a discrete distribution (Rockafellar and Uryasev, 2002, proposition 8).
        """
        latency, shares = self._devices(cluster_ms)
        order = latency.argsort(axis=1)
        own = shares[order]
        beyond = np.clip(np.cumsum(own, axis=1) - level, 0.0, own)
        slowest: Floats = np.take_along_axis(latency, order, axis=1)
        found: Floats = (slowest * beyond).sum(axis=1) / beyond.sum(axis=1)
        return found

    def late_share(self, cluster_ms: Floats, deadline_ms: float) -> Floats:
        """Share of the weight of devices that takes longer: `n x K` -> `n`, in 0..1."""
        latency, shares = self._devices(cluster_ms)
        found: Floats = (latency > deadline_ms) @ shares
        return found

    def soft_late_share(self, cluster_ms: Floats, deadline_ms: float, steepness: float) -> Floats:
        """`late_share` where a device of latency t counts `1 / (1 + (deadline / t)^steepness)`."""
        latency, shares = self._devices(cluster_ms)
        found: Floats = (1.0 / (1.0 + (deadline_ms / latency) ** steepness)) @ shares
        return found

    def worst(self, cluster_ms: Floats) -> tuple[Floats, Ints]:
        """Latency and number of the slowest cluster that has any device: `n x K` -> `n`, `n`."""
        values = np.where(self.shares.sum(axis=1) > 0.0, cluster_ms, -np.inf)
        which = values.argmax(axis=1)
        return values[np.arange(len(values)), which], which

    def _devices(self, cluster_ms: Floats) -> tuple[Floats, Floats]:
        """Latencies of the points that stand for devices (`n x P`), and their shares (P)."""
        shares = self.shares.ravel()
        used = shares > 0.0
        latency = (cluster_ms[:, :, None] * self.factors).reshape(len(cluster_ms), shares.size)
        return latency[:, used], shares[used]


def aligned_weights(clustering: ClusteringRecord, devices: Devices) -> Floats:
    """Weights in the clustering's order of devices; 0 for one that the fleet no longer has."""
    if np.array_equal(clustering.device_ids, devices.ids):
        return devices.weights
    weights = dict(zip(devices.ids.tolist(), devices.weights.tolist(), strict=True))
    return np.array([weights.get(name, 0.0) for name in clustering.device_ids.tolist()])


def _points(factors: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """At most `POINTS` points of the same total weight, each the mean of an equal slice of it."""
    order = factors.argsort(kind="stable")
    factors, weights = factors[order], weights[order]
    if len(factors) <= POINTS or not weights.sum() > 0.0:
        return factors[:POINTS], weights[:POINTS]
    upto = np.cumsum(weights)
    slot = np.minimum((upto - weights / 2.0) / upto[-1] * POINTS, POINTS - 1).astype(np.int64)
    share = np.bincount(slot, weights, minlength=POINTS).astype(np.float64)
    mean = np.bincount(slot, weights * factors, minlength=POINTS) / np.maximum(share, 1e-300)
    return mean[share > 0.0], share[share > 0.0]
