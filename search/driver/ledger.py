"""Who numbers the trials of a study that several workers search, and what they learn of it."""

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np

from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.unseen import ConfigurationSet
from hdap.search.problem.evaluation import joined


class Ledger(ABC):
    """The finished trials of one study, the first `limit` of them.

    Only finished trials ever enter, so a worker that dies leaves nothing half-done behind. No
    configuration enters twice, and every trial has a number of its own, ascending in the order of
    entry. `before` are trials that the study has already and whoever asks knows. `at_once` trials
    may be added in one call without keeping the caller too long; a `shared` one hears of trials
    that others add. `host` makes the seeds of a process that joins or goes on with the study its
    own.
    """

    at_once = 1000
    shared = False

    def __init__(self, limit: int, before: TrialBatch | None = None) -> None:
        self.limit, self.before = limit, before
        self.configurations = ConfigurationSet(None if before is None else before.counts)
        self.host = 0 if before is None else len(before)

    @property
    @abstractmethod
    def done(self) -> int:
        """How many trials the study has, as far as this process has heard; at most `limit`."""

    @abstractmethod
    def add(self, trials: TrialBatch) -> None:
        """Enter trials; their own numbers mean nothing. What exceeds `limit` is left out, and what
        the study has already."""

    @abstractmethod
    def news(self) -> TrialBatch | None:
        """Trials of the study, whoever found them, that are not among `before` and that no call
        returned yet; by number."""


class LocalLedger(Ledger):
    """The ledger of a study whose workers all belong to one process."""

    def __init__(self, limit: int, before: TrialBatch | None = None) -> None:
        super().__init__(limit, before)
        self._done = 0 if before is None else len(before)
        self._next = 0 if before is None or not self._done else int(before.number.max()) + 1
        self._new: list[TrialBatch] = []

    @property
    def done(self) -> int:
        return self._done

    def add(self, trials: TrialBatch) -> None:
        places = np.flatnonzero(self.configurations.lacks(trials.counts))
        places = places[: self.limit - self._done]
        trials = trials.take(places[self.configurations.add(trials.counts[places])])
        numbers = np.arange(self._next, self._next + len(trials))
        self._new.append(replace(trials, number=numbers))
        self._done += len(trials)
        self._next += len(trials)

    def news(self) -> TrialBatch | None:
        new, self._new = self._new, []
        found = joined(*new) if new else None
        return found if found is not None and len(found) else None
