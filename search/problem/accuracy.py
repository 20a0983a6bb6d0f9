"""Accuracy as a constraint or an objective: who judges networks, and what is learned from it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats
from hdap.search.problem.kept_importance import Importance

RIDGE = 1.0
"""Weight of the belief that every group matters alike, in judged networks whose groups differ by a
factor of e in what they keep."""
BATCH = 10
PONDER = 4
"""Generations between two batches: judging is dear, so only their best is judged."""


class Judge(ABC):
    """Judges pruned networks on data. The same configuration always gets the same accuracy.

    `judged_on` names the data and the weights: judges of that name say the same everywhere.
    """

    judged_on: str

    @abstractmethod
    def accuracy(self, counts: Counts) -> Floats:
        """The share of images that each network gets right: `n x groups` -> `n`, in 0..1."""

    def tell(self, counts: Counts, accuracy: Floats) -> None:  # noqa: B027
        """What others judged on the same (`n x groups`, `n`; NaN: was not judged), to be kept by a
        judge that remembers."""


class Thinker(Protocol):
    """What proposes: see `hdap.search.driver.proposer.Proposer`."""

    def refine(self, keep: int) -> bool: ...

    def invalidate(self) -> None: ...


class AccuracyGuide:
    """What accuracy a configuration will have, as far as the judged ones tell.

    Ridge regression of accuracy on the logarithm of what each group keeps, shrunk towards one slope
    for all groups that is not negative: with few judged networks kept importance decides, with more
    the groups that matter most. It only steers the search; a trial counts by what was judged.
    """

    def __init__(self, importance: Importance, least: float) -> None:
        self.importance, self.least = importance, least
        self._shares = np.empty((0, 0))
        self._accuracy = np.empty(0)
        self._center = np.empty(0)
        self._mean = 0.0
        self._slopes = np.empty(0)

    def learn(self, counts: Counts, accuracy: Floats) -> None:
        """Take in judged configurations (`n x groups`, `n`; NaN: was not judged)."""
        known = np.isfinite(accuracy)
        if not known.any():
            return
        shares = self.importance.log_shares(counts[known])
        if len(self._accuracy):
            shares = np.vstack([self._shares, shares])
        self._shares = shares
        self._accuracy = np.concatenate([self._accuracy, accuracy[known]])
        self._fit()

    def predicted(self, counts: Counts) -> Floats:
        """Expected accuracy, `n x groups` -> `n`; 1 as long as nothing was judged."""
        if not len(self._accuracy):
            return np.ones(len(counts))
        found: Floats = (
            self._mean + (self.importance.log_shares(counts) - self._center) @ self._slopes
        )
        return found

    def shortfall(self, counts: Counts) -> Floats:
        """How far the expected accuracy is below the least allowed: `n`, 0 where it is not."""
        return np.maximum(self.least - self.predicted(counts), 0.0)

    def _fit(self) -> None:
        self._center, self._mean = self._shares.mean(axis=0), float(self._accuracy.mean())
        x, y = self._shares - self._center, self._accuracy - self._mean
        total = x.sum(axis=1)
        common = max(float(total @ y) / (float(total @ total) + RIDGE), 0.0)
        left = y - common * total
        own = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ left)
        self._slopes = common + own


@dataclass(frozen=True)
class Judging:
    """How a search takes accuracy into account.

    With `least` a trial is feasible only with that accuracy; without, what it lacks of 1 is the
    objective `accuracy` of the problem.
    """

    judge: Judge
    least: float | None = None
    guide: AccuracyGuide | None = None

    @classmethod
    def of(cls, judge: Judge, importance: Importance, least: float | None) -> "Judging":
        """With a guide where there is a least accuracy to be guided to."""
        return cls(judge, least, None if least is None else AccuracyGuide(importance, least))

    def learn(self, counts: Counts, accuracy: Floats | None, source: Thinker) -> None:
        """Hand what was judged on to the guide and to what proposes."""
        if self.guide is not None and accuracy is not None:
            self.guide.learn(counts, accuracy)
            source.invalidate()

    def refine(self, source: Thinker, n: int) -> None:
        """Let the source look ahead, so that the next n proposals are worth judging."""
        for _ in range(PONDER):
            if not source.refine(n):
                return
