"""What moving one group alone does: the lookup table of the greedy base lines."""

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats, Ints
from hdap.search.problem.search_problem import SearchProblem
from hdap.surrogate.learning.blas_threads import one_blas_thread


class LookupTable:
    """Latencies of networks that differ from one another in a single group; counts what it asks.

    Latency is the objective that a search minimises, doubt included, in logarithms.
    """

    def __init__(self, problem: SearchProblem) -> None:
        self.problem = problem
        self.asked = 0

    def log_ms(self, counts: Counts) -> Floats:
        """Logarithm of the objective: `n x groups` -> `n`."""
        self.asked += len(counts)
        with one_blas_thread():
            return np.log(self.problem.ucb_ms(counts))

    def penalised(self, counts: Counts) -> Floats:
        """The objective, dearer below the floor: `n x groups` -> `n` ms."""
        self.asked += len(counts)
        with one_blas_thread():
            return self.problem.scores(counts).penalised

    def singles(self, center: Counts, group: Ints, index: Ints) -> Counts:
        """`center` with `group[i]` alone at grid position `index[i]`: `groups` -> `n x groups`."""
        rows = np.repeat(center[None], len(group), axis=0)
        rows[np.arange(len(group)), group] = self.problem.space.table[group, index]
        return rows
