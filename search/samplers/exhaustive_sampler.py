"""Where a band holds few configurations: all of them, the best first."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Ints
from hdap.search.problem.dominance import nondominated
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import GridSampler
from hdap.surrogate.learning.blas_threads import one_blas_thread


class ExhaustiveSampler(GridSampler):
    """Scores `every` configuration (`n x groups`) once and proposes them in their order.

    The first trial is uniform pruning, as everywhere; then come those that keep what is asked, by
    their value, or with several objectives first those that no other beats. After the last one the
    best is repeated.
    """

    def __init__(self, problem: SearchProblem, every: Counts) -> None:
        super().__init__(problem, 0)
        self._every = every
        self._order: list[int] | None = None
        self._told: set[bytes] = set()
        self._scored = 0

    @property
    def scored(self) -> int:
        """Configurations that the surrogates were asked about so far."""
        return self._scored

    def propose(self) -> Counts:
        if not self._told:
            return self._noted(self.problem.uniform)
        if self._order is None:
            self._order = self._ranked()[::-1].tolist()
        while len(self._order) > 1:
            found = self._every[self._order.pop()]
            if found.tobytes() not in self._told:
                return self._noted(found)
        return self._noted(self._every[self._order[0]])

    def inject(self, counts: Counts) -> None:
        self._told |= {row.tobytes() for row in np.ascontiguousarray(counts, dtype=np.int64)}

    def invalidate(self) -> None:
        self._order = None

    def state(self) -> dict[str, Any]:
        return {"scored": self._scored}

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        self._scored = int(state.get("scored", 0))
        self.inject(told)

    def _ranked(self) -> Ints:
        self._scored += len(self._every)
        with one_blas_thread():
            scores = self.problem.scores(self._every)
            if not self.problem.goals.several:
                return scores.order
            values = self.problem.values(self._every)
        kept = scores.violation == 0.0
        front = np.zeros(len(values), dtype=np.bool_)
        front[kept] = nondominated(values[kept])
        return np.lexsort((values[:, 0], ~front, scores.violation))

    def _noted(self, counts: Counts) -> Counts:
        self._told.add(counts.tobytes())
        return counts
