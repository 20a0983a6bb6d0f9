"""How every device of a fleet compares with the typical device of its cluster."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Bools, ClusteringRecord, Devices, Floats, Ints
from hdap.search.problem.fleet_weights import aligned_weights
from hdap.surrogate.models.base import Prediction

LEAST_SPREAD = 0.005
"""Devices of one cluster differ by half a percent at least, however alike they were measured."""


@dataclass(frozen=True)
class DeviceSpeeds:
    """D devices: `ids`, `cluster` (0..K-1), `weight` (sum 1).

    `log_factor` is the logarithm of a device's latency over what is typical of its cluster, drawn
    to the cluster as far as its own rows leave doubt; `log_sd` one standard deviation of what is
    left of that doubt, which shrinks with its rows.
    """

    ids: NDArray[np.object_]
    cluster: Ints
    weight: Floats
    log_factor: Floats
    log_sd: Floats

    @classmethod
    def of(cls, clustering: ClusteringRecord, devices: Devices) -> "DeviceSpeeds":
        """Of a clustering and the devices' weights; devices without a weight are left out.

        A device's factor and the spread of its cluster are a normal likelihood and a normal prior,
        so the mean is drawn to 1 by the share of doubt in the two (empirical Bayes: Efron and
        Morris, 1975). Raises InputError where no device has a weight.
        """
        weights = aligned_weights(clustering, devices)
        there = weights > 0.0
        if not there.any():
            raise InputError(
                "the clustered devices must have a positive total weight, but have none: run "
                "`hdap cluster` again"
            )
        spread = np.array([c.spread for c in clustering.clusters])
        log_factor, error = np.log(clustering.factor), clustering.factor_sd
        mean, sd = drawn_to_cluster(log_factor, error, spread[clustering.cluster])
        # An outlier is none of its cluster: what was measured of it counts alone.
        alone = clustering.outlier & np.isfinite(error)
        mean, sd = np.where(alone, log_factor, mean), np.where(alone, error, sd)
        return cls(
            clustering.device_ids[there],
            clustering.cluster[there],
            weights[there] / weights[there].sum(),
            mean[there],
            sd[there],
        )

    def __len__(self) -> int:
        """D."""
        return len(self.ids)

    def take(self, rows: Ints | Bools) -> "DeviceSpeeds":
        """The chosen devices; their weights sum to 1 again."""
        weight = self.weight[rows]
        return DeviceSpeeds(
            self.ids[rows],
            self.cluster[rows],
            weight / weight.sum(),
            self.log_factor[rows],
            self.log_sd[rows],
        )

    def at_share(self, values: Floats, share: float) -> int:
        """The device at whose value (D) this share of the weight is reached, from the least up."""
        order = values.argsort(kind="stable")
        return int(order[np.searchsorted(np.cumsum(self.weight[order]), share)])

    def doubt(self, certain: float, least_sd: Floats) -> Floats:
        """By how much (in logarithms) each device counts as slower than its cluster: D.

        With that, a network that keeps a deadline on the cluster `certain` standard deviations of
        the prediction from it keeps it on the device as surely. `least_sd` (K) is the least doubt
        of a prediction on each cluster; of a larger one the device's own adds less.
        """
        sd = least_sd[self.cluster]
        return self.log_factor + certain * (np.hypot(sd, self.log_sd) - sd)

    def probabilities(self, seen: Prediction, row: int, deadline_ms: float) -> Floats:
        """How likely each device runs network `row` of `seen` (`n x K`) in time: D, in 0..1."""
        mean = seen.log_ms[row, self.cluster] + self.log_factor
        sd = np.hypot(seen.log_sd[row, self.cluster], self.log_sd)
        found: Floats = ndtr((np.log(deadline_ms) - mean) / sd)
        return found


def drawn_to_cluster(log_factor: Floats, error: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation (D each) of factors with an `error` in clusters of a `spread`.

    Where no error is known, as of devices without rows, the factor stays and the doubt is the
    spread.
    """
    known = np.isfinite(error)
    # the spread was measured, so the errors are in it
    typical = float(np.median(error[known])) if known.any() else 0.0
    prior = np.maximum(spread**2 - typical**2, LEAST_SPREAD**2)
    noise = np.where(known, error, 0.0) ** 2
    share = prior / (prior + noise)
    return share * log_factor, np.sqrt(prior * np.where(known, 1.0 - share, 1.0))


def standard_deviations(confidence: float) -> float:
    """How many standard deviations from a mean a share `confidence` (0.5..1) of cases lies below.

    Raises InputError for a share out of range.
    """
    if not 0.5 <= confidence < 1.0:
        raise InputError(
            f"`0.5 <= confidence < 1` must hold, but got {confidence:g}: 0.95 is usual"
        )
    return NormalDist().inv_cdf(confidence)
