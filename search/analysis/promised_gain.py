"""What a search may promise over another network: less than it predicts, by what it cannot know."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats
from hdap.search.problem.search_problem import LatencyModel, SearchProblem

SHRUNK = 0.6
"""Standard deviations of the ratio that a promise is less than the prediction. The best of many
predictions is one that is too good: on simulated fleets of three kinds, 20 to 200 measurements a
cluster, by 0.50, 0.59 and 0.62 of them (`benchmarks.search.winners_curse`)."""


@runtime_checkable
class ComparesLatency(Protocol):
    """A latency model that knows how far the ratio of two of its predictions may be off."""

    def ratio_sd(self, one: Counts, other: Counts) -> Floats:
        """One standard deviation of the logarithm, `groups` and `groups` -> K."""
        ...


@dataclass(frozen=True, slots=True)
class PromisedGain:
    """How many times as fast one network is as another in the fleet's mean.

    `predicted` is the ratio of the two predictions, `doubt` a standard deviation of its logarithm.
    """

    predicted: float
    doubt: float

    @property
    def promised(self) -> float:
        """What delivery is expected to equal, neither more nor less."""
        return float(self.predicted * np.exp(-SHRUNK * self.doubt))

    @property
    def low(self) -> float:
        """One standard deviation below the promise."""
        return float(self.promised * np.exp(-self.doubt))

    @property
    def high(self) -> float:
        """One standard deviation above the promise."""
        return float(self.promised * np.exp(self.doubt))

    @property
    def worth_measuring(self) -> bool:
        """Whether what another round of measuring would tell is more than what is won."""
        return bool(np.log(self.promised) < self.doubt)


def ratio_sd(latency: LatencyModel, one: Counts, other: Counts) -> Floats:
    """How far, in the logarithm, the ratio of two predictions may be off (K), `groups` each.

    One standard deviation; they are taken for independent where the model cannot compare.
    """
    if isinstance(latency, ComparesLatency):
        return latency.ratio_sd(one, other)
    return np.asarray(np.hypot(*latency.predict(np.stack([one, other])).log_sd))


def promised_gain(problem: SearchProblem, found: Counts, other: Counts) -> PromisedGain:
    """The gain of `found` over `other` (`groups` each); errors of clusters count as one."""
    ms = problem.latency.predict(np.stack([found, other])).ms * problem.fleet.mean
    doubt = ratio_sd(problem.latency, found, other)
    mine, theirs = ms.sum(axis=1)
    return PromisedGain(float(theirs / mine), float(doubt @ ms[0] / mine))
