"""Operating points: every cluster at every clock, seen as one latency function with P columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, Ints
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.surrogate.context.context_effect import Context
from hdap.surrogate.models.base import FleetSurrogate, Prediction

LEAST_CLOCK, MOST_CLOCK = 0.05, 4.0


@dataclass(frozen=True)
class OperatingPoints:
    """P points: `cluster` (P) at `clock` (P), the clock over the cluster's typical one.

    `weight` (P) is the share of all inferences that is expected there, in sum 1.
    """

    surrogate: FleetSurrogate
    cluster: Ints
    clock: Floats
    weight: Floats

    @classmethod
    def every(
        cls, surrogate: FleetSurrogate, clocks: Sequence[float], shares: Floats
    ) -> "OperatingPoints":
        """Every cluster (weighing `shares`, K) at every clock; the clocks of one weigh alike.

        Raises:
            InputError: a clock is out of range or given twice, or there is none.
        """
        wrong = [c for c in clocks if not LEAST_CLOCK <= c <= MOST_CLOCK]
        if wrong or not clocks or len(set(clocks)) < len(clocks):
            raise InputError(
                f"clocks must be different shares of the typical clock in {LEAST_CLOCK}.."
                f"{MOST_CLOCK:g}, but got {list(clocks)}: 0.4,0.6,0.8,1.0 is usual"
            )
        number = surrogate.clusters
        weight = np.repeat(shares, len(clocks)).astype(np.float64)
        return cls(
            surrogate,
            np.repeat(np.arange(number), len(clocks)),
            np.tile(np.sort(np.array(clocks, dtype=np.float64)), number),
            weight / weight.sum(),
        )

    def __len__(self) -> int:
        """P."""
        return len(self.cluster)

    def at(self, rows: Ints) -> "OperatingPoints":
        """The chosen points; weights still sum to 1."""
        weight = self.weight[rows]
        return OperatingPoints(
            self.surrogate, self.cluster[rows], self.clock[rows], weight / weight.sum()
        )

    def predict(self, counts: Counts) -> Prediction:
        """Latencies of n configurations: `n x groups` -> `n x P`.

        Raises InputError where the surrogates know nothing of clocks.
        """
        log_ms = np.empty((len(counts), len(self)))
        log_sd = np.empty_like(log_ms)
        for clock in np.unique(self.clock):
            here = self.clock == clock
            found = self.surrogate.predict(counts, Context(clock_scale=float(clock)))
            log_ms[:, here] = found.log_ms[:, self.cluster[here]]
            log_sd[:, here] = found.log_sd[:, self.cluster[here]]
        return Prediction(log_ms, log_sd)

    @property
    def fleet(self) -> FleetWeights:
        """The points as a search sees clusters, each with one device."""
        return FleetWeights(self.weight, np.ones((len(self), 1)), self.weight[:, None])

    def words(self, row: int) -> str:
        """One point as a person reads it."""
        return f"cluster {self.cluster[row]} at {100 * self.clock[row]:g} % of its clock"
