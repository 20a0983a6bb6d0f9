"""What a few tuned networks say of the accuracy of all others, and of what each group is worth."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats
from hdap.search.problem.bayesian_regression import BayesianRegression
from hdap.search.problem.kept_importance import Importance

LEAST_TUNINGS = 4
"""With fewer a straight line through all groups says more of noise than of them."""


@dataclass(frozen=True)
class Difference:
    """Accuracy that one network has over another, expected: a share, and its standard deviation."""

    mean: float
    sd: float


@dataclass(frozen=True)
class LearnedAccuracy:
    """Accuracy after tuning as a straight line in what `importance` says each group keeps.

    `counts` (`n x groups`) are the networks that were tuned, `accuracy` (`n`) what came out,
    `dense` the accuracy of the dense network.

    Raises:
        NotEnoughDataError: fewer than four networks were tuned.
    """

    importance: Importance
    counts: Counts
    accuracy: Floats
    dense: float

    def __post_init__(self) -> None:
        if len(self.counts) < LEAST_TUNINGS:
            raise NotEnoughDataError(
                f"accuracy must be learned from {LEAST_TUNINGS} tunings or more, but there are "
                f"{len(self.counts)}: raise --tunings"
            )

    @cached_property
    def regression(self) -> BayesianRegression:
        """Of accuracy on the logarithms of what the groups keep."""
        return BayesianRegression.of(self.importance.log_shares(self.counts), self.accuracy)

    @cached_property
    def worth(self) -> Floats:
        """What each group counts beside what `importance` has it count: `groups`, mean 1, none
        negative; all 1 where nothing was learned."""
        slopes = np.maximum(self.regression.slopes, 0.0)
        return slopes / slopes.mean() if slopes.any() else np.ones(len(slopes))

    @cached_property
    def scale(self) -> float:
        """Accuracy that is lost where kept importance falls by a factor of e."""
        return float(np.maximum(self.regression.slopes, 0.0).sum())

    def weighed(self, source: str) -> Importance:
        """Importance of which the logarithm follows the expected accuracy."""
        return self.importance.weighed(self.worth, source)

    def expected(self, counts: Counts) -> Floats:
        """Expected accuracy: `n x groups` -> `n`."""
        return self.regression.expected(self.importance.log_shares(counts))

    def kept_at(self, accuracy: float) -> float:
        """The kept importance (`weighed`) of networks whose expected accuracy is this: 0..1."""
        if self.scale == 0.0:
            return 0.0
        regression = self.regression
        at_all = regression.mean - float(regression.center @ regression.slopes)
        return float(np.exp(min((accuracy - at_all) / self.scale, 0.0)))

    def over(self, counts: Counts, other: Counts) -> Difference:
        """How much more accurate `counts` is than `other` (both `groups`), each after its tuning.

        Where both have the same widths there is no difference at all.
        """
        if np.array_equal(counts, other):
            return Difference(0.0, 0.0)
        shares = self.importance.log_shares(np.stack([counts, other]))
        mean = float((shares[0] - shares[1]) @ self.regression.slopes)
        return Difference(mean, float(self.regression.sd(shares[:1], over=shares[1])[0]))

    def over_dense(self, counts: Counts) -> Difference:
        """How much more accurate a tuned network is than the dense one as it is."""
        shares = self.importance.log_shares(counts[None])
        mean = float(self.regression.expected(shares)[0]) - self.dense
        return Difference(mean, float(self.regression.sd(shares)[0]))
