"""What is asked of several networks that share one deadline."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats
from hdap.search.problem.defaults import NETWORK_TRIALS
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.uniform import ladder
from hdap.search.sizes.device_speeds import DeviceSpeeds, standard_deviations
from hdap.surrogate.models.base import Prediction

LEAST_SHARE = 1 / 16
"""No group of any network keeps a smaller share of its channels: the slowest devices may need
networks below what a search for the whole fleet looks at, but not arbitrarily far below."""


@dataclass(frozen=True)
class SizesProblem:
    """Devices that are to run one of a few networks within `deadline_ms`.

    A device is in time where that is so with `confidence`, its own doubt and the surrogates'
    included; at least a `share` of the fleet's weight must be. `networks` says which are allowed:
    their grid, the FLOPs that each may have, the importance that each must keep; with `halved` none
    of its groups is narrower than half of what uniform pruning leaves it within the deadline. Each
    network is the best of so many `trials`.
    """

    networks: SearchProblem
    devices: DeviceSpeeds
    deadline_ms: float
    share: float = 0.95
    confidence: float = 0.95
    halved: bool = True
    trials: int = NETWORK_TRIALS
    seed: int = 0

    def __post_init__(self) -> None:
        standard_deviations(self.confidence)
        if not 0.0 < self.share <= 1.0:
            raise InputError(
                f"`0 < share <= 1` of the fleet must be in time, but got {self.share:g}: 0.99 is "
                f"all but one device in a hundred"
            )

    @property
    def certain(self) -> float:
        """Standard deviations that a latency must lie below the deadline."""
        return standard_deviations(self.confidence)

    @property
    def clusters(self) -> int:
        """K."""
        return len(self.networks.fleet.mean)

    @cached_property
    def log_factor(self) -> Floats:
        """How much slower (a logarithm) than its cluster each device counts, its doubt included: D.

        The least doubt of a prediction on each cluster is that over uniform networks.
        """
        return self.devices.doubt(self.certain, self._uniform.log_sd.min(axis=0))

    @cached_property
    def quickest_ms(self) -> Floats:
        """The least that a uniform network takes on each cluster, the prediction's doubt included:
        K. Where little was measured the narrowest is so much in doubt that a wider one is surer.
        """
        surely = self._uniform.log_ms + self.certain * self._uniform.log_sd
        found: Floats = np.exp(surely.min(axis=0))
        return found

    @cached_property
    def _uniform(self) -> Prediction:
        return self.networks.latency.predict(ladder(self.networks.space))
